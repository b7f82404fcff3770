"""The stability index against figures worked out by hand and against its own distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ml import stability


def test_the_index_is_the_published_formula() -> None:
    """Catches another logarithm, or shares the wrong way round."""
    baseline = np.repeat([1.0, 2.0], 500)
    current = np.repeat([1.0, 2.0], [600, 400])
    found = stability.psi(baseline, current, bins=2)
    by_hand = 0.1 * np.log(0.6 / 0.5) - 0.1 * np.log(0.4 / 0.5)
    assert found.psi == pytest.approx(by_hand)
    assert found.bins == 2
    assert found.noise == pytest.approx(1 / 1000 + 1 / 1000)


def test_bins_are_deciles_of_the_baseline() -> None:
    """Catches bins of equal width: skewed money would lie in one of them, and no shift would show."""
    baseline = np.exp(np.random.default_rng(1).normal(0, 2, 10_000))
    upper = stability.edges(baseline)
    assert len(upper) == 9
    assert np.isin(upper, baseline).all()
    assert stability.counts(baseline, upper).tolist() == [1000] * 10 + [0]
    assert stability.psi(baseline, baseline * 2).psi > 0.03


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    """Catches values on an edge that are counted elsewhere on the two sides, or in SQL."""
    upper = stability.edges(np.array([1.0, 1, 1, 1, 1, 1, 1, 2, 3, 4]))
    assert upper.tolist() == [1.0, 2.0, 3.0]
    assert stability.counts(np.array([0.5, 1, 1.5, 2, 3, 9, np.nan]), upper).tolist() == [2, 2, 1, 1, 1]


def test_missing_values_are_a_bin_of_their_own() -> None:
    """Catches a feed that fades away without a sign."""
    baseline = np.arange(1000.0)
    current = np.where(np.arange(1000) % 5 == 0, np.nan, baseline)
    found = stability.psi(baseline, current)
    shares = np.array([0.08] * 10)
    by_hand = ((shares - 0.1) * np.log(shares / 0.1)).sum() + (0.2 - 1e-4) * np.log(0.2 / 1e-4)
    assert found.psi == pytest.approx(by_hand, rel=1e-6)
    assert found.bins == 11
    assert stability.psi(np.full(5, np.nan), np.full(5, np.nan)) == stability.Shift(0.0, 0.0, 1)


def test_the_noise_is_what_samples_of_one_distribution_show() -> None:
    """Catches alarms on small groups: two samples differ without any shift."""
    rng = np.random.default_rng(7)
    found = [stability.psi(rng.random(800), rng.random(1500)) for _ in range(400)]
    assert np.mean([shift.psi for shift in found]) == pytest.approx(found[0].noise, rel=0.1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.floats(-5, 5), st.just(np.nan)), min_size=1, max_size=40), st.integers(0, 9))
def test_the_order_of_rows_never_matters_and_no_shift_is_none(values: list[float], seed: int) -> None:
    """Catches a binning that depends on positions."""
    one = np.array(values)
    other = np.random.default_rng(seed).permutation(one)
    assert stability.psi(one, other).psi == 0
    third = np.append(other, 99.0)
    assert stability.psi(one, third) == stability.psi(other, third[::-1])
    assert stability.psi(one, third).psi >= 0


def test_an_index_needs_rows() -> None:
    """Catches a division by no rows that would read as no shift."""
    with pytest.raises(ValueError, match="both sides"):
        stability.psi(np.array([]), np.array([1.0]))


def test_rank_correlation_is_spearmans() -> None:
    """Catches ranks that break ties by position."""
    rng = np.random.default_rng(2)
    one = np.round(rng.random(500), 1)
    other = np.round(one + rng.normal(0, 0.3, 500), 1)
    assert stability.rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert stability.rank_correlation(one, one**3) == pytest.approx(1)
    assert np.isnan(stability.rank_correlation(one, np.ones(500)))
