"""Mean score beside observed rate, by bins of scores."""

import numpy as np
import pytest

from ml.scores import metrics, reliability


def _rows(seed: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = np.round(rng.beta(1, 6, size), 2)
    return (rng.random(size) < score / 2).astype(np.float64), score, np.arange(size) // 2


def test_bins_hold_what_the_calibration_error_sums_up() -> None:
    """The diagram must not tell another story than the number beside it, e.g. by bins of another size."""
    label, score, customers = _rows(3)
    bins = reliability.measure(label, score, customers, bins=10, draws=50, interval=0.9, seed=1)
    gaps = sum(part.n * abs(part.observed.value - part.mean_score) for part in bins)
    whole = metrics.calibration_error(label, score, np.ones(len(label)), bins=10)
    assert gaps / len(label) == pytest.approx(whole)
    assert sum(part.n for part in bins) == len(label)
    assert [part.number for part in bins] == sorted(part.number for part in bins)
    assert [part.mean_score for part in bins] == sorted(part.mean_score for part in bins)


def test_an_overstated_risk_lies_outside_its_intervals() -> None:
    """Scores twice too high must be seen as such: the interval is of the observed rate, not of the score."""
    label, score, customers = _rows(3)
    highest = reliability.measure(label, score, customers, bins=10, draws=200, interval=0.9, seed=1)[-1]
    assert highest.observed.lo < highest.observed.value < highest.observed.hi < highest.mean_score


def test_equal_scores_share_a_bin() -> None:
    """A model with three scores has three bins at most; empty ones must not appear as a rate of 0."""
    score = np.repeat([0.1, 0.2, 0.9], 100)
    label = (np.arange(300) % 5 == 0).astype(np.float64)
    bins = reliability.measure(label, score, np.arange(300), bins=10, draws=20, interval=0.9, seed=1)
    assert [(part.n, round(part.mean_score, 6)) for part in bins] == [(100, 0.1), (100, 0.2), (100, 0.9)]
    assert {part.observed.value for part in bins} == {0.2}
