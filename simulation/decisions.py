"""What balances decide, day by day: who can pay, who is helped out, what is returned, charged and earned."""

from typing import TYPE_CHECKING, Any

import numpy as np

from simulation import text
from simulation.latent import SHOCK, State
from simulation.people import Account, Booleans, Integers
from simulation.rows import ELSEWHERE, Channel, Kind, Mode, Rows, rows

if TYPE_CHECKING:
    from simulation.books import Books

BOUNCE_CHARGE = 59_000  # paise
OVERDRAFT_RATE = 0.18
SAVINGS_RATE = 0.03
TOP_UP_CHANCE, TOP_UP_CHANCE_IN_SHOCK = 0.5, 0.12
"""Daily probability of sending money to an account that has run dry."""
EMPTIES_SHARE = 0.55
"""Share of those who leave from an active day and take their money along at once."""
MANDATES = (Kind.EMI, Kind.SIP, Kind.SUB, Kind.INS)


class Decisions:
    """Goes through the days of one block and decides what depends on balances."""

    def __init__(self, books: "Books", drawn: Rows, rng: np.random.Generator, first: int, last: int) -> None:
        self.books, self.world, self.rng = books, books.world, rng
        self.first, self.last, self.drawn = first, last, drawn
        self.keep = np.ones(len(drawn), dtype=np.bool_)
        self.paise = drawn.paise.copy()
        self.returned: list[Integers] = []
        self.made: list[Rows] = []

    def decide(self) -> Rows:
        """All rows of the block with what the balances allow, and what the bank and customers add."""
        drawn = self.drawn
        is_own = drawn.other_account >= 0
        is_mandate = np.isin(drawn.kind, MANDATES) & (drawn.account == Account.CURRENT)
        free = ~(is_own | is_mandate | drawn.is_pending)
        count = len(self.world.people)
        days = self.last - self.first
        flows = np.zeros((days, count, len(Account)), dtype=np.int64)
        if self.books.left_over is not None:
            late = self.books.left_over  # refunds of what was bought in the block before
            which = np.flatnonzero((late.day >= self.first) & (late.day < self.last))
            np.add.at(
                flows,
                (late.day[which] - self.first, late.customer[which], late.account[which]),
                late.paise[which],
            )
        which = np.flatnonzero(free & (drawn.day < self.last))
        np.add.at(
            flows,
            (drawn.day[which] - self.first, drawn.customer[which], drawn.account[which]),
            drawn.paise[which],
        )
        waiting = np.flatnonzero(is_own | is_mandate)
        waiting = waiting[np.lexsort((drawn.second[waiting], drawn.customer[waiting], drawn.day[waiting]))]
        edges = np.searchsorted(drawn.day[waiting], np.arange(self.first, self.last + 1))
        for step in range(days):
            self._day(self.first + step, flows[step], waiting[edges[step] : edges[step + 1]])
        return self._assembled()

    def _day(self, day: int, flow: Any, waiting: Integers) -> None:
        world, books, drawn = self.world, self.books, self.drawn
        available = books.available
        state = world.latent.state[day]
        is_open = state < State.CLOSED
        self._fill_up(day, is_open)
        while len(waiting):
            customer = drawn.customer[waiting]
            is_first = np.r_[True, customer[1:] != customer[:-1]]
            self._pay(waiting[is_first])
            waiting = waiting[~is_first]
        available += flow
        self._empty(day, state)
        balance = available[:, Account.CURRENT]
        books.overdrawn += np.minimum(balance, 0)
        if day + 1 == world.days.count or world.days.day_of_month[day + 1] == 1:
            self._close_month(day, is_open)

    def _pay(self, row: Integers) -> None:
        """One waiting row per customer: pay, limit or return it."""
        drawn, books = self.drawn, self.books
        customer, other = drawn.customer[row], drawn.other_account[row]
        available = books.available
        here = available[customer, Account.CURRENT]
        is_own = other >= 0
        owed = np.maximum(-available[customer, Account.CREDIT_CARD], 0)
        part = np.where(books.is_revolver[customer], self.rng.uniform(0.05, 0.4, len(row)), 1.0)
        wish = np.where(other == Account.CREDIT_CARD, owed * part, -drawn.paise[row])
        limit = np.where(is_own, 0.8 * here, here + books.overdraft_limit[customer])
        amount = np.where(is_own, np.minimum(wish, limit) // 100 * 100, wish).astype(np.int64)
        paid = np.where(is_own, amount >= 10_000, amount <= limit)
        self.paise[row] = -amount
        bounced = ~paid & (drawn.kind[row] == Kind.EMI)
        self.keep[row] = paid | bounced
        self.returned.append(row[bounced])
        gone = np.where(paid, amount, np.where(bounced, BOUNCE_CHARGE, 0))
        available[customer, Account.CURRENT] -= gone
        moved = np.flatnonzero(paid & is_own)
        available[customer[moved], other[moved]] += amount[moved]

    def _fill_up(self, day: int, is_open: Booleans) -> None:
        """Early in the morning: savings, else an account elsewhere, come to the help of a dry account."""
        world, books = self.world, self.books
        available = books.available
        in_shock = (world.latent.causes[day] & SHOCK) > 0
        floor = np.where(in_shock, -books.overdraft_limit * 0.8, 0.04 * 100 * world.people.income)
        uses = (world.latent.state[day] <= State.FADING_2) & (world.people.signed_up <= day)
        low = (available[:, Account.CURRENT] < floor) & is_open & uses
        chance = np.where(in_shock, TOP_UP_CHANCE_IN_SHOCK, TOP_UP_CHANCE)
        helped = np.flatnonzero(low & (self.rng.random(len(low)) < chance))
        need = floor[helped] - available[helped, Account.CURRENT] + 0.15 * 100 * world.people.income[helped]
        need = (np.ceil(need / 100_000) * 100_000).astype(np.int64)
        saved = available[helped, Account.SAVINGS] >= need
        self._own(helped[saved], day, need[saved], Account.SAVINGS, Account.CURRENT, "SWEEP-IN FROM SB ", 5)
        self._own(helped[~saved], day, need[~saved], ELSEWHERE, Account.CURRENT, "IMPS CR-OWN A/C-", 6)
        if world.days.day_of_month[day] == 9:
            much = available[:, Account.CURRENT] - 250 * world.people.income
            rich = np.flatnonzero((much > 0) & is_open)
            amount = (much[rich] // 100_000 * 100_000).astype(np.int64)
            rich, amount = rich[amount > 0], amount[amount > 0]
            self._own(rich, day, amount, Account.CURRENT, ELSEWHERE, "SI TRF OWN A/C ", 9)

    def _empty(self, day: int, state: Any) -> None:
        """Who leaves from an active day may take the money along; an account that closes is paid out."""
        world, books = self.world, self.books
        if day + 1 == world.days.count:
            return
        tomorrow, here = world.latent.state[day + 1], books.available[:, Account.CURRENT]
        leaves = (tomorrow == State.LEFT) & (state != State.LEFT) & world.latent.is_visit[day]
        leaves &= (self.rng.random(len(here)) < EMPTIES_SHARE) & (here > 100_000)
        who = np.flatnonzero(leaves)
        amount = (here[who] * self.rng.uniform(0.85, 1.0, len(who)) // 10_000 * 10_000).astype(np.int64)
        self._own(who, day, amount, Account.CURRENT, ELSEWHERE, "IMPS/P2A/OWN A/C ", 22, Channel.APP)
        closes = (tomorrow == State.CLOSED) & (state != State.CLOSED)
        for account in (Account.CURRENT, Account.SAVINGS):
            who = np.flatnonzero(closes & (books.available[:, account] > 0))
            amount = books.available[who, account].copy()
            self._own(who, day, amount, account, ELSEWHERE, "A/C CLOSURE PAYOUT ", 23)

    def _own(
        self,
        who: Integers,
        day: int,
        paise: Integers,
        source: int,
        target: int,
        head: str,
        hour: int,
        channel: Channel = Channel.NONE,
    ) -> None:
        """A movement between own accounts, one of which may be at another bank."""
        second = hour * 3600 + self.rng.integers(0, 3_000, len(who))
        reference = text.digits(self.rng.integers(10**8, 10**9, len(who)))
        mode = Mode.NEFT if channel or source == ELSEWHERE else Mode.SI
        for account, other, sign in ((source, target, -1), (target, source, 1)):
            if account == ELSEWHERE:
                continue
            self.books.available[who, account] += sign * paise
            self.made.append(
                rows(
                    who,
                    np.full(len(who), day),
                    second,
                    sign * paise,
                    text.join(head, reference),
                    account=account,
                    other_account=other,
                    mode=mode,
                    channel=channel,
                    kind=Kind.OWN,
                )
            )

    def _close_month(self, day: int, is_open: Booleans) -> None:
        """Overdraft interest every month, interest on savings every quarter."""
        books, world = self.books, self.world
        month = world.days.month_label[day]
        owed = np.round(-books.overdrawn * OVERDRAFT_RATE / 365).astype(np.int64)
        books.overdrawn[:] = 0
        self._interest(
            np.flatnonzero((owed > 0) & is_open), day, -owed, Account.CURRENT, f"OD INTEREST {month}"
        )
        if world.days.month[day] % 3 == 0:
            saved = np.round(books.available[:, Account.SAVINGS] * SAVINGS_RATE / 4).astype(np.int64)
            who = np.flatnonzero((saved > 0) & is_open)
            self._interest(who, day, saved, Account.SAVINGS, f"CREDIT INTEREST {month}")

    def _interest(self, who: Integers, day: int, paise: Integers, account: Account, words: str) -> None:
        self.books.available[who, account] += paise[who]
        self.made.append(
            rows(
                who,
                np.full(len(who), day),
                np.full(len(who), 86_000),
                paise[who],
                text.pick([words], np.zeros(len(who), dtype=np.int64)),
                account=account,
                mode=Mode.INT,
                kind=Kind.INT,
            )
        )

    def _assembled(self) -> Rows:
        drawn = self.drawn
        drawn.paise = self.paise
        own = np.flatnonzero(self.keep & np.isin(drawn.other_account, (Account.SAVINGS, Account.CREDIT_CARD)))
        arrives = drawn.pick(
            own,
            account=drawn.other_account[own],
            other_account=Account.CURRENT,
            paise=-drawn.paise[own],
            description=text.join(
                text.pick(
                    ["TRF FROM OWN A/C ", "PAYMENT RECEIVED THANK YOU "],
                    (drawn.other_account[own] == Account.CREDIT_CARD).astype(np.int64),
                ),
                text.last_digits(drawn.description.take(own), 9),
            ),
        )
        back = np.concatenate([np.zeros(0, dtype=np.int64), *self.returned])
        later = drawn.second[back] + 7_200
        returned = drawn.pick(
            back,
            origin=back,
            second=later,
            booked_second=later,
            paise=-drawn.paise[back],
            kind=Kind.REV,
            description=text.join("RTN INSUFFICIENT FUNDS ", drawn.description.take(back)),
        )
        charges = drawn.pick(
            back,
            second=later,
            booked_second=later,
            paise=-BOUNCE_CHARGE,
            mode=Mode.CHG,
            kind=Kind.CHG,
            description=text.join("NACH RTN CHG ", text.pick(self.world.days.month_label, drawn.day[back])),
        )
        everything = Rows.concat([drawn, arrives, returned, charges, *self.made])
        kept = np.r_[self.keep, np.ones(len(everything) - len(drawn), dtype=np.bool_)]
        place = np.cumsum(kept) - 1
        everything.origin = np.where(everything.origin >= 0, place[everything.origin], -1)
        return everything.pick(np.flatnonzero(kept))
