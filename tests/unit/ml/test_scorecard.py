"""Scorecards against figures worked out by hand and against what made the rows."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ml.scores import scorecard
from ml.scores.scorecard import Bin, Scorecard


@pytest.fixture(scope="module")
def bank() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Applicants: risk falls with income and bureau, rises with arrears, and does not care for age."""
    rng = np.random.default_rng(8)
    n = 12_000
    income, arrears = np.exp(rng.normal(0, 1, n)), rng.poisson(0.6, n).astype(float)
    age, bureau = rng.uniform(18, 80, n), rng.normal(0, 1, n)
    margin = -2.5 - np.log(income) + 0.8 * arrears - 0.6 * bureau
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    bureau[rng.random(n) < 0.1] = np.nan
    columns = {"income": income, "arrears": arrears, "age": age, "bureau": bureau}
    return {name: values.astype(np.float32) for name, values in columns.items()}, label


def test_evidence_and_information_are_the_published_formulas() -> None:
    """Catches the ratio upside down: higher evidence must mean fewer events."""
    values = np.repeat([1.0, 2.0], [6000, 4000])
    label = np.concatenate([np.repeat([1.0, 0.0], [200, 5800]), np.repeat([1.0, 0.0], [800, 3200])])
    card = scorecard.fit({"x": values}, label)
    low, high, missing = card.bins["x"]
    woe = [math.log((5800 / 9000) / (200 / 1000)), math.log((3200 / 9000) / (800 / 1000))]
    assert [low.woe, high.woe] == pytest.approx(woe, abs=0.01)  # half an event is added to each bin
    assert (low.low, low.high, low.count, low.events) == (None, 1.0, 6000, 200)
    assert (high.low, high.high, high.count, high.events) == (1.0, None, 4000, 800)
    assert (missing.is_missing, missing.count, missing.woe) == (True, 0, 0.0)
    information = (5800 / 9000 - 0.2) * woe[0] + (3200 / 9000 - 0.8) * woe[1]
    assert card.information_values["x"] == pytest.approx(information, abs=0.05)


def test_a_tiny_bin_says_little_and_an_empty_one_nothing() -> None:
    """Catches three lucky rows that weigh more than a thousand, and the logarithm of nothing."""
    assert scorecard.weight_of_evidence(0, 0, events=100, others=9900) == pytest.approx(0)
    assert 0 < scorecard.weight_of_evidence(3, 0, events=100, others=9900) < 0.1
    assert scorecard.weight_of_evidence(5000, 0, events=100, others=9900) > 3
    assert scorecard.weight_of_evidence(2, 2, events=9900, others=100) < 0


def test_points_follow_the_published_scale() -> None:
    """Catches a scale that doubles the odds elsewhere: 600 points at 50:1, 20 to double (Siddiqi 2006)."""
    label = np.concatenate([np.repeat([1.0, 0.0], [100, 5000]), np.repeat([1.0, 0.0], [50, 5000])])
    columns = {"x": np.repeat([1.0, 2.0], [5100, 5050])}
    for settings_, expected in (
        ({}, [600.0, 620.0]),
        ({"base_points": 200, "base_odds": 100, "points_to_double_odds": 40}, [160.0, 200.0]),
    ):
        card = scorecard.fit(columns, label, **settings_)
        found = card.points({"x": np.array([1.0, 2.0])})
        assert found == pytest.approx(expected, abs=0.05)
        assert [row["points"] for row in card.table()[:2]] == pytest.approx(found, abs=0.5)


def test_the_points_of_the_table_add_up_to_the_score(bank) -> None:  # type: ignore[no-untyped-def]
    """Catches a table that a person cannot score by."""
    columns, label = bank
    card = scorecard.fit(columns, label)
    rows = card.table()
    assert list(rows[0]) == ["feature", "from", "to", "is_missing", "count", "events", "woe", "points"]
    for i in range(0, 12_000, 500):
        total = 0
        for name in card.coefficients:
            value = columns[name][i]
            (hit,) = (
                row
                for row in rows
                if row["feature"] == name
                and row["is_missing"] == bool(np.isnan(value))
                and not (row["from"] is not None and value <= row["from"])
                and not (row["to"] is not None and value > row["to"])
            )
            total += hit["points"]
        exact = card.points({name: values[i : i + 1] for name, values in columns.items()})[0]
        assert abs(total - exact) <= len(card.coefficients) / 2
    for name in card.coefficients:
        mine = [row for row in rows if row["feature"] == name]
        assert sum(row["count"] for row in mine) == 12_000
        assert sum(row["events"] for row in mine) == label.sum()
        by_risk = sorted(mine, key=lambda row: row["woe"])
        assert [row["points"] for row in by_risk] == sorted(row["points"] for row in mine)


