"""What becomes known of thefts: late, with mistakes, and not of all."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from simulation import text
from simulation.parameters import BLOCK_DAYS, Theft
from simulation.people import Booleans, Integers
from simulation.randomness import Stream, generator
from simulation.rows import Kind, Rows
from simulation.world import World

HEADER = "txn_id,label,value,reported_at,said_by\n"
WITHDRAWN_AFTER = 14
"""Days after which half of the mistaken reports are withdrawn."""
MISTAKEN_WITHIN = 30
"""Mistaken reports come on one of the days before."""


@dataclass(frozen=True)
class Reports:
    """Reports on transactions, sorted by day.

    Attributes:
        number: of the transaction.
        day: on which the report is made and stands in the file.
        second: of that day.
        is_theft: what the report says; False withdraws an earlier one.
        by_bank: whether the bank says so, else the customer.
    """

    number: Integers
    day: Integers
    second: Integers
    is_theft: Booleans
    by_bank: Booleans

    def pick(self, index: Integers | Booleans) -> "Reports":
        """Some of the reports."""
        return Reports(*(values[index] for values in vars(self).values()))


def draw_reports(world: World, in_files: Rows, block: int) -> Reports:
    """All reports that ever come on the transactions in the files of a block."""
    theft, rng = world.parameters.theft, generator(world.bank, Stream.LABELS, block)
    stolen = np.flatnonzero((in_files.fraud > 0) & ~in_files.is_pending & (in_files.paise < 0))
    attack, place = np.unique(
        in_files.customer[stolen] * world.days.count + in_files.day[stolen], return_inverse=True
    )
    is_reported = (rng.random(len(attack)) < theft.reported_share)[place]
    days = theft.report_days * np.exp(theft.report_spread * rng.standard_normal(len(attack)))
    delay = np.minimum(np.ceil(days), theft.report_days_most).astype(np.int64)[place]
    true = Reports(
        in_files.number[stolen],
        in_files.file_day[stolen] + delay,
        rng.integers(8 * 3600, 20 * 3600, len(attack))[place],
        np.ones(len(stolen), dtype=np.bool_),
        (rng.random(len(attack)) < 0.3)[place],
    ).pick(is_reported)

    genuine = (in_files.fraud == 0) & ~in_files.is_pending & (in_files.kind == Kind.PUR)
    wrong = np.flatnonzero(genuine & (rng.random(len(in_files)) < theft.mistaken_share))
    day = in_files.file_day[wrong] + rng.integers(1, MISTAKEN_WITHIN, len(wrong))
    second = rng.integers(8 * 3600, 20 * 3600, len(wrong))
    mistaken = Reports(
        in_files.number[wrong],
        day,
        second,
        np.ones(len(wrong), dtype=np.bool_),
        np.zeros(len(wrong), dtype=np.bool_),
    )
    taken_back = rng.random(len(wrong)) < 0.5
    withdrawn = Reports(
        mistaken.number,
        day + WITHDRAWN_AFTER,
        second,
        np.zeros(len(wrong), dtype=np.bool_),
        np.ones(len(wrong), dtype=np.bool_),
    ).pick(taken_back)
    return _together([true, mistaken, withdrawn])


def standing_reports(theft: Theft, days: int) -> tuple[float, float]:
    """Shares of stolen and of genuine payments that a report calls stolen so many days later.

    Reports of a payment that is posted later than it was made count from the posting; that is left out.
    """
    by_then = norm.cdf(np.log(days / theft.report_days) / theft.report_spread) if days else 0.0
    found = theft.reported_share * (1.0 if days >= theft.report_days_most else float(by_then))
    told_on = np.arange(1, MISTAKEN_WITHIN)
    stands = (told_on <= days) & ~(told_on + WITHDRAWN_AFTER <= days)
    withdrawn_or_not = (told_on <= days).mean() / 2 + stands.mean() / 2
    return found, theft.mistaken_share * float(withdrawn_or_not)


def _together(parts: list[Reports]) -> Reports:
    joined = Reports(
        *(np.concatenate(values) for values in zip(*(vars(p).values() for p in parts), strict=True))
    )
    return joined.pick(np.lexsort((joined.number, joined.second, joined.day)))


class Desk:
    """Hands out the reports of each block; earlier blocks' late ones included."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._waiting: list[Reports] = []

    def of_block(self, in_files: Rows, block: int) -> Reports:
        """Reports made on the days of a block; must be called for every block in order."""
        together = _together([*self._waiting, draw_reports(self.world, in_files, block)])
        due = together.day < (block + 1) * BLOCK_DAYS
        self._waiting = [together.pick(~due)]
        return together.pick(due)


def report_lines(world: World, reports: Reports) -> pa.Array:
    """One line per report."""
    separated = text.join(
        text.join("TX", text.digits(reports.number)),
        text.pick(["fraud"], np.zeros(len(reports.number), dtype=np.int64)),
        text.pick(["no", "yes"], reports.is_theft.astype(np.int64)),
        text.local_times(world.days.datetime64[0], reports.day, reports.second),
        text.pick(["customer", "bank"], reports.by_bank.astype(np.int64)),
        separator=",",
    )
    return text.join(separated, "\n")
