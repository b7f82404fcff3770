"""Metrics against scikit-learn's and against figures worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ml import metrics
from ml.config import Evaluation

SETTINGS = Evaluation(budget_share=0.1, calibration_bins=10, bootstrap_draws=200, interval=0.95)


@pytest.fixture
def sample() -> tuple[metrics.Vector, metrics.Vector, metrics.Vector]:
    """Labels, scores with many ties, and bootstrap weights with zeros."""
    rng = np.random.default_rng(5)
    label = (rng.random(600) < 0.1).astype(np.float64)
    score = np.round(0.5 * rng.random(600) + 0.2 * label, 2)
    return label, score, rng.integers(0, 3, 600).astype(np.float64)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.average_precision, average_precision_score),
        (metrics.roc_auc, roc_auc_score),
        (metrics.brier, brier_score_loss),
    ],
)
def test_metrics_equal_scikit_learn(sample, ours, theirs) -> None:  # type: ignore[no-untyped-def]
    """Catches a definition of our own: the simulated bank's ceiling is computed with scikit-learn's."""
    label, score, weight = sample
    assert ours(label, score, weight) == pytest.approx(theirs(label, score, sample_weight=weight))


def test_metrics_do_not_depend_on_the_order_of_rows(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches ties that are broken by the position of a row."""
    first = metrics.evaluate(*sample[:1], {"": sample[1]}, np.arange(600), SETTINGS, 1).metrics[""]
    turned = [part[::-1].copy() for part in sample]
    second = metrics.evaluate(*turned[:1], {"": turned[1]}, np.arange(600), SETTINGS, 1).metrics[""]
    for name, estimate in first.items():
        assert estimate.value == pytest.approx(second[name].value), name


def test_budget_metrics_share_ties_fairly() -> None:
    """Catches a precision at the budget that depends on luck when all scores are equal."""
    label, score, weight = np.array([1.0, 0, 0, 0]), np.zeros(4), np.ones(4)
    assert metrics.precision_at_budget(label, score, weight, share=0.5) == pytest.approx(0.25)
    assert metrics.recall_at_budget(label, score, weight, share=0.5) == pytest.approx(0.5)


def test_calibration_error_is_the_gap_of_rates() -> None:
    """Catches bins that cancel each other's errors."""
    label = np.array([0.0, 0, 1, 1])
    wrong = metrics.calibration_error(label, np.array([0.2, 0.2, 0.7, 0.7]), np.ones(4), bins=2)
    assert wrong == pytest.approx(0.25)


def test_a_customer_is_drawn_with_all_its_rows(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches a bootstrap over rows: repeated customers would make intervals too narrow."""
    label, score, _ = sample
    narrow = metrics.evaluate(label, {"": score}, np.arange(600), SETTINGS, 1).metrics[""]["brier"]
    copies = [np.tile(part, 4) for part in (label, score)]
    wide = metrics.evaluate(copies[0], {"": copies[1]}, np.tile(np.arange(600), 4), SETTINGS, 1).metrics[""][
        "brier"
    ]
    assert wide.hi - wide.lo == pytest.approx(narrow.hi - narrow.lo)


def test_intervals_hold_their_value_and_gains_are_paired(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches intervals beside their value, and differences of independent draws."""
    label, score, _ = sample
    found = metrics.evaluate(label, {"": score, "same": score.copy()}, np.arange(600), SETTINGS, 1)
    for estimate in found.metrics[""].values():
        assert estimate.lo <= estimate.value <= estimate.hi
    assert found.gains["same"] == metrics.Estimate(0.0, 0.0, 0.0)