def test_evidence_is_monotone_and_bins_are_large_enough(bank) -> None:  # type: ignore[no-untyped-def]
    """Catches a customer who loses points by earning more, and bins of a handful of rows."""
    columns, label = bank
    card = scorecard.fit(columns, label, least_information=0)
    rising = {"income": 1, "arrears": -1, "bureau": 1}
    for name, sign in rising.items():
        known = card.bins[name][:-1]
        assert len(known) >= 3
        assert np.all(sign * np.diff([part.woe for part in known]) > 0)
        assert min(part.count for part in known) >= 0.05 * 12_000
        assert len(known) <= 8
    assert card.bins["bureau"][-1].count == np.isnan(columns["bureau"]).sum()


def test_a_direction_can_be_asked_for(bank) -> None:  # type: ignore[no-untyped-def]
    """Catches a scorecard without the constraints of the model that it stands beside."""
    columns, label = bank
    wrong = scorecard.fit(columns, label, monotone={"income": 1})
    assert "income" in wrong.left_out
    right = scorecard.fit(columns, label, monotone={"income": -1, "arrears": 1})
    assert right.to_dict() == scorecard.fit(columns, label).to_dict()


def test_noise_is_left_out_and_the_rest_ranks_like_the_truth(bank) -> None:  # type: ignore[no-untyped-def]
    """Catches a scorecard that is a straw man, or that keeps what says nothing."""
    columns, label = bank
    card = scorecard.fit(columns, label)
    assert list(card.coefficients) == ["income", "arrears", "bureau"]
    assert "information value" in card.left_out["age"]
    assert set(card.information_values) == set(columns)
    linear = np.column_stack(
        [np.log(columns["income"]), columns["arrears"], np.nan_to_num(columns["bureau"])]
    )
    best = roc_auc_score(label, LogisticRegression().fit(linear, label).predict_proba(linear)[:, 1])
    assert roc_auc_score(label, card.predict(columns)) > best - 0.015
    assert card.predict(columns).mean() == pytest.approx(label.mean(), abs=0.001)


def test_a_coefficient_of_the_wrong_sign_is_left_out() -> None:
    """Catches more points for more arrears, which a regression likes where two features tell the same."""
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 1, 20_000)
    echo = truth + rng.normal(0, 0.5, 20_000)
    label = (rng.random(20_000) < 1 / (1 + np.exp(-(3 * truth - 1.5 * echo)))).astype(np.float64)
    card = scorecard.fit({"echo": echo, "truth": truth}, label)
    assert list(card.coefficients) == ["truth"]
    assert "sign is wrong" in card.left_out["echo"]
    assert all(value < 0 for value in card.coefficients.values())


def test_json_gives_the_same_scorecard(bank) -> None:  # type: ignore[no-untyped-def]
    """Catches a scorecard that is stored beside a model and scores otherwise when read."""
    columns, label = bank
    card = scorecard.fit(columns, label, base_odds=30)
    again = Scorecard.from_dict(json.loads(json.dumps(card.to_dict())))
    assert again == card
    assert np.array_equal(again.predict(columns), card.predict(columns))
    assert isinstance(again.bins["income"][0], Bin)


def test_what_training_never_saw_is_scored(bank) -> None:  # type: ignore[no-untyped-def]
    """Catches values beyond the range, and missing ones where training had none."""
    columns, label = bank
    card = scorecard.fit({"income": columns["income"]}, label)
    beyond, known, gone = (
        card.margins({"income": np.array([value], dtype=np.float32)})[0]
        for value in (1e9, columns["income"].max(), np.nan)
    )
    assert beyond == known
    assert gone == pytest.approx(card.intercept)


def test_a_scorecard_without_features_gives_the_base_rate() -> None:
    """Catches a fit on nothing; and one outcome only, which has no odds."""
    label = np.repeat([0.0, 1.0], [90, 10])
    card = scorecard.fit({"same": np.ones(100), "gone": np.full(100, np.nan)}, label)
    assert card.coefficients == {}
    assert card.predict({"same": np.ones(3)}) == pytest.approx([0.1] * 3)
    with pytest.raises(ValueError, match="rows with the event and rows without"):
        scorecard.fit({"same": np.ones(100)}, np.zeros(100))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.one_of(st.integers(0, 30), st.none()), st.booleans()), min_size=5, max_size=120),
    st.integers(0, 5),
)
def test_the_order_of_rows_never_matters(rows, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Catches ties broken by position, rows in no bin, and evidence that turns."""
    values = np.array([np.nan if value is None else value for value, _ in rows], dtype=np.float32)
    label = np.array([float(hit) for _, hit in rows])
    label[:2] = 0, 1
    turn = np.random.default_rng(seed).permutation(len(rows))
    card = scorecard.fit({"x": values}, label, least_information=0)
    assert scorecard.fit({"x": values[turn]}, label[turn], least_information=0) == card
    if parts := card.bins.get("x"):
        assert sum(part.count for part in parts) == len(rows)
        steps = np.sign(np.diff([part.woe for part in parts[:-1]]))
        assert abs(steps.sum()) == len(steps)
