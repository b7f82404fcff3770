"""Events and consents beside those of `life` and `profiles`: only in a bank that asks for them.

A car bought, a pension saved for, consent to sensitive things. They have random streams of their own and
their rows are added to what the books have decided, so a bank without them stays byte for byte as it is.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from simulation.life import NEVER
from simulation.parameters import Bank
from simulation.people import Booleans, Integers, People, Work
from simulation.randomness import Stream, generator


class MoreLife(IntEnum):
    """Kinds of events; the truth calls them by their names in lower case."""

    CAR = 0
    RETIREMENT_SAVING = 1


YEARLY = {MoreLife.CAR: (0.08, (22, 65)), MoreLife.RETIREMENT_SAVING: (0.07, (28, 58))}
"""Rate among those of the ages, inclusive."""
SENSITIVE_SHARE = 0.3
"""Of the customers, those who agree that sensitive things are told of them."""
FINANCED_SHARE = 0.5


@dataclass(frozen=True)
class More:
    """What is drawn beyond `Lives`.

    Attributes:
        day: by kind and customer; `NEVER` where it does not happen within the horizon.
        is_financed: whether the customer's car is paid for by a loan elsewhere.
        agrees: whether the customer agrees to sensitive things.
    """

    day: Integers
    is_financed: Booleans
    agrees: Booleans


def draw_more(bank: Bank, people: People) -> More | None:
    """Events and consents of the horizon; None where the bank does not ask for them."""
    if not bank.more_events:
        return None
    rng, count = generator(bank, Stream.MORE), len(people)
    age = bank.start.year - people.birth_year
    day = np.full((len(MoreLife), count), NEVER, dtype=np.int64)
    for kind, (yearly, (youngest, oldest)) in YEARLY.items():
        happens = rng.random(count) < -np.expm1(-yearly * bank.horizon / 365)
        happens &= (age >= youngest) & (age <= oldest) & ~people.is_occasional
        if kind == MoreLife.RETIREMENT_SAVING:
            happens &= (people.investment == 0) & np.isin(people.work, (Work.SALARIED, Work.SELF_EMPLOYED))
        day[kind] = np.where(happens, rng.integers(0, bank.horizon, count), NEVER)
    return More(day, rng.random(count) < FINANCED_SHARE, rng.random(count) < SENSITIVE_SHARE)
