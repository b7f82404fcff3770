"""The lender's borrowers: a hidden purse, an income that comes and goes, and instalments paid from them.

Once a month what is left of the income goes into the purse (counted in instalments) and what is owed is
paid from it as far as it reaches; sometimes somebody forgets. Four instalments owed mean that the oldest
is 90 days past due: default. So default follows from cash flow and from nothing else, and its probability
given the purse, the income and what is owed is computed exactly (`probability_of_default`). No file shows
the purse or the income.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from simulation.parameters import Bank, Parameters
from simulation.randomness import Stream, generator

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

INCOMES = 3
"""Income as declared, reduced, lost."""
PURSE = 13
"""Sizes of the purse: 0 … 12 instalments."""
DEFAULT = 4
"""Instalments owed at which the oldest is 90 days past due."""
LEFT_OVER = np.array([-1, 0, 1, 2, 3])
"""What a month adds to the purse before the instalment, in instalments."""
CHANCES = np.array(
    [[0.03, 0.12, 0.40, 0.33, 0.12], [0.12, 0.42, 0.36, 0.08, 0.02], [0.46, 0.46, 0.07, 0.01, 0.0]]
)
"""Their probabilities by income, for a borrower of average strain."""
STEP = np.array([[0.9780, 0.016, 0.006], [0.10, 0.85, 0.05], [0.10, 0.10, 0.80]])
"""Monthly transitions of the income for a borrower of average risk."""
FORGETS, FORGETS_LAZY = 0.01, 0.18
"""Probability of not paying in a month although the purse would reach: of anybody, and what laziness adds."""


@dataclass(frozen=True)
class Borrowers:
    """One element per loan; money in cents. `granted` is the month (0: the first simulated one) of the first
    instalment less one; negative: before the first."""

    customer_id: list[str]
    loan_id: list[str]
    granted: Integers
    due_day: Integers
    instalment: Integers
    term: Integers
    declared_income: Integers
    birth_year: Integers
    city: Integers
    risk: Floats
    strain: Floats
    borrowing: Floats
    limit_elsewhere: Integers
    accounts_elsewhere: Integers
    talkative: Floats
    lazy: Floats

    @property
    def forgets(self) -> Floats:
        """Probability of forgetting to pay in a month."""
        return FORGETS + FORGETS_LAZY * self.lazy

    def __len__(self) -> int:
        return len(self.customer_id)


@dataclass(frozen=True)
class Purses:
    """The hidden state at the end of each month, by month and borrower.

    Attributes:
        income: 0 … 2; purse: 0 … 12; owed: instalments owed, 0 … 4 (4: in default, for good).
        paid: instalments paid in the month; forgot: whether one was forgotten.
    """

    income: Integers
    purse: Integers
    owed: Integers
    paid: Integers
    forgot: Booleans


def months_of(bank: Bank) -> int:
    """Number of calendar months that the simulated days touch."""
    last = date.fromordinal(bank.start.toordinal() + bank.horizon - 1)
    return (last.year - bank.start.year) * 12 + last.month - bank.start.month + 1


def draw_borrowers(bank: Bank) -> Borrowers:
    """All loans ever granted within the horizon, one a customer."""
    rng = generator(bank, Stream.LENDING)
    count = bank.customers
    income = np.round(2_600 * np.exp(0.4 * rng.standard_normal(count)), -1)
    instalment = np.round(income * rng.uniform(0.06, 0.22, count) * 100, -2).astype(np.int64)
    granted = np.where(
        rng.random(count) < 0.7, rng.integers(-18, 0, count), rng.integers(0, months_of(bank), count)
    )
    return Borrowers(
        customer_id=[f"K{(number * 48_271 + 9_177) % 999_983:06d}" for number in range(count)],
        loan_id=[f"D-{(number * 36_473 + 4_411) % 899_981 + 100_000}" for number in range(count)],
        granted=granted,
        due_day=rng.choice((1, 5, 10, 15), count),
        instalment=instalment,
        term=rng.choice((48, 60, 72, 84), count),
        declared_income=(income * 100).astype(np.int64),
        birth_year=bank.start.year - rng.integers(21, 66, count),
        city=rng.integers(0, 8, count),
        risk=np.exp(0.7 * rng.standard_normal(count)),
        strain=rng.standard_normal(count),
        borrowing=rng.standard_normal(count),
        limit_elsewhere=(np.round(income * rng.uniform(1, 5, count), -2) * 100).astype(np.int64),
        accounts_elsewhere=1 + rng.poisson(2.0, count),
        talkative=np.exp(0.8 * rng.standard_normal(count)),
        lazy=rng.beta(0.6, 4.0, count),
    )


def income_steps(borrowers: Borrowers, more: float = 0.0) -> Floats:
    """Monthly transitions of the income of each borrower (borrowers × 3 × 3); `more` shocks by that share."""
    steps = np.repeat(STEP[None], len(borrowers), axis=0)
    factor = borrowers.risk * (1 + more)
    steps[:, 0, 1:] = np.minimum(STEP[0, 1:] * factor[:, None], 0.3)
    steps[:, 0, 0] = 1 - steps[:, 0, 1:].sum(axis=1)
    return steps


def chances_left_over(borrowers: Borrowers) -> Floats:
    """Probabilities of `LEFT_OVER` by borrower and income: strain tilts them towards less."""
    tilted = CHANCES[None] * np.exp(-0.22 * borrowers.strain[:, None, None] * LEFT_OVER)
    probabilities: Floats = tilted / tilted.sum(axis=2, keepdims=True)
    return probabilities


def simulate_purses(bank: Bank, borrowers: Borrowers) -> Purses:
    """Draw the hidden months of all borrowers."""
    rng = generator(bank, Stream.LENDING, 1)
    count, months = len(borrowers), months_of(bank)
    shape = (months, count)
    income, purse, owed, paid = (np.zeros(shape, dtype=np.int64) for _ in range(4))
    forgot = np.zeros(shape, dtype=np.bool_)
    now = np.zeros(count, dtype=np.int64)
    has = np.minimum(rng.poisson(3.5, count), PURSE - 1)
    owes = np.zeros(count, dtype=np.int64)
    chances = np.cumsum(chances_left_over(borrowers), axis=2)
    # Loans from before the first month bring a past along.
    for month in range(int(borrowers.granted.min()), months):
        runs = borrowers.granted < month
        more = float(bank.drift("income_shocks", month * 30)) if month >= 0 else 0.0
        steps = np.cumsum(income_steps(borrowers, more), axis=2)
        now = np.minimum((rng.random(count)[:, None] > steps[np.arange(count), now]).sum(axis=1), INCOMES - 1)
        draw = rng.random(count)[:, None]
        adds = LEFT_OVER[np.minimum((draw > chances[np.arange(count), now]).sum(axis=1), len(LEFT_OVER) - 1)]
        filled = np.clip(has + adds, 0, PURSE - 1)
        forgets = (rng.random(count) < borrowers.forgets) & runs
        pays = np.where(forgets | (owes >= DEFAULT) | ~runs, 0, np.minimum(filled, owes + 1))
        owes = np.where(owes >= DEFAULT, DEFAULT, np.where(runs, owes + 1 - pays, 0))
        has = np.where(runs, filled - pays, np.clip(filled - 1, 0, PURSE - 1))
        # Who would default before the first day was never taken over.
        if month < 0:
            owes = np.minimum(owes, DEFAULT - 2)
        else:
            income[month], purse[month], owed[month] = now, has, owes
            paid[month], forgot[month] = pays, forgets
    return Purses(income, purse, owed, paid, forgot)


def probability_of_default(
    borrowers: Borrowers, income: Integers, purse: Integers, owed: Integers, months: int
) -> Floats:
    """Probability that a running loan defaults within some months, for every borrower; exact.

    It knows the hidden state at the end of a month and the laws, and marginalises over everything later.
    """
    steps, chances = income_steps(borrowers), chances_left_over(borrowers)
    count = len(borrowers)
    # value[borrower, income, purse, owed]: probability of default from there on.
    value = np.zeros((count, INCOMES, PURSE, DEFAULT + 1))
    value[..., DEFAULT] = 1.0
    careless = borrowers.forgets[:, None, None, None]
    sizes, owing = np.arange(PURSE), np.arange(DEFAULT)
    for _ in range(months):
        after = np.zeros((count, INCOMES, PURSE, DEFAULT))
        for place, adds in enumerate(LEFT_OVER.tolist()):
            filled = np.clip(sizes + adds, 0, PURSE - 1)[:, None]
            pays = np.minimum(filled, owing[None, :] + 1)
            kept = value[:, :, filled - pays, owing[None, :] + 1 - pays]
            forgets = value[:, :, np.broadcast_to(filled, pays.shape), np.broadcast_to(owing + 1, pays.shape)]
            share = chances[:, :, place, None, None]
            after += share * ((1 - careless) * kept + careless * forgets)
        value[..., :DEFAULT] = np.einsum("bij,bjpo->bipo", steps, after)
    probability: Floats = value[np.arange(count), income, purse, owed]
    return probability


@dataclass(frozen=True)
class Shown:
    """What the lender's files show of a month, by month and borrower.

    Attributes:
        late_days: days after the due day on which the instalment was paid (−1: none paid).
        used_elsewhere: share of the limits at other banks that is used; `arrears_elsewhere` accounts there.
        contacts: support contacts in the month; `logins` to the portal.
    """

    late_days: Integers
    used_elsewhere: Floats
    arrears_elsewhere: Integers
    contacts: Integers
    logins: Integers


def show(bank: Bank, parameters: Parameters, borrowers: Borrowers, purses: Purses) -> Shown:
    """Draw what can be seen: clues to the purse, each with noise and with habits of the person."""
    rng = generator(bank, Stream.LENDING, 2)
    shape, noise = purses.purse.shape, parameters.lending_noise
    tight = np.exp(-purses.purse / 2.0)
    lateness = np.clip(borrowers.lazy + 0.6 * tight, 0, 1)
    days = np.where(rng.random(shape) < lateness, rng.integers(1, 14, shape), 0)
    pressure = 0.7 * (purses.income > 0) + 1.3 * tight
    used = pressure + 1.3 * borrowers.borrowing - 1.1 + 0.4 * noise * rng.standard_normal(shape)
    arrears = rng.binomial(
        borrowers.accounts_elsewhere, np.clip(0.02 + 0.08 * tight * (purses.income > 0), 0, 1), shape
    )
    return Shown(
        late_days=np.where(purses.paid > 0, days, -1),
        used_elsewhere=1 / (1 + np.exp(-used)),
        arrears_elsewhere=arrears,
        contacts=rng.poisson(0.06 * borrowers.talkative * (1 + 2.5 * tight), shape),
        logins=rng.poisson(1.2 * borrowers.talkative**0.5 * (1 + 0.6 * tight), shape),
    )
