"""The two models of lifetime value against what their papers published, and against brute force.

The data are the CDNOW customers of the papers: 2,357 who bought for the first time in early 1997, 39 weeks of
their visits and the 39 weeks after.
"""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, gamma

from ml.lifetime_value.frequency import Frequency, fit_frequency
from ml.lifetime_value.spend import Spend, fit_spend
from nightledger.settings import PROJECT

Vector = NDArray[np.float64]
PUBLISHED = Frequency(r=0.243, alpha=4.414, a=0.793, b=2.426)


@pytest.fixture(scope="module")
def cdnow() -> dict[str, Vector]:
    """Columns of the customers; time in weeks, money in dollars."""
    frame = pd.read_csv(PROJECT / "tests" / "data" / "cdnow.csv.gz")
    return {name: frame[name].to_numpy(float) for name in frame.columns}


def one(*numbers: float) -> list[Vector]:
    """A single customer."""
    return [np.array([float(number)]) for number in numbers]


def test_the_papers_estimates_of_frequency_are_found(cdnow: dict[str, Vector]) -> None:
    """A term of the likelihood that is wrong, or a search that stops before the top (the paper of 2005)."""
    who = cdnow["x"], cdnow["t_x"], cdnow["T"]
    found = fit_frequency(*who)
    assert (found.r, found.alpha) == pytest.approx((0.243, 4.414), abs=0.001)
    assert (found.a, found.b) == pytest.approx((0.793, 2.426), abs=0.001)
    assert found.log_likelihood(*who).sum() == pytest.approx(-9582.4, abs=0.05)


def test_the_papers_estimates_of_spend_are_found(cdnow: dict[str, Vector]) -> None:
    """The same of the Gamma-Gamma model (the note of 2013): 946 customers who came again."""
    again = cdnow["x"] > 0
    assert again.sum() == 946
    found = fit_spend(cdnow["x"][again], cdnow["zbar"][again])
    assert (found.p, found.q) == pytest.approx((6.25, 3.74), abs=0.01)
    assert found.gamma == pytest.approx(15.44, abs=0.02)


def test_the_papers_expectation_of_one_customer_is_found() -> None:
    """An expectation that forgets that the customer may have left. The authors' note for Excel: 1.226."""
    assert PUBLISHED.expected(*one(2, 30.43, 38.86), 39.0)[0] == pytest.approx(1.226, abs=0.0005)


def test_the_39_weeks_after_agree_as_well_as_in_the_paper(cdnow: dict[str, Vector]) -> None:
    """A model that fits and does not predict: the paper's correlation is .626, customer by customer."""
    found = fit_frequency(cdnow["x"], cdnow["t_x"], cdnow["T"])
    expected = found.expected(cdnow["x"], cdnow["t_x"], cdnow["T"], 39.0)
    assert np.corrcoef(expected, cdnow["later"])[0, 1] == pytest.approx(0.626, abs=0.0006)
    for fewest, most in ((0, 0), (1, 1), (2, 3), (4, 6), (7, 99)):
        group = (cdnow["x"] >= fewest) & (cdnow["x"] <= most)
        assert expected[group].mean() == pytest.approx(cdnow["later"][group].mean(), rel=0.30)


def brute(model: Frequency, x: int, t_x: float, age: float, ahead: float) -> tuple[float, float]:
    """Expected visits and the chance of being active, summed over a grid of rates and chances to leave."""
    points, weights = np.polynomial.legendre.leggauss(300)
    points, weights = (points + 1) / 2, weights / 2
    rate = gamma.ppf(points, model.r, scale=1 / model.alpha)[:, None]
    leaves = beta.ppf(points, model.a, model.b)[None, :]
    each = weights[:, None] * weights[None, :]
    active = rate**x * (1 - leaves) ** x * np.exp(-rate * age)
    left = rate**x * leaves * (1 - leaves) ** (x - 1) * np.exp(-rate * t_x) if x else 0.0
    ahead_each = -np.expm1(-rate * leaves * ahead) / leaves
    whole = (each * (active + left)).sum()
    return float((each * active * ahead_each).sum() / whole), float((each * active).sum() / whole)


