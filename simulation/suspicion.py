"""How suspicious each payment is to somebody who knows the laws: the ceiling of the fraud task.

Who knows every customer's habits, how thieves work and which cards have leaked, and sees all payments of a
day, can weigh what the day would look like without a theft, with a genuine spree, and with each way of
theft. The result is the probability that a payment was stolen, by Bayes' rule. Left out are only the gaps
between payments and which shop of a kind was chosen: so the figure is reached by a rule that exists, and
the true ceiling is a little above it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy.stats import norm, poisson

from simulation import fraud, purchases
from simulation.events import OPENS_ON_ACTIVE_DAY
from simulation.fraud import Kind
from simulation.life import SHOWN, mixture
from simulation.rows import Channel, Mode
from simulation.world import World

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Payments:
    """Payments as `truth/payments` holds them, sorted by customer, day and number."""

    number: Integers
    customer: Integers
    day: Integers
    second: Integers
    category: Integers
    rupees: Floats
    mode: Integers
    channel: Integers
    fraud: Integers
    is_stranger: npt.NDArray[np.bool_]


def read_payments(truth: Path) -> Payments:
    """Read all blocks' payments."""
    table = pq.read_table(truth / "payments")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    columns["rupees"] = -columns["paise"] / 100
    order = np.lexsort((columns["number"], columns["day"], columns["customer"]))
    return Payments(**{name: columns[name][order] for name in Payments.__dataclass_fields__})


def read_days(truth: Path, name: str, days: int) -> Integers:
    """customer · days + day of the rows of `truth/exposed` or `truth/new_devices`."""
    table = pq.read_table(truth / name)
    return np.unique(table["customer"].to_numpy() * days + table["day"].to_numpy())


def probability_of_theft(world: World, of: Payments, exposed: Integers, new_device: Integers) -> Floats:
    """Probability that each payment was stolen, given all payments and log-ins of its customer's day.

    Args:
        world: the bank.
        of: all payments.
        exposed: customer · days + day of leaked cards' days of danger.
        new_device: customer · days + day of days with a log-in from a device never seen before.
    """
    theft, means = world.parameters.theft, world.people.means[of.customer]
    genuine = genuine_density(world, of)
    group = of.customer * world.days.count + of.day
    days, place, size = np.unique(group, return_inverse=True, return_counts=True)
    customer, day = days // world.days.count, days % world.days.count
    more = world.people.payments_per_visit[customer]
    usual = poisson.logpmf(size - 1, more)

    logs_in = world.people.login_rate[customer] + OPENS_ON_ACTIVE_DAY
    strange = -np.expm1(-logs_in * theft.new_device_share)  # of a genuine day
    has_new = np.isin(days, new_device)
    if_taken = np.where(has_new, theft.takeover_device_share, 1 - theft.takeover_device_share)
    onset = fraud.takeover_onset(world, day) * if_taken / np.where(has_new, strange, 1 - strange)
    leaks = np.where(np.isin(days, exposed), theft.used_after_leak, 0.0)
    tests = fraud.TESTS
    tests_more = tests.more + fraud.LARGE_SHARE
    ways: dict[int, tuple[Any, float, float, Floats]] = {
        # prior probability, fewest payments, mean of further ones, density of each
        -1: (theft.spree_share, purchases.SPREE.fewest, purchases.SPREE.more, _small(of, purchases.SPREE)),
        Kind.TESTING: (theft.testing_onset, tests.fewest, tests_more, _tests(of, means)),
        Kind.TAKEOVER: (onset, fraud.TAKEOVER_FEWEST, fraud.TAKEOVER_MORE, _takeover(of, means)),
        Kind.LEAK: (leaks, fraud.LEAK_FEWEST, fraud.LEAK_MORE, _leak(of, means)),
    }
    logs, shares = [np.zeros(len(days))], [np.zeros(len(of.day))]
    for way, (prior, fewest, further, density) in ways.items():
        if way > 0:
            density = theft.like_the_owner * genuine + (1 - theft.like_the_owner) * density
        part = ((fewest + further) / (fewest + further + 1 + more))[place]
        mixed = (1 - part) * genuine + part * density
        weight = np.zeros(len(days))
        np.add.at(weight, place, np.log(mixed / genuine))
        if way < 0:
            weight = weight + _hour_of_spree(of, place, len(days))
        with np.errstate(divide="ignore"):
            logs.append(np.log(prior) + weight + poisson.logpmf(size - 1 - fewest, more + further) - usual)
        shares.append(part * density / mixed if way > 0 else np.zeros(len(of.day)))
    stacked = np.stack(logs)
    odds = np.exp(stacked - stacked.max(axis=0))
    odds /= odds.sum(axis=0)
    stolen: Floats = sum(weight[place] * share for weight, share in zip(odds, shares, strict=True))
    return stolen


