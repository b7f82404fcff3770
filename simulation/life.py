"""Life events and intents: what changes a customer's life and shows only in what they buy, earn and owe.

Every kind has a window around its day in which a share of the customer's payments goes to a few categories.
Nothing else marks it in the files, so how far it can be told from them follows exactly (`ceilings.life`).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from simulation.parameters import CATEGORIES, Bank, Parameters
from simulation.people import Floats, Integers, People, Work
from simulation.randomness import Stream, generator

NEVER = 1 << 20
"""Day number for "no such day"."""


class Life(IntEnum):
    """Kinds of life events, and intents (to buy a home, to borrow)."""

    MARRIAGE = 0
    CHILD = 1
    MOVE = 2
    HOME_PURCHASE = 3
    JOB_CHANGE = 4
    RETIREMENT = 5
    LOAN = 6


@dataclass(frozen=True)
class Law:
    """How often an event happens, to whom, and what it does to payments.

    Attributes:
        yearly: rate among those of `ages` (inclusive).
        lead, tail: the window, in days before and after the event.
        share: share of payments in the window that go to `categories`, by name with their weights.
    """

    yearly: float
    ages: tuple[int, int]
    lead: int
    tail: int
    share: float
    categories: dict[str, float]


LAWS = {
    Life.MARRIAGE: Law(
        0.05, (22, 42), 75, 15, 0.10, {"luxury": 0.25, "shopping": 0.4, "travel": 0.15, "dining": 0.2}
    ),
    Life.CHILD: Law(
        0.06, (23, 45), 60, 90, 0.12, {"health": 0.45, "education_children": 0.25, "shopping": 0.3}
    ),
    Life.MOVE: Law(
        0.09, (20, 70), 20, 35, 0.14, {"home_improvement": 0.45, "utilities_telecom": 0.3, "travel": 0.25}
    ),
    Life.HOME_PURCHASE: Law(0.04, (26, 60), 30, 60, 0.12, {"home_improvement": 0.7, "shopping": 0.3}),
    Life.JOB_CHANGE: Law(0.12, (21, 57), 0, 0, 0.0, {}),
    Life.RETIREMENT: Law(0.25, (57, 62), 0, 0, 0.0, {}),
    Life.LOAN: Law(0.10, (22, 60), 0, 0, 0.0, {}),
}
SHOWN = tuple(kind for kind, law in LAWS.items() if law.share)
"""Kinds that show in what is bought."""


@dataclass(frozen=True)
class Lives:
    """Days of the events.

    Attributes:
        day: by kind and customer; `NEVER` where it does not happen within the horizon.
        chance: probability that it happens within the horizon, by kind and customer; the day is uniform.
        share: `Law.share` by kind at the bank's difficulty.
        new_city: city after a move, by customer; `new_employer` and `raise_` after a change of job.
    """

    day: Integers
    chance: Floats
    share: Floats
    new_city: Integers
    new_employer: Integers
    raise_: Floats

    def in_window(self, kind: Life, day: Integers, customer: Integers) -> npt.NDArray[np.bool_]:
        """Whether a day lies in the window of a customer's event."""
        law, since = LAWS[kind], day - self.day[kind, customer]
        inside: npt.NDArray[np.bool_] = (since >= -law.lead) & (since < law.tail)
        return inside

    def has_happened(self, kind: Life, day: Integers, customer: Integers) -> npt.NDArray[np.bool_]:
        """Whether the event has come by a day."""
        happened: npt.NDArray[np.bool_] = day >= self.day[kind, customer]
        return happened

    def tilted(
        self, rng: np.random.Generator, category: Integers, day: Integers, customer: Integers
    ) -> Integers:
        """Categories of payments after what the events make of them."""
        for kind in SHOWN:
            takes = self.in_window(kind, day, customer) & (rng.random(len(day)) < self.share[kind])
            chosen = rng.choice(len(CATEGORIES), len(day), p=mixture(kind))
            category = np.where(takes, chosen, category)
        return category


def mixture(kind: Life) -> Floats:
    """Probabilities of the categories that an event's payments go to."""
    weights = LAWS[kind].categories
    return np.array([weights.get(category.name, 0.0) for category in CATEGORIES])


def draw_lives(bank: Bank, parameters: Parameters, people: People, cities: int, employers: int) -> Lives:
    """Draw every event of the horizon; each kind happens to a customer once at most."""
    rng = generator(bank, Stream.LIFE)
    count = len(people)
    age = bank.start.year - people.birth_year
    chance = np.zeros((len(Life), count))
    for kind, law in LAWS.items():
        fits = (age >= law.ages[0]) & (age <= law.ages[1])
        if kind in (Life.JOB_CHANGE, Life.RETIREMENT):
            fits &= people.work == Work.SALARIED
        chance[kind] = np.where(fits, -np.expm1(-law.yearly * bank.horizon / 365), 0.0)
    happens = rng.random(chance.shape) < chance
    day = rng.integers(0, bank.horizon, chance.shape)
    return Lives(
        day=np.where(happens, day, NEVER),
        chance=chance,
        share=np.array([LAWS[kind].share for kind in Life]) * parameters.life_share,
        new_city=(people.city + rng.integers(1, cities, count)) % cities,
        new_employer=rng.integers(0, employers, count),
        raise_=rng.uniform(0.95, 1.35, count),
    )
