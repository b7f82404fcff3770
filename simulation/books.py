"""The bank's books: what an account can pay, both sides of own transfers, and the balance after every row.

Blocks are kept one after another, because what an account can pay today depends on all that came before. A
payment drawn for a day is made anyway when the customer starts it; mandates, savings and card repayments
look at the balance first. A mandate that finds nothing is returned and charged; who runs dry draws on
savings or on an account elsewhere, in an income shock less readily; who has far too much moves it away.
"""

from collections.abc import Iterator

import numpy as np

from simulation.decisions import Decisions
from simulation.more_rows import more_rows
from simulation.parameters import BLOCK_DAYS
from simulation.people import Account, Work
from simulation.randomness import Stream, generator
from simulation.responses import Responses
from simulation.rows import Rows
from simulation.running import running
from simulation.transactions import Block, draw_block
from simulation.world import World

ACCOUNTS = len(Account)
REVOLVER_SHARE = 0.35
"""Share of credit card holders who repay a part only."""


class Books:
    """Keeps the accounts of a bank; `blocks` must be consumed in order from the first."""

    def __init__(self, world: World, responses: Responses | None = None) -> None:
        self.world, self.responses = world, responses
        people = world.people
        rng = generator(world.bank, Stream.BOOKS)
        count = len(people)
        there = people.signed_up < 0
        paise = 100 * people.income * there
        self.available = np.zeros((count, ACCOUNTS), dtype=np.int64)
        self.available[:, Account.CURRENT] = paise * rng.uniform(0.2, 1.2, count)
        self.available[:, Account.SAVINGS] = paise * np.exp(rng.standard_normal(count)) * (people.sweep > 0)
        self.ledger = self.available.copy()
        self.overdraft_limit = np.where(
            there & (people.work != Work.STUDENT), np.round(people.income * 0.3, -3) * 100, 0
        ).astype(np.int64)
        self.is_revolver = rng.random(count) < REVOLVER_SHARE
        self.overdrawn = np.zeros(count, dtype=np.int64)
        self.left_over: Rows | None = None

    def blocks(self, last: int) -> Iterator[tuple[Block, Rows]]:
        """(what was drawn, rows that stand in the files of those days) of the blocks 0 … `last`."""
        for number in range(last + 1):
            block = draw_block(self.world, number)
            yield block, self._keep(block, number)

    def _keep(self, block: Block, number: int) -> Rows:
        world = self.world
        first, last = number * BLOCK_DAYS, min((number + 1) * BLOCK_DAYS, world.days.count)
        rng = generator(world.bank, Stream.BOOKS, number + 1)
        drawn = Rows.concat(
            [
                Decisions(self, block.rows, rng, first, last).decide(),
                *([more_rows(world, world.more, number, first, last)] if world.more else []),
                *([self.responses.rows(world, number, first, last)] if self.responses else []),
            ]
        )
        order = np.lexsort((drawn.origin, drawn.second, drawn.day, drawn.file_day))
        place = np.empty(len(drawn), dtype=np.int64)
        place[order] = np.arange(len(drawn))
        drawn = drawn.pick(order)
        drawn.origin = np.where(drawn.origin >= 0, place[drawn.origin], -1)
        # Made of the block and the place in it, so that numbers never depend on what was written before.
        drawn.number = 10**11 + number * 10**8 + np.arange(len(drawn))
        drawn.original = np.where(drawn.origin >= 0, drawn.number[drawn.origin], -1)
        in_files = drawn if self.left_over is None else Rows.concat([self.left_over, drawn])
        self.left_over = in_files.pick(np.flatnonzero(in_files.file_day >= last))
        in_files = in_files.pick(np.flatnonzero(in_files.file_day < last))
        # A bank writes what it has booked in the order of booking: each balance follows from the one before.
        booked = in_files.day * 86_400 + in_files.booked_second
        in_files = in_files.pick(np.lexsort((in_files.number, booked, in_files.file_day)))
        account = in_files.customer * ACCOUNTS + in_files.account
        posted = np.where(in_files.is_pending, 0, in_files.paise)
        in_files.balance = running(self.ledger.reshape(-1), account, posted)
        return in_files