@pytest.mark.parametrize(
    "model",
    [
        PUBLISHED,
        Frequency(1.5, 3.0, 1.0, 2.0),
        Frequency(2.0, 10.0, 0.3, 0.7),
        Frequency(0.9, 2.0, 3.0, 8.0),
        Frequency(10.9, 14.7, 2.2, 161.0),
    ],
    ids=["published", "a_is_1", "a_and_b_add_up_to_1", "many_leave", "busy"],
)
@pytest.mark.parametrize(("x", "t_x", "age"), [(0, 0, 10), (2, 5, 20), (10, 15, 20), (30, 38, 40)])
def test_the_closed_form_is_the_integral(model: Frequency, x: int, t_x: float, age: float) -> None:
    """The transformed series: a wrong exponent shows only where a is near 1, or of busy customers."""
    expected, alive = brute(model, x, t_x, age, 30.0)
    assert model.expected(*one(x, t_x, age), 30.0)[0] == pytest.approx(expected, rel=1e-4)
    assert model.alive(*one(x, t_x, age))[0] == pytest.approx(alive, rel=1e-4)


def test_a_customer_of_every_day_does_not_overflow() -> None:
    """The series as it is printed, which is infinite for hundreds of visits."""
    model = Frequency(3.0, 1.2, 1.3, 217.0)
    x, t_x, age = (np.full(3, value) for value in (720.0, 103.9, 104.0))
    month, year = (model.expected(x, t_x, age, ahead) for ahead in (4.35, 52.0))
    assert np.isfinite(model.log_likelihood(x, t_x, age)).all()
    assert month == pytest.approx(4.35 * 720 / 104, rel=0.1)
    assert ((year > 8 * month) & (year < 12.2 * month)).all()


def test_silence_speaks_the_louder_the_oftener_somebody_came() -> None:
    """A chance of being active that looks at the silence only."""
    rare, often = PUBLISHED.alive(np.array([2.0, 20.0]), np.array([20.0, 20.0]), np.array([39.0, 39.0]))
    assert often < rare < 1
    assert PUBLISHED.alive(*one(0, 0, 39)) == 1


def test_own_spend_counts_the_more_the_oftener_somebody_came() -> None:
    """Shrinking the wrong way: one lucky purchase that becomes the expectation."""
    model = Spend(6.25, 3.74, 15.44)
    unknown, once, often = model.expected(np.array([0.0, 1.0, 50.0]), np.array([0.0, 100.0, 100.0]))
    assert unknown == pytest.approx(model.population)
    assert model.population < once < often < 100
    assert once - model.population < 100 - once + model.population
    nothing = model.expected(np.array([1.0, 50.0]), np.zeros(2))
    assert model.population > nothing[0] > nothing[1] > 0


def test_parameters_that_made_the_data_are_found() -> None:
    """Parameters that only fit one famous table: 20,000 customers of another kind."""
    rng = np.random.default_rng(11)
    truth, n = Frequency(2.0, 4.0, 1.5, 6.0), 20_000
    rate, leaves = rng.gamma(truth.r, 1 / truth.alpha, n), rng.beta(truth.a, truth.b, n)
    age = rng.uniform(20, 60, n)
    x, t_x, active = np.zeros(n), np.zeros(n), np.ones(n, bool)
    while active.any():
        next_at = t_x + rng.exponential(1 / rate)
        active &= (next_at < age) & (x < 10_000)
        x, t_x = np.where(active, x + 1, x), np.where(active, next_at, t_x)
        active &= rng.random(n) >= leaves
    found = fit_frequency(x, t_x, age)
    assert (found.r, found.alpha) == pytest.approx((truth.r, truth.alpha), rel=0.08)
    assert found.a / (found.a + found.b) == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("x", [np.zeros(5), np.zeros(0)])
def test_without_a_second_visit_there_is_no_frequency(x: Vector) -> None:
    """Parameters that stand at their bounds and look like any others."""
    with pytest.raises(ValueError, match="nobody came twice"):
        fit_frequency(x, x, x + 10)
