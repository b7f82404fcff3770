"""Theft: stolen payments among the customers' own.

Three ways: card testing (many tiny payments online, then a large one), account take-over (a log-in from a
new device, then transfers to strangers), compromised merchants (cards used there are used elsewhere
later). A share copies the owner's habits. Every attack happens on one day on which the owner pays too: so
that theft never makes a customer look active who is not.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from simulation.names import CITIES
from simulation.parameters import BLOCK_DAYS, CATEGORIES
from simulation.people import Booleans, Floats, Integers
from simulation.purchases import (
    PEOPLE,
    Series,
    as_online,
    describe,
    draw_categories,
    draw_payments,
    small_online,
)
from simulation.randomness import Stream, generator
from simulation.rows import Channel, Mode, Rows
from simulation.world import World


class Kind(IntEnum):
    """Ways of theft."""

    NONE = 0
    TESTING = 1
    TAKEOVER = 2
    LEAK = 3


TESTS = Series(2, 3.0, 60, 0.9, 120, 0, 0)
LARGE_SHARE, LARGE_RUPEES, LARGE_SIGMA = 0.6, 3200, 0.7
"""Tests that are followed by a large payment, and its amount for average means."""
TAKEOVER_FEWEST, TAKEOVER_MORE, TAKEOVER_RUPEES, TAKEOVER_SIGMA = 1, 1.3, 2600, 0.9
LEAK_FEWEST, LEAK_MORE, LEAK_RUPEES, LEAK_SIGMA = 1, 1.2, 1300, 0.9
LEAK_CATEGORIES = tuple(
    number
    for number, category in enumerate(CATEGORIES)
    if category.name in ("groceries", "shopping", "luxury", "travel")
)
LEAK_ONLINE, LEAK_AWAY = 0.5, 0.5
LEAK_WAIT = 4
"""Days between the use at a leaking merchant and the earliest theft."""


@dataclass(frozen=True)
class Attacks:
    """Attacks of one kind in a block: whose account, on which day, beginning when."""

    customer: Integers
    day: Integers
    second: Integers


def attacks(world: World, block: int) -> dict[Kind, Attacks]:
    """Card tests and take-overs of a block; log-ins and transactions both need them."""
    first = block * BLOCK_DAYS
    last = min(first + BLOCK_DAYS, world.days.count)
    theft, rng = world.parameters.theft, generator(world.bank, Stream.FRAUD, block)
    step, customer = np.nonzero(world.latent.is_visit[first:last])
    day, draw = step + first, rng.random(len(step))
    second = rng.integers(0, 80_000, len(step))
    tested = draw < theft.testing_onset
    taken = ~tested & (draw < theft.testing_onset + takeover_onset(world, day))
    return {
        kind: Attacks(customer[which], day[which], second[which])
        for kind, which in ((Kind.TESTING, tested), (Kind.TAKEOVER, taken))
    }


def takeover_onset(world: World, day: Integers) -> Floats:
    """Probability of a take-over on an active day; the drift of fraud is all its own."""
    onset: Floats = world.parameters.theft.takeover_onset * (1 + 3 * world.bank.drift("fraud", day))
    return onset


def exposures(world: World, purchases: Rows, block: int) -> Attacks:
    """Cards that were used at a leaking merchant, with the day on which they would be used by a thief.

    Each is used with probability `used_after_leak`; the choice is made by `draw_thefts`.
    """
    first, last = block * BLOCK_DAYS, min((block + 1) * BLOCK_DAYS, world.days.count)
    theft, rng = world.parameters.theft, generator(world.bank, Stream.LEAKS, block)
    at_terminal = np.flatnonzero(purchases.channel == Channel.POS)
    leaks = rng.poisson(theft.leaks_a_month * (last - first) / 30)
    nothing = np.zeros(0, dtype=np.int64)
    if not len(at_terminal):
        return Attacks(nothing, nothing, nothing)
    merchants = np.unique(purchases.merchant[rng.choice(at_terminal, leaks)])
    used = at_terminal[np.isin(purchases.merchant[at_terminal], merchants)]
    used = used[purchases.day[used] < first + theft.leak_days]
    customer, kept = np.unique(purchases.customer[used], return_index=True)
    day = world.next_visit[np.minimum(purchases.day[used][kept] + LEAK_WAIT, last - 1), customer].astype(
        np.int64
    )
    inside = day < last
    return Attacks(customer[inside], day[inside], rng.integers(0, 80_000, int(inside.sum())))


def draw_thefts(world: World, exposed: Attacks, block: int) -> Rows:
    """All stolen payments of a block."""
    rng = generator(world.bank, Stream.THEFTS, block)
    by_kind = attacks(world, block)
    by_kind[Kind.LEAK] = _chosen(
        exposed, rng.random(len(exposed.day)) < world.parameters.theft.used_after_leak
    )
    parts = []
    for kind, draw in (
        (Kind.TESTING, _tests), (Kind.TAKEOVER, _takeovers), (Kind.LEAK, _leaks)
    ):  # fmt: skip
        drawn = _like_the_owner(world, rng, draw(world, rng, by_kind[kind]))
        drawn.fraud = np.full(len(drawn), int(kind))
        parts.append(drawn)
    return Rows.concat(parts)


def _chosen(some: Attacks, which: Booleans) -> Attacks:
    return Attacks(some.customer[which], some.day[which], some.second[which])


def _tests(world: World, rng: np.random.Generator, attack: Attacks) -> Rows:
    small = small_online(world, rng, attack.customer, attack.day, TESTS)
    followed = np.flatnonzero(rng.random(len(attack.day)) < LARGE_SHARE)
    customer, day = attack.customer[followed], attack.day[followed]
    drawn = draw_payments(world, rng, customer, day, rng.choice(LEAK_CATEGORIES, len(day)))
    rupees = LARGE_RUPEES * world.people.means[customer] * np.exp(LARGE_SIGMA * rng.standard_normal(len(day)))
    large = as_online(world, rng, drawn, rng.integers(0, 86_399, len(day)), rupees)
    return Rows.concat([small, large])


def _takeovers(world: World, rng: np.random.Generator, attack: Attacks) -> Rows:
    which = _repeated(rng, attack, TAKEOVER_FEWEST, TAKEOVER_MORE)
    customer, day = attack.customer[which], attack.day[which]
    drawn = draw_payments(world, rng, customer, day, np.full(len(day), PEOPLE))
    rupees = (
        TAKEOVER_RUPEES
        * world.people.means[customer]
        * np.exp(TAKEOVER_SIGMA * rng.standard_normal(len(day)))
    )
    second = np.minimum(attack.second[which] + rng.integers(120, 5_400, len(day)), 86_399)
    drawn = drawn.pick(
        np.arange(len(day)),
        mode=Mode.UPI,
        contact=world.stranger(rng, len(day)),
        second=second,
        booked_second=second,
        paise=-np.maximum(np.round(rupees), 1).astype(np.int64) * 100,
    )
    drawn.description = describe(world, rng, drawn)
    return drawn


def _leaks(world: World, rng: np.random.Generator, attack: Attacks) -> Rows:
    which = _repeated(rng, attack, LEAK_FEWEST, LEAK_MORE)
    customer, day = attack.customer[which], attack.day[which]
    drawn = draw_payments(world, rng, customer, day, rng.choice(LEAK_CATEGORIES, len(day)))
    is_online = rng.random(len(day)) < LEAK_ONLINE
    away = rng.random(len(day)) < LEAK_AWAY
    city = np.where(away, rng.integers(0, len(CITIES), len(day)), world.city_of(customer, day))
    merchant = world.merchants.choose(rng, drawn.category, customer, city, np.ones(len(day), dtype=np.bool_))
    rupees = LEAK_RUPEES * world.people.means[customer] * np.exp(LEAK_SIGMA * rng.standard_normal(len(day)))
    second = np.minimum(attack.second[which] + rng.integers(0, 20_000, len(day)), 86_399)
    drawn = drawn.pick(
        np.arange(len(day)),
        mode=Mode.CARD,
        channel=np.where(is_online, Channel.ECOM, Channel.POS),
        merchant=merchant,
        city=city,
        terminal=np.where(is_online, -1, merchant * 3),
        second=second,
        booked_second=second,
        paise=-np.maximum(np.round(rupees * 100), 100).astype(np.int64),
    )
    drawn.description = describe(world, rng, drawn)
    return drawn


def _repeated(rng: np.random.Generator, attack: Attacks, fewest: int, more: float) -> Integers:
    """Number of the attack of each of its payments."""
    return np.repeat(np.arange(len(attack.day)), fewest + rng.poisson(more, len(attack.day)))


def _like_the_owner(world: World, rng: np.random.Generator, drawn: Rows) -> Rows:
    """Replace a share of stolen payments by what the owner might have paid for."""
    copies = rng.random(len(drawn)) < world.parameters.theft.like_the_owner
    which = np.flatnonzero(copies)
    customer, day = drawn.customer[which], drawn.day[which]
    habit = draw_payments(world, rng, customer, day, draw_categories(world, rng, customer, day))
    return Rows.concat([drawn.pick(np.flatnonzero(~copies)), habit])
