"""One bank in memory: everything that the files of any day are drawn from."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulation.days import Days
from simulation.latent import Chain, Latent, State, chain_of, simulate
from simulation.life import NEVER, Life, Lives, draw_lives
from simulation.merchants import Merchants, open_merchants
from simulation.more import More, draw_more
from simulation.names import CITIES, EMPLOYERS, FIRST_NAMES, LAST_NAMES
from simulation.parameters import Bank, Parameters
from simulation.people import Integers, People, draw_people

CONTACTS = 6
"""People to whom one customer sends money; contact 6·c … 6·c+5 are those of customer c."""
STRANGERS = 5_000
"""People whom a customer pays once: the contacts after all customers' own ones. Thieves are among them."""


@dataclass(frozen=True)
class World:
    """A bank with its customers, merchants and hidden states over the whole horizon.

    Attributes:
        next_visit: by day and customer, the first active day from that day on.
        last_stay: by day and customer, the last day until that day on which the customer had not left.
        contact_name: name of each contact; `contact_handle` their UPI handle, `contact_phone` their number.
    """

    bank: Bank
    parameters: Parameters
    days: Days
    people: People
    chain: Chain
    latent: Latent
    merchants: Merchants
    lives: Lives
    more: More | None
    next_visit: npt.NDArray[np.int32] = field(repr=False)
    last_stay: npt.NDArray[np.int32] = field(repr=False)
    contact_name: pa.Array = field(repr=False)
    contact_handle: pa.Array = field(repr=False)
    contact_phone: pa.Array = field(repr=False)

    def city_of(self, customer: Integers, day: Integers) -> Integers:
        """Home city on a day: another one after a move."""
        moved = self.lives.has_happened(Life.MOVE, day, customer)
        return np.where(moved, self.lives.new_city[customer], self.people.city[customer])

    def stranger(self, rng: np.random.Generator, count: int) -> Integers:
        """Contacts that nobody knows."""
        return len(self.people) * CONTACTS + rng.integers(0, STRANGERS, count)

    def still_serves(self, customer: Integers, day: Integers, linger: int) -> npt.NDArray[np.bool_]:
        """Whether a mandate is still drawn: no more than `linger` days after the customer has gone."""
        since: npt.NDArray[np.bool_] = day - self.last_stay[day, customer] <= linger
        return since


def build_world(bank: Bank, parameters: Parameters) -> World:
    """Draw a bank; a few hundred milliseconds for 2,000 customers and two years."""
    days = Days(bank)
    people = draw_people(bank, parameters)
    chain = chain_of(people, people.base_visits(days, parameters.activity.ramp_days), parameters.leaving)
    latent = simulate(bank, parameters, people, days, chain)
    number = np.arange(days.count, dtype=np.int32)[:, None]
    stays = np.where(latent.state < State.LEFT, number, np.int32(-NEVER))
    next_visit = np.where(latent.is_visit, number, np.int32(NEVER))[::-1]
    contact = np.arange(len(people) * CONTACTS + STRANGERS)
    first, last = _shuffled(contact, 7, len(FIRST_NAMES)), _shuffled(contact, 11, len(LAST_NAMES))
    suffix = _shuffled(contact, 13, 100)
    named = [(FIRST_NAMES[i], LAST_NAMES[j], n) for i, j, n in zip(first, last, suffix, strict=True)]
    return World(
        bank=bank,
        parameters=parameters,
        days=days,
        people=people,
        chain=chain,
        latent=latent,
        merchants=open_merchants(bank, people.city),
        lives=draw_lives(bank, parameters, people, len(CITIES), len(EMPLOYERS)),
        more=draw_more(bank, people),
        next_visit=np.minimum.accumulate(next_visit, axis=0)[::-1],
        last_stay=np.maximum.accumulate(stays, axis=0),
        contact_name=pa.array([f"{given} {family}" for given, family, _ in named]),
        contact_handle=pa.array([f"{given}.{family[0]}{n}@okaxis".lower() for given, family, n in named]),
        contact_phone=pa.array([phone(number) for number in contact.tolist()]),
    )


def phone(number: int) -> str:
    """A mobile number that nobody has: India's begin with 6 to 9."""
    return f"+91{5_000_000_000 + (number * 7_368_787) % 999_999_937:010d}"


def _shuffled(number: Integers, salt: int, size: int) -> Integers:
    """A fixed, scattered choice of 0 … size−1 for each number."""
    return (number * 2_654_435_761 + salt * 40_503) % 4_294_967_291 // 65_536 % size
