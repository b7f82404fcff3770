"""Fairness by group against counts worked out by hand, and flags only where chance is ruled out."""

from typing import Any

import numpy as np
import pytest

from ml.scores import fairness
from ml.scores.fairness import Fairness

COMMON: dict[str, Any] = {"min_rows": 100, "draws": 200, "interval": 0.95, "seed": 1}


def measure(approved: dict[str, tuple[int, int]], outcome: Any = "approved", **changes: Any) -> Fairness:
    """Groups with (rows, rows approved or selected); nobody is an event."""
    names = np.repeat(list(approved), [n for n, _ in approved.values()])
    low, high = (0.1, 0.9) if outcome == "approved" else (0.9, 0.1)
    score = np.concatenate([np.repeat([low, high], [yes, n - yes]) for n, yes in approved.values()])
    options = {**COMMON, "threshold": 0.5, **changes}
    customers = np.arange(len(names))
    return fairness.measure(
        {"region": names.tolist()}, np.zeros(len(names)), score, customers, outcome=outcome, **options
    )


def values(found: Fairness) -> dict[tuple[str, str], fairness.GroupMetric]:
    return {(row.group, row.metric): row for row in found.rows}


def test_the_metrics_are_those_of_the_counts() -> None:
    """Catches a rate over the wrong rows: good payers refused are what a true-positive rate is about."""
    label = np.array([0.0, 0, 0, 1, 0, 1])
    score = np.array([0.1, 0.2, 0.6, 0.7, 0.1, 0.3])
    groups: dict[str, list[str | None]] = {
        "gender": ["m", "m", "m", "m", "f", "f"],
        "age_band": ["a", "a", None, "a", None, "a"],
    }
    common = {**COMMON, "threshold": 0.5}
    found = fairness.measure(groups, label, score, np.arange(6), outcome="approved", **common)
    by_group = values(Fairness(tuple(row for row in found.rows if row.attribute == "gender"), ()))
    assert by_group["m", "approval_rate"].value == pytest.approx(2 / 4)
    assert by_group["f", "approval_rate"].value == pytest.approx(1)
    assert by_group["f", "adverse_impact_ratio"].value == pytest.approx(2)
    assert by_group["m", "true_positive_rate"].value == pytest.approx(2 / 3)
    assert by_group["m", "mean_score"].value == pytest.approx(0.4)
    assert by_group["m", "calibration_gap"].value == pytest.approx(0.4 - 1 / 4)
    assert (by_group["m", "mean_score"].n, by_group["m", "mean_score"].base_rate) == (4, 0.25)
    assert {row.group for row in found.rows if row.attribute == "age_band"} == {"a", "unknown"}
    selected = values(fairness.measure(groups, label, score, np.arange(6), outcome="selected", **common))
    assert selected["m", "selection_rate"].value == pytest.approx(2 / 4)
    assert selected["m", "true_positive_rate"].value == pytest.approx(1)
    assert selected["f", "true_positive_rate"].value == pytest.approx(0)


def test_four_fifths_are_measured_against_the_largest_group() -> None:
    """Catches the best-treated group as yardstick, however small, and flags without words."""
    found = measure({"north": (4000, 3000), "south": (2000, 900), "west": (300, 300)})
    by_group = values(found)
    assert by_group["south", "adverse_impact_ratio"].value == pytest.approx(0.45 / 0.75)
    assert by_group["west", "adverse_impact_ratio"].value == pytest.approx(1 / 0.75)
    assert by_group["north", "adverse_impact_ratio"].value == 1
    (flag,) = found.flags
    ratio = by_group["south", "adverse_impact_ratio"]
    assert flag == (
        "region south: 45.0% of 2,000 rows are approved, against 75.0% of the largest group, north: "
        f"an impact ratio of 0.60 ({ratio.lo:.2f} to {ratio.hi:.2f}), below 0.80"
    )


def test_chance_and_small_groups_raise_no_flag() -> None:
    """Catches alarms on a dozen people, and on a ratio below the limit whose interval holds it."""
    assert measure({"north": (4000, 3000), "south": (99, 40)}).flags == ()
    assert len(measure({"north": (4000, 3000), "south": (99, 40)}, min_rows=50).flags) == 1
    close = measure({"north": (4000, 3000), "south": (200, 118)})
    ratio = values(close)["south", "adverse_impact_ratio"]
    assert ratio.value < 0.8 < ratio.hi
    assert close.flags == ()
    assert measure({"north": (4000, 3000), "unknown": (2000, 500)}).flags == ()
    assert measure({"north": (90, 80), "south": (89, 10)}).flags == ()


def test_being_selected_is_looked_at_from_both_sides() -> None:
    """Catches a group whose cards are blocked three times as often as others'."""
    found = measure({"north": (4000, 800), "south": (4000, 2400), "west": (3000, 200)}, "selected")
    assert [flag.partition(":")[0] for flag in found.flags] == ["region south", "region west"]
    assert found.flags[0].endswith("above 1.25")
    assert found.flags[1].endswith("below 0.80")
    assert measure({"north": (4000, 2000), "south": (3900, 3900)}).flags == ()


def test_a_limit_can_be_set() -> None:
    """Catches a limit that the YAML names and nothing reads."""
    groups = {"north": (4000, 3000), "south": (3000, 1900)}
    assert measure(groups).flags == ()
    assert len(measure(groups, least_impact_ratio=0.95).flags) == 1


def test_a_customer_is_drawn_with_all_its_rows() -> None:
    """Catches intervals too narrow by the number of months that a customer is scored in."""
    rng = np.random.default_rng(3)
    group, score, label = rng.choice(["a", "b"], 400), rng.random(400), np.zeros(400)
    options = {**COMMON, "threshold": 0.5, "outcome": "approved"}
    once = values(fairness.measure({"g": group.tolist()}, label, score, np.arange(400), **options))
    often = values(
        fairness.measure(
            {"g": np.tile(group, 5).tolist()},
            np.tile(label, 5),
            np.tile(score, 5),
            np.tile(np.arange(400), 5),
            **options,
        )
    )
    for key, row in once.items():
        assert (often[key].lo, often[key].hi) == pytest.approx((row.lo, row.hi), nan_ok=True), key
        assert often[key].n == 5 * row.n
        assert not row.lo > row.value and not row.value > row.hi


def test_a_customer_may_change_groups_and_rows_their_order() -> None:
    """Catches a customer put into one group for good: a birthday moves it to the next age band."""
    rng = np.random.default_rng(5)
    group, customers = rng.choice(["18-25", "26-35", "36+"], 900), rng.integers(0, 300, 900)
    label, score = (rng.random(900) < 0.2).astype(np.float64), rng.random(900)
    options = {**COMMON, "threshold": 0.5, "outcome": "approved"}
    turn = rng.permutation(900)
    one = values(fairness.measure({"age_band": group.tolist()}, label, score, customers, **options))
    other = values(
        fairness.measure(
            {"age_band": group[turn].tolist()}, label[turn], score[turn], customers[turn], **options
        )
    )
    for key, row in one.items():
        assert (other[key].value, other[key].lo) == pytest.approx((row.value, row.lo)), key
    for name in set(group.tolist()):
        assert one[name, "approval_rate"].value == pytest.approx((score[group == name] < 0.5).mean())
