"""The customers' file: who is new, and whose master data has changed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulation import text
from simulation.latent import State
from simulation.life import Life
from simulation.names import CITIES, FIRST_NAMES, LAST_NAMES
from simulation.parameters import CURRENCY
from simulation.people import Account, Integers
from simulation.randomness import Stream, generator
from simulation.world import World, phone

CHANGE_RATE = 1 / 900
"""Daily probability that a customer's declared income and consent are asked for again."""
INCOME_STEP = 1.07

CONSENTS = [
    *("service", "service;marketing", "service;sensitive", "service;marketing;sensitive"),
]
"""By whether the customer agrees to campaigns (1) and to sensitive things (2)."""
FULL_NAMES = [f"{given} {family}" for given in FIRST_NAMES for family in LAST_NAMES]

HEADER = (
    "customer_id,full_name,mobile,signed_up_on,closed_on,birth_year,gender,region,city,country,"
    "segment,declared_income,consents\n"
)


@dataclass(frozen=True)
class Profiles:
    """Master data by day and customer.

    Attributes:
        changes: how often the data had changed by that day.
        marketing: whether the customer agrees to campaigns on that day.
    """

    changes: npt.NDArray[np.int64]
    marketing: npt.NDArray[np.bool_]


ACCOUNT_HEADER = "account_no,customer_id,type,currency,opened_on,closed_on,credit_limit\n"
MOVE_REPORTED_AFTER = 20
"""Days until a customer who has moved tells the bank."""


def draw_profiles(world: World) -> Profiles:
    """Changes of master data over the whole horizon."""
    rng = generator(world.bank, Stream.PROFILES)
    asked = (rng.random(world.latent.state.shape) < CHANGE_RATE) & world.latent.is_open
    asked[0] = False
    changes: Integers = np.cumsum(asked, axis=0)
    agreed = rng.random(len(world.people)) < 0.6
    return Profiles(changes, (changes % 2 == 1) ^ agreed)


def closed_day(world: World) -> Integers:
    """Simulated day of formal closing of each customer; −1 where it never comes."""
    closed = world.latent.state == State.CLOSED
    return np.where(closed.any(axis=0), closed.argmax(axis=0), -1)


def reported(world: World, profiles: Profiles, day: int) -> Integers:
    """Customers in the file of a day: all of them on the first, then the new, the changed and the closed."""
    state = world.latent.state
    if day == 0:
        return np.flatnonzero(state[0] != State.NOT_YET)
    new = world.people.signed_up == day
    changed = profiles.changes[day] != profiles.changes[day - 1]
    closes = (state[day] == State.CLOSED) & (state[day - 1] != State.CLOSED)
    moved = world.lives.day[Life.MOVE] + MOVE_REPORTED_AFTER == day
    return np.flatnonzero(new | ((changed | moved) & world.latent.is_open[day]) | closes)


def with_news_of_accounts(world: World, day: int) -> Integers:
    """Customers whose accounts stand in the file of a day: all on the first, then the new and the closed."""
    state = world.latent.state
    if day == 0:
        return np.flatnonzero(state[0] != State.NOT_YET)
    closes = (state[day] == State.CLOSED) & (state[day - 1] != State.CLOSED)
    return np.flatnonzero((world.people.signed_up == day) | closes)


def account_lines(
    world: World, closed_on: Integers, overdraft_limit: Integers, numbers: pa.Array, day: int, who: Integers
) -> pa.Array:
    """One row per account of some customers as of a day."""
    people, start = world.people, world.days.datetime64[0].astype("datetime64[D]")
    has = np.stack([np.ones(len(people), dtype=np.bool_), people.sweep > 0, people.has_credit_card], axis=1)
    row, account = np.nonzero(has[who])
    customer = who[row]
    is_closed = (closed_on[customer] >= 0) & (closed_on[customer] <= day)
    limits = np.stack(
        [
            overdraft_limit // 100,
            np.zeros(len(people), dtype=np.int64),
            (people.income * 1.5 // 10_000 * 10_000).astype(np.int64) + 20_000,
        ],
        axis=1,
    )
    separated = text.join(
        text.take(numbers, customer * len(Account) + account),
        text.take(pa.array(people.customer_id), customer),
        text.pick(["current", "savings", "card"], account),
        text.pick([CURRENCY], np.zeros(len(customer), dtype=np.int64)),
        pa.array(start + people.signed_up[customer].astype("timedelta64[D]")).cast(pa.string()),
        pa.array(start + closed_on[customer].astype("timedelta64[D]"), mask=~is_closed).cast(pa.string()),
        text.join(text.digits(limits[customer, account]), ".00"),
        separator=",",
    )
    return text.join(separated, "\n")


def profile_lines(world: World, profiles: Profiles, closed_on: Integers, day: int, who: Integers) -> pa.Array:
    """Full rows of some customers as of a day."""
    people, start = world.people, world.days.datetime64[0].astype("datetime64[D]")
    is_closed = (closed_on[who] >= 0) & (closed_on[who] <= day)
    closed = pa.array(start + closed_on[who].astype("timedelta64[D]"), mask=~is_closed).cast(pa.string())
    income = np.round(people.income[who] * INCOME_STEP ** profiles.changes[day, who], -3).astype(np.int64)
    city = world.city_of(who, np.full(len(who), day - MOVE_REPORTED_AFTER))
    agrees = world.more.agrees if world.more else np.zeros(len(people), dtype=np.bool_)
    separated = text.join(
        text.take(pa.array(people.customer_id), who),
        text.pick(FULL_NAMES, who * 7_919 % len(FULL_NAMES)),
        pa.array([phone(10**8 + number) for number in who.tolist()], pa.string()),
        pa.array(start + people.signed_up[who].astype("timedelta64[D]")).cast(pa.string()),
        closed,
        text.digits(people.birth_year[who]),
        text.pick(["M", "F"], people.is_woman[who].astype(np.int64)),
        text.pick([region for _, region, _ in CITIES], city),
        text.pick([name for name, _, _ in CITIES], city),
        text.pick(["IN"], np.zeros(len(who), dtype=np.int64)),
        text.pick(["neobank"], np.zeros(len(who), dtype=np.int64)),
        text.join(text.digits(income), ".00"),
        text.pick(CONSENTS, profiles.marketing[day, who] + 2 * agrees[who]),
        separator=",",
    )  # fmt: skip
    return text.join(separated, "\n")
