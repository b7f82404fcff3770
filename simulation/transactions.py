"""One block of days of transactions, drawn at once.

A block depends on the bank and on its own number, never on what has been written before. Rows that follow
from others (postings, refunds, reversals) are drawn with their origin; their file day may lie in the next
block, never later.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from simulation import text
from simulation.fraud import Attacks, draw_thefts, exposures
from simulation.parameters import BLOCK_DAYS
from simulation.purchases import draw_purchases
from simulation.randomness import Stream, generator
from simulation.regular import Regular
from simulation.rows import Channel, Kind, Mode, Rows
from simulation.world import World


@dataclass(frozen=True)
class Block:
    """What was drawn for a block of days, before the books are kept.

    Attributes:
        rows: all rows whose origin lies in the block; origins count within them.
        exposed: cards that a thief may use, and on which day.
    """

    rows: Rows
    exposed: Attacks


def draw_block(world: World, number: int) -> Block:
    """All rows whose origin lies in a block, in no particular order."""
    first = number * BLOCK_DAYS
    last = min(first + BLOCK_DAYS, world.days.count)
    rng = generator(world.bank, Stream.TRANSACTIONS, number)
    purchases = draw_purchases(world, rng, first, last)
    exposed = exposures(world, purchases, number)
    stolen = draw_thefts(world, exposed, number)
    drawn = Rows.concat([purchases, stolen, *Regular(world, rng, first, last).draw()])
    return Block(_with_follow_ups(world, rng, drawn), exposed)


def _with_follow_ups(world: World, rng: np.random.Generator, drawn: Rows) -> Rows:
    """Add postings of pending payments, refunds of purchases and reversals of failed UPI payments."""
    filing = world.parameters.filing
    pending = np.flatnonzero(drawn.is_pending)
    lag = 1 + rng.choice(len(filing.posting_days), len(pending), p=filing.posting_days)
    differs = rng.random(len(pending)) < filing.posted_amount_differs
    factor = np.where(differs, rng.uniform(0.9, 1.15, len(pending)), 1.0)
    postings = drawn.pick(
        pending,
        origin=pending,
        file_day=drawn.day[pending] + lag,
        booked_second=lag * 86_400 + rng.integers(3_600, 5 * 3_600, len(pending)),
        is_pending=False,
        paise=np.round(drawn.paise[pending] * factor).astype(np.int64),
    )
    with_postings = Rows.concat([drawn, postings])
    settled = np.arange(len(drawn))
    settled[pending] = len(drawn) + np.arange(len(pending))

    # What is bought online comes back more often.
    share = np.select(
        [
            (drawn.kind != Kind.PUR) | (drawn.fraud > 0),
            drawn.channel == Channel.ECOM,
            drawn.channel == Channel.POS,
        ],
        [0.0, filing.refund_share_online, filing.refund_share_terminal],
        0.0,
    )
    bought = np.flatnonzero(rng.random(len(drawn)) < share)
    refunded_on = drawn.day[bought] + rng.integers(4, filing.refund_days + 1, len(bought))
    in_time = refunded_on < world.days.count
    bought, refunded_on = bought[in_time], refunded_on[in_time]
    is_open = world.latent.is_open[refunded_on, drawn.customer[bought]]
    bought, refunded_on = bought[is_open], refunded_on[is_open]
    part = np.where(rng.random(len(bought)) < 0.25, rng.uniform(0.2, 0.8, len(bought)), 1.0)
    second = rng.integers(6 * 3_600, 20 * 3_600, len(bought))
    refunds = drawn.pick(
        bought,
        origin=settled[bought],
        day=refunded_on,
        file_day=refunded_on,
        second=second,
        booked_second=second,
        is_pending=False,
        paise=np.maximum(np.round(-with_postings.paise[settled[bought]] * part), 1).astype(np.int64),
        kind=Kind.REF,
        description=text.join("REFUND ", drawn.description.take(pa.array(bought))),
    )

    by_upi = (drawn.mode == Mode.UPI) & (drawn.paise < 0)
    failed = np.flatnonzero(by_upi & (rng.random(len(drawn)) < filing.reversal_share))
    later = np.minimum(drawn.second[failed] + rng.integers(20, 400, len(failed)), 86_399)
    reversals = drawn.pick(
        failed,
        origin=failed,
        second=later,
        booked_second=later,
        paise=-drawn.paise[failed],
        kind=Kind.REV,
        description=text.join("REV-", drawn.description.take(pa.array(failed))),
    )
    return Rows.concat([with_postings, refunds, reversals])
