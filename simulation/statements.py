"""Transactions as the bank's core system writes them to its daily file, a few malformed ones included."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulation import text
from simulation.names import CITIES
from simulation.parameters import BLOCK_DAYS, CURRENCY
from simulation.people import Account, Booleans, Integers
from simulation.randomness import Stream, generator
from simulation.rows import ELSEWHERE, Channel, Kind, Mode, Rows
from simulation.world import World

HEADER = (
    "txn_id,account_no,customer_id,txn_time,booked_time,amount,currency,narration,txn_type,pay_mode,channel,status,"
    "original_txn_id,merchant_id,terminal_id,mcc,card_number,counterparty_phone,counterparty_account,"
    "city,balance_after\n"
)


class Flaw(IntEnum):
    """What can be wrong with a malformed record."""

    NONE = 0
    TIME = 1  # a month 13 that a terminal made up
    AMOUNT = 2  # a letter O among the decimals
    CUSTOMER = 3  # no customer


@dataclass(frozen=True)
class Statements:
    """Rows of one block in the order of their lines.

    Attributes:
        paise: signed amounts, also where the printed amount cannot be read: the bank knows its sums.
        flaw: `Flaw` codes.
        lines: the text by file day.
    """

    paise: Integers
    flaw: Integers
    lines: text.Lines

    def paise_of(self, day: int) -> int:
        """Sum of the amounts in the file of a day."""
        return int(self.paise[self.lines.rows(day)].sum())


def card_numbers(count: int, prefix: int) -> pa.Array:
    """Sixteen digits that fail the Luhn check on purpose, so that none is anybody's card."""
    numbers = []
    for number in range(count):
        body = f"{prefix}{(number * 7_368_787 + 424_242) % 99_999_999_977:011d}"
        doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(body)]
        check = -sum(value - 9 * (value > 9) for value in doubled) % 10
        numbers.append(f"{body}{(check + 5) % 10}")
    return pa.array(numbers)


def account_numbers(count: int) -> pa.Array:
    """Three accounts for each customer: current, savings, credit card (`3 · customer + Account`)."""
    return pa.array(
        [
            f"{code}{10_000_000 + (number * 48_271 + 77) % 89_999_999:08d}"
            for number in range(count)
            for code in ("5010", "5020", "5412")
        ]
    )


def elsewhere_numbers(count: int) -> pa.Array:
    """Each customer's account at another bank."""
    return pa.array(
        [f"9900{10_000_000 + (number * 36_473 + 11) % 89_999_999:08d}" for number in range(count)]
    )


def write_up(world: World, drawn: Rows, block: int) -> Statements:
    """The lines of the files of a block's days."""
    ids = text.join("TX", text.digits(drawn.number))
    original = pc.if_else(
        pa.array(drawn.original < 0),
        pa.scalar(None, pa.string()),
        text.join("TX", text.digits(drawn.original)),
    )
    numbers = account_numbers(len(world.people))
    inside = (drawn.other_account >= 0) & (drawn.other_account != ELSEWHERE)
    own = np.where(inside, drawn.customer * 3 + drawn.other_account, -1)
    elsewhere = np.where(drawn.other_account == ELSEWHERE, drawn.customer, -1)
    is_lost = (drawn.city >= 0) & (
        generator(world.bank, Stream.DEVICES, block).random(len(drawn))
        < world.bank.drift("city_missing", drawn.file_day)
    )
    flaw = _flaws(world, drawn, block)

    start, people = world.days.datetime64[0], world.people
    merchants, is_card = world.merchants, drawn.mode == Mode.CARD
    on_credit = drawn.account == Account.CREDIT_CARD
    count = len(people)
    cards = pa.concat_arrays([card_numbers(count, 4321), card_numbers(count, 5412)])
    amounts = text.amounts(drawn.paise)
    misread = pc.replace_substring(amounts, ".", ".O")
    times = text.local_times(start, drawn.day, drawn.second)
    impossible = pc.replace_substring_regex(times, "-[0-9]{2}-[0-9]{2} ", "-13-45 ")
    lines = text.join(
        ids,
        text.take(numbers, drawn.customer * 3 + drawn.account),
        text.take(pa.array(people.customer_id), np.where(flaw == Flaw.CUSTOMER, -1, drawn.customer)),
        pc.if_else(pa.array(flaw == Flaw.TIME), impossible, times),
        pc.if_else(
            pa.array(drawn.is_pending),
            pa.scalar(None, pa.string()),
            text.local_times(start, drawn.day, drawn.booked_second),
        ),
        pc.if_else(pa.array(flaw == Flaw.AMOUNT), misread, amounts),
        text.pick([CURRENCY], np.zeros(len(drawn), dtype=np.int64)),
        text.csv_field(drawn.description),
        text.pick([kind.name for kind in Kind], drawn.kind),
        text.pick([mode.name for mode in Mode], drawn.mode),
        text.pick([None if channel == Channel.NONE else channel.name for channel in Channel], drawn.channel),
        text.pick(["S", "P"], drawn.is_pending.astype(np.int64)),
        original,
        text.take(merchants.ids, drawn.merchant),
        pa.array(drawn.terminal + 20_000_000, mask=drawn.terminal < 0).cast(pa.string()),
        text.take(merchants.codes, drawn.merchant),
        text.take(cards, np.where(is_card, drawn.customer + count * on_credit, -1)),
        text.take(world.contact_phone, np.where(drawn.mode == Mode.UPI, drawn.contact, -1)),
        pc.coalesce(
            text.take(numbers, own),
            text.take(elsewhere_numbers(count), elsewhere),
            pa.scalar("", pa.string()),
        ),
        text.take(pa.array([city for city, _, _ in CITIES]), np.where(is_lost, -1, drawn.city)),
        pc.if_else(pa.array(drawn.is_pending), pa.scalar(None, pa.string()), text.amounts(drawn.balance)),
        separator=",",
    )
    return Statements(drawn.paise, flaw, text.Lines(text.join(lines, "\n"), drawn.file_day))


def _flaws(world: World, drawn: Rows, block: int) -> Integers:
    """Which records are malformed, and how; mostly an impossible time."""
    filing = world.parameters.filing
    rng = generator(world.bank, Stream.FLAWS, block)
    in_file = np.bincount(drawn.file_day - block * BLOCK_DAYS)[drawn.file_day - block * BLOCK_DAYS]
    bad: Booleans = (rng.random(len(drawn)) < filing.malformed_share) & (in_file >= filing.malformed_min_rows)
    kind = rng.choice((Flaw.TIME, Flaw.AMOUNT, Flaw.CUSTOMER), len(drawn), p=(0.5, 0.25, 0.25))
    return np.where(bad, kind, Flaw.NONE)