def genuine_density(world: World, of: Payments) -> Floats:
    """Density of what the customer does: category, means of payment, amount, hour, payee."""
    people = world.people
    tastes = np.diff(people.tastes, axis=1, prepend=0.0)[of.customer]
    for kind in SHOWN:
        share = world.lives.share[kind] * world.lives.in_window(kind, of.day, of.customer)
        tastes = tastes * (1 - share[:, None]) + share[:, None] * mixture(kind)
    rows = np.arange(len(of.day))
    density = tastes[rows, of.category]
    shares = purchases.shares_of_means(people.upi_lean[of.customer], of.category)
    online = world.bank.drift("online", of.day)
    shares[:, 2] += online * shares[:, 1]
    shares[:, 1] *= 1 - online
    means = np.select(
        [of.mode == Mode.UPI, of.channel == Channel.POS, of.channel == Channel.ECOM], [0, 1, 2], 3
    )
    total = shares.sum(axis=1)
    density = density * np.where(total > 0, shares[rows, means] / np.where(total > 0, total, 1), 1.0)
    to_person = of.category == purchases.PEOPLE
    strange = world.parameters.theft.stranger_share
    density = density * np.where(to_person, np.where(of.is_stranger, strange, 1 - strange), 1.0)
    density = density * np.where(to_person, np.where(of.mode == Mode.NEFT, 0.12, 0.88), 1.0)
    centre = purchases.mean_log_rupees(world, of.customer, of.day, of.category)
    density = density * _amount(of, centre, purchases.SIGMA[of.category])
    around = _hour(of, purchases.HOUR[of.category], purchases.HOUR_SPREAD[of.category])
    return np.maximum(density * around, 1e-300)


def _hour(of: Payments, centre: Any, spread: Any) -> Floats:
    """Density of the local hour, around the clock."""
    turns = (norm.pdf(of.second / 3600 + turn, centre, spread) for turn in (-24.0, 0.0, 24.0))
    density: Floats = sum(turns, np.zeros(len(of.second)))
    return density


def _amount(of: Payments, centre: Any, sigma: Any) -> Floats:
    """Density of ln(rupees); posted amounts that differ from the authorised ones blur it a little."""
    density: Floats = norm.pdf(np.log(of.rupees), centre, sigma)
    return density


def _small(of: Payments, series: purchases.Series) -> Floats:
    fits = np.isin(of.category, purchases.SMALL_CATEGORIES) & (of.channel == Channel.ECOM)
    density: Floats = (
        fits / len(purchases.SMALL_CATEGORIES) * _amount(of, np.log(series.rupees), series.sigma) / 24
    )
    return density


def _hour_of_spree(of: Payments, place: Integers, count: int) -> Floats:
    """Log of how much likelier a spree is at the hour of a day's small payments than at any hour.

    A series has one hour for all of its payments, so it counts once; `_small` leaves the hour even.
    """
    small = np.isin(of.category, purchases.SMALL_CATEGORIES) & (of.channel == Channel.ECOM)
    number = np.bincount(place[small], minlength=count)
    hour = np.bincount(place[small], of.second[small] / 3600, count) / np.maximum(number, 1)
    series = purchases.SPREE
    around = sum(norm.pdf(hour + turn, series.hour, series.hour_spread) for turn in (-24.0, 0.0, 24.0))
    return np.where(number > 0, np.log(24 * np.maximum(around, 1e-12)), 0.0)


def _tests(of: Payments, means: Floats) -> Floats:
    large = np.isin(of.category, fraud.LEAK_CATEGORIES) & (of.channel == Channel.ECOM)
    centre = np.log(fraud.LARGE_RUPEES * means)
    once = large / len(fraud.LEAK_CATEGORIES) * _amount(of, centre, fraud.LARGE_SIGMA) / 24
    share = fraud.LARGE_SHARE / (fraud.LARGE_SHARE + fraud.TESTS.fewest + fraud.TESTS.more)
    density: Floats = share * once + (1 - share) * _small(of, fraud.TESTS)
    return density


def _takeover(of: Payments, means: Floats) -> Floats:
    fits = (of.category == purchases.PEOPLE) & of.is_stranger & (of.mode == Mode.UPI)
    density: Floats = fits * _amount(of, np.log(fraud.TAKEOVER_RUPEES * means), fraud.TAKEOVER_SIGMA) / 24
    return density


def _leak(of: Payments, means: Floats) -> Floats:
    fits = np.isin(of.category, fraud.LEAK_CATEGORIES) & (of.mode == Mode.CARD)
    where = np.where(of.channel == Channel.ECOM, fraud.LEAK_ONLINE, 1 - fraud.LEAK_ONLINE)
    amount = _amount(of, np.log(fraud.LEAK_RUPEES * means), fraud.LEAK_SIGMA)
    density: Floats = fits / len(fraud.LEAK_CATEGORIES) * where * amount / 24
    return density
