"""What a car and saving for retirement (`more`) make of the files: payments that nobody else has."""

import numpy as np
import pyarrow as pa

from simulation import text
from simulation.days import Shift
from simulation.life import NEVER
from simulation.more import More, MoreLife
from simulation.people import Floats, Integers
from simulation.randomness import Stream, generator
from simulation.rows import Channel, Kind, Mode, Rows, rows
from simulation.schedule import PATIENCE_DAYS, Schedule, in_paise
from simulation.world import World

DEALER, FUEL = "/MARUTI SUZUKI ARENA/marutisuzuki@icici", "/INDIAN OIL PETROL PUMP/iocl@sbi"
FUEL_SHARE, FUEL_DAYS = 0.35, 120
"""On so many of the active days the new car is fuelled, at first."""
INSTALMENTS = 36


def more_rows(world: World, more: More, block: int, first: int, last: int) -> Rows:
    """What the events make of the days [first, last), which are a block."""
    return Rows.concat(list(_Events(world, more, block, first, last).draw()))


class _Events(Schedule):
    def __init__(self, world: World, more: More, block: int, first: int, last: int) -> None:
        super().__init__(world, generator(world.bank, Stream.MORE, block + 1), first, last)
        self.bought, self.saves = more.day[MoreLife.CAR], more.day[MoreLife.RETIREMENT_SAVING]
        self.is_financed = more.is_financed

    def draw(self) -> list[Rows]:
        return [self._dealer(), self._fuel(), self._insurance(), self._instalments(), self._saving()]

    def _dealer(self) -> Rows:
        """Paid on an active day, so that it adds nothing to what silence means."""
        customer = np.flatnonzero(self.bought < self.world.days.count)
        due = self.bought[customer]
        day = self.world.next_visit[due, customer].astype(np.int64)
        comes = (day < due + PATIENCE_DAYS) & (day >= self.first) & (day < self.last)
        customer, day = customer[comes], day[comes]
        rupees = 28_000 * self.people.means[customer] * self.noise(0.4, len(day))
        return self._by_upi(customer, day, rupees, DEALER)

    def _fuel(self) -> Rows:
        step, customer = np.nonzero(self.latent.is_visit[self.first : self.last])
        day = step + self.first
        since = day - self.bought[customer]
        fuelled = (since > 0) & (since < FUEL_DAYS) & (self.rng.random(len(day)) < FUEL_SHARE)
        customer, day = customer[fuelled], day[fuelled]
        return self._by_upi(customer, day, 900 * self.noise(0.4, len(day)), FUEL)

    def _insurance(self) -> Rows:
        since = np.arange(self.first, self.last)[:, None] - self.bought - 5
        step, customer = np.nonzero((since >= 0) & (since % 365 == 0))
        return self._collected(
            customer,
            step + self.first,
            9_000 * self.people.means[customer],
            "ICICI LOMBARD-",
            500_000,
            Kind.INS,
        )

    def _instalments(self) -> Rows:
        customer, day = self.by_mandate(
            Shift.NEXT_WORKDAY,
            self.people.instalment_day,
            self.is_financed & (self.bought < NEVER),
            linger=60,
        )
        since = day - self.bought[customer]
        due = (since > 20) & (since < 20 + 30 * INSTALMENTS)
        customer, day = customer[due], day[due]
        return self._collected(
            customer, day, 0.12 * self.people.income[customer], "HDFC LTD-", 600_000, Kind.EMI
        )

    def _saving(self) -> Rows:
        customer, day = self.by_mandate(
            Shift.NEXT_WORKDAY, self.people.investment_day, self.saves < NEVER, linger=0
        )
        due = day > self.saves[customer]
        customer, day = customer[due], day[due]
        return self._collected(
            customer, day, 0.07 * self.people.income[customer], "BSE STAR MF-", 700_000, Kind.SIP
        )

    def _by_upi(self, customer: Integers, day: Integers, rupees: Floats, payee: str) -> Rows:
        return rows(
            customer,
            day,
            self.between(9, 20, len(day)),
            -in_paise(np.round(rupees)),
            text.join("UPI/P2M/", self.reference(6, len(day)), payee),
            mode=Mode.UPI,
            channel=Channel.APP,
            kind=Kind.PUR,
        )

    def _collected(
        self, customer: Integers, day: Integers, rupees: Floats, payee: str, salt: int, kind: Kind
    ) -> Rows:
        stays = self.world.still_serves(customer, day, 0)
        customer, day, rupees = customer[stays], day[stays], rupees[stays]
        return rows(
            customer,
            day,
            self.between(3, 8, len(day)),
            -in_paise(np.round(rupees)),
            text.join("ACH D- ", payee, _digits(customer, salt)),
            mode=Mode.NACH,
            kind=kind,
        )


def _digits(customer: Integers, salt: int) -> pa.Array:
    return text.digits(customer * 19 + salt)
