"""Metrics against scikit-learn's and against figures worked out by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ml.scores import metrics
from ml.scores.config import Evaluation

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


RANKED = {
    "average_precision": metrics.average_precision,
    "roc_auc": metrics.roc_auc,
    "gini": metrics.gini,
    "ks": metrics.ks,
    "precision_at_budget": partial(metrics.precision_at_budget, share=0.3),
    "recall_at_budget": partial(metrics.recall_at_budget, share=0.3),
    "precision_at_k": partial(metrics.precision_at_k, k=3),
    "brier": metrics.brier,
    "calibration_error": partial(metrics.calibration_error, bins=4),
}


@st.composite
def rows(draw) -> tuple[metrics.Vector, metrics.Vector, metrics.Vector]:  # type: ignore[no-untyped-def]
    """A few rows with both outcomes, many ties and whole weights, one of each outcome above 0."""
    size = draw(st.integers(2, 25))
    label = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    score = draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=size, max_size=size))
    weight = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    label[:2], weight[:2] = [0, 1], [1, 2]
    return tuple(np.array(part, dtype=np.float64) for part in (label, score, weight))  # type: ignore[return-value]


@pytest.mark.parametrize("name", RANKED)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=rows(), seed=st.integers(0, 5))
def test_a_weight_is_a_number_of_equal_rows_in_any_order(name: str, rows, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Catches a bootstrap draw that is not the sample it stands for, and ties broken by position."""
    label, score, weight = rows
    repeated = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(label)), weight.astype(int)))
    expected = RANKED[name](label[repeated], score[repeated], np.ones(len(repeated)))
    assert RANKED[name](label, score, weight) == pytest.approx(expected)


def test_ks_and_gini_are_those_of_the_field(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches a distance that is taken inside a tie, or of one side only."""
    label, score, _ = sample
    one = np.ones(len(label))
    for turned in (score, -score):
        expected = ks_2samp(turned[label == 1], turned[label == 0]).statistic
        assert metrics.ks(label, turned, one) == pytest.approx(expected)
        assert metrics.gini(label, turned, one) == pytest.approx(2 * roc_auc_score(label, turned) - 1)


def test_calibration_error_follows_its_definition() -> None:
    """Catches bins of equal width: scores of a rare event would nearly all lie in the first of them."""
    rng = np.random.default_rng(3)
    score = rng.permutation(rng.random(1000) ** 4)
    label = (rng.random(1000) < score**1.3).astype(np.float64)
    parts = np.array_split(np.argsort(score), 10)
    by_hand = sum(len(part) / 1000 * abs(score[part].mean() - label[part].mean()) for part in parts)
    assert metrics.calibration_error(label, score, np.ones(1000), bins=10) == pytest.approx(by_hand)


def test_precision_at_k_counts_rows() -> None:
    """Catches a k that is taken for a share, or that exceeds the rows there are."""
    label, score = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    assert metrics.precision_at_k(label, score, np.ones(4), k=3) == pytest.approx(2 / 3)
    assert metrics.precision_at_k(label, score, np.ones(4), k=100) == pytest.approx(0.5)


def test_a_gain_is_positive_when_the_first_is_better(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches a promotion for the worse Brier score: there, lower is better."""
    label, score, _ = sample
    base = np.full(len(label), label.mean())
    scores = {"": np.clip(base + 0.3 * (label - base), 0, 1), "base": base, "worse": score}
    for primary in ("brier", "calibration_error", "average_precision"):
        found = metrics.evaluate(label, scores, np.arange(600), SETTINGS, 1, primary=primary)
        own, other = (found.metrics[name][primary].value for name in ("", "worse"))
        assert found.primary == primary
        assert abs(found.gains["worse"].value) == pytest.approx(abs(own - other))
        assert (found.gains["worse"].value > 0) == ((own < other) == (primary != "average_precision"))
    assert metrics.evaluate(label, scores, np.arange(600), SETTINGS, 1, primary="brier").gains["base"].lo > 0


def test_only_what_is_wanted_and_can_be_measured_is_measured(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches a metric that is silently left out of a decision."""
    label, score, _ = sample
    found = metrics.evaluate(label, {"": score}, np.arange(600), SETTINGS, 1, measures=["ks"])
    assert list(found.metrics[""]) == ["ks", "average_precision"]
    with pytest.raises(ValueError, match=r"cannot measure savings; what is given allows average_precision"):
        metrics.evaluate(label, {"": score}, np.arange(600), SETTINGS, 1, primary="savings")
    with pytest.raises(ValueError, match="not a number"):
        metrics.evaluate(label, {"": np.where(label == 1, np.nan, score)}, np.arange(600), SETTINGS, 1)


def test_a_rule_has_a_ranking_and_no_probability(sample) -> None:  # type: ignore[no-untyped-def]
    """Catches a Brier score of an amount in euros, and missing values that are not one step."""
    label, score, _ = sample
    amount = np.where(score < 0.1, -np.inf, score * 1000)
    found = metrics.evaluate(
        label, {"": score, "rule": amount}, np.arange(600), SETTINGS, 1, fired={"rule": amount > 500}
    ).metrics["rule"]
    assert np.isnan(found["brier"].value) and np.isnan(found["calibration_error"].value)
    expected = average_precision_score(label, np.where(score < 0.1, 0, score))
    assert found["average_precision"].value == pytest.approx(expected)
