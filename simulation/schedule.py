"""When regular payments fall due, and who is there to make them."""

from typing import Any

import numpy as np
import pyarrow as pa

from simulation import text
from simulation.days import Shift
from simulation.latent import State
from simulation.people import Booleans, Floats, Integers
from simulation.world import World

PATIENCE_DAYS = 10
"""A payment by hand waits for an active day for so long; then it is made elsewhere."""


class Schedule:
    """Due dates, times and references of the days [first, last)."""

    def __init__(self, world: World, rng: np.random.Generator, first: int, last: int) -> None:
        self.world, self.rng, self.first, self.last = world, rng, first, last
        self.people, self.latent = world.people, world.latent

    def due(self, shift: Any, nominal_day: Any, among: Booleans, first: int) -> tuple[Integers, Integers]:
        """(customer, day) of monthly payments due from `first` on at open accounts."""
        chosen = np.flatnonzero(among)
        shifts = np.broadcast_to(np.asarray(shift), among.shape)[chosen]
        nominal = np.broadcast_to(np.asarray(nominal_day), among.shape)[chosen]
        row, column = np.nonzero(self.world.days.falls_due[shifts, nominal, first : self.last])
        customer, day = chosen[row], column + first
        is_open = self.latent.is_open[day, customer]
        return customer[is_open], day[is_open]

    def by_mandate(
        self, shift: Shift, nominal_day: Any, among: Booleans, linger: int
    ) -> tuple[Integers, Integers]:
        """Monthly payments that go on by themselves, for a while even after the customer has gone."""
        customer, day = self.due(shift, nominal_day, among, self.first)
        keep = self.world.still_serves(customer, day, linger)
        return customer[keep], day[keep]

    def by_hand(self, nominal_day: Any, among: Booleans) -> tuple[Integers, Integers]:
        """Monthly payments that wait for an active day, so that they add nothing to what silence means."""
        customer, due = self.due(Shift.NONE, nominal_day, among, max(0, self.first - PATIENCE_DAYS))
        day = self.world.next_visit[due, customer].astype(np.int64)
        paid = (day < due + PATIENCE_DAYS) & (day >= self.first) & (day < self.last)
        return customer[paid], day[paid]

    def between(self, from_hour: int, to_hour: int, count: int) -> Integers:
        """Seconds of the day between two hours."""
        return self.rng.integers(from_hour * 3600, to_hour * 3600, count)

    def reference(self, digits: int, count: int) -> pa.Array:
        """Reference numbers of so many digits."""
        return text.digits(self.rng.integers(10 ** (digits - 1), 10**digits, count))

    def month(self, day: Integers) -> pa.Array:
        """Months as statements write them."""
        return text.pick(self.world.days.month_label, day)

    def noise(self, sigma: float, count: int) -> Floats:
        """Factors around 1."""
        return np.exp(sigma * self.rng.standard_normal(count))

    def happens(self, chance: Floats) -> tuple[Integers, Integers]:
        """(customer, day) of events with a daily chance (days × customers) while a customer uses the bank."""
        engaged = self.latent.state[self.first : self.last] <= State.FADING_2
        step, customer = np.nonzero((self.rng.random(chance.shape) < chance) & engaged)
        return customer, step + self.first


def in_paise(rupees: Floats) -> Integers:
    """Amounts in paise, a rupee at least."""
    return np.maximum(np.round(rupees * 100), 100).astype(np.int64)
