"""The customers: who they are, what they earn and owe, how they behave when nothing presses on them."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from simulation.days import Days, Shift
from simulation.names import CITIES, EMPLOYERS, SUBSCRIPTIONS
from simulation.parameters import CATEGORIES, TAIL_DAYS, Bank, Parameters
from simulation.randomness import Stream, generator

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


class Work(IntEnum):
    """How a customer earns."""

    SALARIED = 0
    SELF_EMPLOYED = 1
    GIG = 2
    PENSIONER = 3
    STUDENT = 4


class Account(IntEnum):
    """Accounts of one customer; the suffix of the account number."""

    CURRENT = 0
    SAVINGS = 1
    CREDIT_CARD = 2


@dataclass(frozen=True)
class People:
    """One element (or row) per customer. Money is in rupees, rates are daily.

    Attributes:
        signed_up: simulated day of signing up; negative: before the first day.
        visit_rate: intensity of active days (days on which the customer starts a transaction).
        visit_profile: factor by weekday.
        season_amplitude: relative height of the yearly wave that peaks on day-of-year `season_peak`.
        hazard: personal factor on the hazard of leaving.
        fade_pace: daily probability of passing to the next stage of fading.
        closes: whether the customer would close formally once gone.
        tastes: cumulative shares of the spending categories.
        subscriptions: nominal day of the month per service, 0 = none.
    """

    customer_id: list[str]
    signed_up: Integers
    work: Integers
    is_occasional: Booleans
    city: Integers
    birth_year: Integers
    is_woman: Booleans
    income: Floats
    employer: Integers
    pay_day: Integers
    pay_shift: Integers
    means: Floats
    visit_rate: Floats
    visit_profile: Floats
    season_amplitude: Floats
    season_peak: Floats
    payments_per_visit: Floats
    login_rate: Floats
    tastes: Floats
    upi_lean: Floats
    hazard: Floats
    pause_onset: Floats
    fade_pace: Floats
    closes: Booleans
    has_credit_card: Booleans
    card_repayment_day: Integers
    card_repaid_by_hand: Booleans
    rent: Floats
    rent_by_hand: Booleans
    instalment: Floats
    instalment_day: Integers
    investment: Floats
    investment_day: Integers
    sweep: Floats
    premium: Floats
    premium_day_of_year: Integers
    subscriptions: Integers
    subscription_from: Integers
    subscription_to: Integers

    def __len__(self) -> int:
        return len(self.customer_id)

    def base_visits(self, days: Days, ramp_days: int) -> npt.NDArray[np.float32]:
        """Intensity of active days by day and customer while nothing presses (0 before signing up)."""
        yearly = 2 * np.pi * (days.day_of_year[:, None] - self.season_peak[None, :]) / 365.25
        season = 1 + self.season_amplitude * np.cos(yearly)
        festival = 1 + 0.15 * np.isin(days.month, (10, 11))[:, None]
        since_payday = 1 + 0.18 * (days.day_of_month <= 7)[:, None] - 0.1 * (days.day_of_month >= 24)[:, None]
        age = np.arange(days.count)[:, None] - self.signed_up[None, :]
        ramp = np.clip((age + 1) / ramp_days, 0, 1)
        rate = self.visit_rate * season * festival * since_payday * ramp
        rate *= self.visit_profile.T[days.weekday]
        return rate.astype(np.float32)


def _lognormal(rng: np.random.Generator, median: float, sigma: float, size: int) -> Floats:
    return median * np.exp(sigma * rng.standard_normal(size))


def _customer_ids(count: int) -> list[str]:
    """Ids that do not tell the order of signing up (7,368,787 is coprime to the prime modulus)."""
    return [f"C{(number * 7_368_787 + 1_234_567) % 9_999_991:07d}" for number in range(count)]


def draw_people(bank: Bank, parameters: Parameters) -> People:
    """All customers that ever sign up within the horizon of the bank."""
    rng = generator(bank, Stream.PEOPLE)
    activity, leaving = parameters.activity, parameters.leaving
    there_before = max(1, round(bank.customers * activity.initial_share))
    joining = bank.customers - there_before
    late = round(joining * TAIL_DAYS / bank.days)
    count = bank.customers + late
    signed_up = np.concatenate(
        [
            -rng.integers(1, 6 * 365, there_before),
            np.sort(rng.integers(0, bank.days, joining)),
            np.sort(rng.integers(bank.days, bank.horizon, late)),
        ]
    )

    work = rng.choice(len(Work), count, p=(0.58, 0.14, 0.08, 0.09, 0.11))
    is_occasional = rng.random(count) < activity.occasional_share
    city = rng.choice(len(CITIES), count, p=[share for _, _, share in CITIES])
    age = np.select(
        [work == Work.PENSIONER, work == Work.STUDENT],
        [rng.integers(60, 82, count), rng.integers(18, 25, count)],
        rng.integers(22, 60, count),
    )
    median_income = np.array([52_000, 45_000, 24_000, 30_000, 9_000])[work]
    income = np.round(median_income * np.exp(0.55 * rng.standard_normal(count)), -2)
    means = np.sqrt(income / 45_000)

    regular = _lognormal(rng, activity.regular_visits, activity.regular_spread, count)
    occasional = _lognormal(rng, activity.occasional_visits, activity.occasional_spread, count)
    weekend_lean = np.exp(0.45 * rng.standard_normal(count))
    profile = np.ones((count, 7))
    profile[:, 4] = 1.1
    profile[:, 5:] = weekend_lean[:, None]
    profile /= profile.mean(axis=1, keepdims=True)
    is_seasonal = rng.random(count) < activity.seasonal_share

    base = np.array([category.weight for category in CATEGORIES])
    tastes = rng.gamma(base / base.sum() * 25, 1.0, (count, len(CATEGORIES))) + 1e-9
    tastes[work == Work.STUDENT, 3] *= 0.4
    tastes = np.cumsum(tastes / tastes.sum(axis=1, keepdims=True), axis=1)

    employer = rng.integers(0, len(EMPLOYERS), count)
    pay_day = np.array([day for _, day in EMPLOYERS])[employer]
    pay_day = np.where(work == Work.PENSIONER, 1, pay_day)
    is_main = ~is_occasional & (work != Work.STUDENT)
    earns_well = is_main & (work != Work.GIG)

    def some(share: float, among: Booleans, amount: Floats) -> Floats:
        return np.where(among & (rng.random(count) < share), np.round(amount, -2), 0.0)

    subscribed = rng.random((count, len(SUBSCRIPTIONS))) < np.array([share for _, _, share in SUBSCRIPTIONS])
    subscribed &= ~is_occasional[:, None]
    subscription_from = rng.integers(-400, bank.horizon, subscribed.shape)
    subscription_from = np.where(rng.random(subscribed.shape) < 0.6, -400, subscription_from)

    return People(
        customer_id=_customer_ids(count),
        signed_up=signed_up,
        work=work,
        is_occasional=is_occasional,
        city=city,
        birth_year=bank.start.year - age,
        is_woman=rng.random(count) < 0.45,
        income=income,
        employer=employer,
        pay_day=pay_day,
        pay_shift=np.where(pay_day >= 25, Shift.PREVIOUS_WORKDAY, Shift.NEXT_WORKDAY),
        means=means,
        visit_rate=np.minimum(np.where(is_occasional, occasional, regular), 3.0),
        visit_profile=profile,
        season_amplitude=np.where(is_seasonal, activity.seasonal_amplitude, activity.mild_amplitude)
        * rng.random(count),
        season_peak=rng.uniform(0, 365, count),
        payments_per_visit=_lognormal(rng, activity.payments_per_visit, 0.5, count),
        login_rate=np.minimum(_lognormal(rng, activity.logins, activity.logins_spread, count), 2.0)
        * np.where(is_occasional, 0.35, 1.0),
        tastes=tastes,
        upi_lean=np.exp(0.6 * rng.standard_normal(count)),
        hazard=np.exp(leaving.hazard_spread * rng.standard_normal(count))
        * np.where(is_occasional, leaving.occasional_hazard, 1.0),
        pause_onset=np.minimum(_lognormal(rng, leaving.pause_onset, leaving.pause_onset_spread, count), 0.05),
        fade_pace=np.minimum(3 / _lognormal(rng, leaving.fade_days, leaving.fade_days_spread, count), 0.5),
        closes=rng.random(count) < leaving.closer_share,
        has_credit_card=earns_well & (rng.random(count) < 0.45),
        card_repayment_day=rng.integers(3, 25, count),
        card_repaid_by_hand=rng.random(count) < 0.7,
        rent=some(0.42, is_main, 0.24 * income),
        rent_by_hand=rng.random(count) < 0.55,
        instalment=some(0.32, earns_well, 0.18 * income * rng.uniform(0.4, 1.6, count)),
        instalment_day=rng.choice((2, 5, 7, 10), count),
        investment=some(0.25, earns_well, 0.08 * income * rng.uniform(0.4, 1.6, count)),
        investment_day=rng.choice((5, 10, 15, 20), count),
        sweep=some(0.35, is_main, 0.10 * income * rng.uniform(0.3, 1.7, count)),
        premium=some(0.3, earns_well, 12_000 * means * rng.uniform(0.4, 1.6, count)),
        premium_day_of_year=rng.integers(1, 366, count),
        subscriptions=np.where(subscribed, rng.integers(1, 29, subscribed.shape), 0),
        subscription_from=subscription_from,
        subscription_to=subscription_from + rng.geometric(1 / 700, subscribed.shape),
    )
