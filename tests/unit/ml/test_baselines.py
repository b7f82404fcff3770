"""Baselines: the best rule against trying them all, the others against what made the rows."""

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ml.datasets import Rows
from ml.scores import baselines, evaluation, scorecard


@dataclass
class Wanted:
    """As a use case describes a baseline."""

    kind: str
    features: Any = "all"
    params: dict[str, Any] = field(default_factory=dict)
    rounds: int = 100
    early_stopping_rounds: int = 10


@dataclass
class Wishes:
    """What is read of a use case."""

    baselines: dict[str, Wanted]
    seed: int = 7


def make(seed: int, n: int = 6000) -> Rows:
    """Payments: risk rises with the amount and with an unusual hour; a third of the amounts is missing."""
    rng = np.random.default_rng(seed)
    amount, hour, noise = np.exp(rng.normal(3, 1.5, n)), rng.integers(0, 24, n), rng.normal(0, 1, n)
    margin = -5 + 0.8 * np.log(amount) + 1.5 * (hour < 5)
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(np.int32)
    amount[rng.random(n) < 0.3] = np.nan
    columns = {"amount": amount, "hour": hour, "noise": noise}
    table = {name: pa.array(v.astype(np.float32), from_pandas=True) for name, v in columns.items()}
    return Rows(pa.table({**table, "label": label}), tuple(columns), "")


FITTED, CALIBRATION, TEST = make(1), make(2), make(3)
ALL = Wishes(
    {
        "logistic": Wanted("logistic"),
        "amount": Wanted("logistic", ["amount"]),
        "scorecard": Wanted("scorecard"),
        "published": Wanted("xgboost", ["amount", "hour"], {"max_depth": 3, "eta": 0.3}),
        "rule": Wanted("rule"),
    }
)


def test_every_kind_ranks_rows_that_it_has_not_seen() -> None:
    """Catches a straw man among the baselines, and probabilities on another scale than the rate."""
    found = baselines.predict(ALL, FITTED, CALIBRATION, TEST)
    assert list(found) == list(ALL.baselines)
    label = TEST.labels()
    for name, least in {"logistic": 0.65, "scorecard": 0.69, "published": 0.69, "rule": 0.58}.items():
        assert roc_auc_score(label, np.maximum(found[name].scores, -1e9)) > least, name
        if name != "rule":
            assert found[name].scores.mean() == pytest.approx(label.mean(), abs=0.02), name
        json.dumps(found[name].details)
    assert found["logistic"].description == "Logistic regression on 3 features."
    assert found["amount"].description == "Logistic regression on amount."
    assert found["scorecard"].description == "Points scorecard from 3 features; used are: amount, hour."
    card = scorecard.Scorecard.from_dict(found["scorecard"].details)
    columns = {name: TEST.table[name].to_pandas().to_numpy() for name in TEST.features}
    assert np.array_equal(card.predict(columns), found["scorecard"].scores)


def test_test_labels_are_never_looked_at() -> None:
    """Catches a threshold, a bin or a round chosen on the rows that judge."""
    blind = Rows(TEST.table.drop_columns(["label"]), TEST.features, "")
    seen, unseen = (baselines.predict(ALL, FITTED, CALIBRATION, rows) for rows in (TEST, blind))
    for name in ALL.baselines:
        assert np.array_equal(seen[name].scores, unseen[name].scores), name
        assert seen[name].description == unseen[name].description


def test_the_booster_stops_on_the_calibration_rows() -> None:
    """Catches a booster fitted on the rows that it stops on: there, more rounds are always better."""
    wishes = Wishes({"x": Wanted("xgboost", params={"eta": 0.5}, rounds=400)})
    found = baselines.predict(wishes, FITTED, CALIBRATION, TEST)["x"]
    assert found.details["rounds"] < 60
    assert found.description == f"XGBoost on 3 features, {found.details['rounds']} of 400 rounds."
    again = baselines.predict(wishes, FITTED, CALIBRATION, TEST, threads=2)["x"]
    assert np.array_equal(again.scores, found.scores)


def test_an_unknown_kind_is_refused_by_name() -> None:
    """Catches a baseline that is silently not there."""
    with pytest.raises(ValueError, match="baseline x: no kind 'oracle'"):
        baselines.predict(Wishes({"x": Wanted("oracle")}), FITTED, CALIBRATION, TEST)


def test_a_rule_fires_by_its_words_and_ranks_by_its_feature() -> None:
    """Catches missing values that fire, and a score that forgets how far a row is beyond the threshold."""
    found = baselines.predict(Wishes({"rule": Wanted("rule")}), FITTED, CALIBRATION, TEST)["rule"]
    feature, sign, number = found.details["words"].split(" ")
    values = TEST.table["amount"].to_pandas().to_numpy()
    assert (feature, sign) == ("amount", "≥")
    assert found.description == f"Best single rule: {found.details['words']}."
    assert np.array_equal(found.fired, values >= float(number.replace(",", "")))
    known = ~np.isnan(values)
    assert np.array_equal(found.scores[known], values[known].astype(np.float64))
    assert np.all(found.scores[~known] == -np.inf)
    down = baselines.best_rule({"x": -values[known]}, TEST.labels()[known])
    assert down.words == f"x ≤ -{baselines.best_rule({'x': values[known]}, TEST.labels()[known]).words[4:]}"
    assert np.array_equal(down.scores(-values[known]), values[known].astype(np.float64))


def test_a_rule_is_published_as_it_fires() -> None:
    """Catches a published direction or threshold that points at other rows than the rule that was judged."""
    predicted = baselines.predict(
        Wishes({"line": Wanted("logistic"), "rule": Wanted("rule")}), FITTED, CALIBRATION, TEST
    )
    named = evaluation.Named("fraud", "v1", "January")
    (told,) = evaluation.rules(named, predicted, len(TEST))
    values = TEST.table[told["dataset"].removeprefix("rule: ")].to_pandas().to_numpy()
    assert (told["baseline"], told["metric"]) == ("rule", "fires_from")
    assert np.array_equal(predicted["rule"].fired, values >= told["value"])
    amount = predicted["rule"]
    down = replace(amount, details={**amount.details, "at_least": False})
    assert evaluation.rules(named, {"rule": down}, 1)[0]["metric"] == "fires_up_to"


few_rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([-1.5, 0.0, 0.1, 0.25, 7.0, 1234.5])),
        st.one_of(st.none(), st.integers(0, 3)),
        st.booleans(),
    ),
    min_size=2,
    max_size=25,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(few_rows, st.integers(0, 5))
def test_no_other_rule_is_better(rows, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Catches a threshold inside a tie, a direction never tried, and rows whose order matters."""
    a, b = (
        np.array([np.nan if v is None else v for v in part], dtype=np.float32)
        for part in list(zip(*rows, strict=True))[:2]
    )
    label = np.array([float(hit) for *_, hit in rows])
    a[0], label[0] = 0.25, 1
    columns = {"a": a, "b": b}

    def judge(fires: np.ndarray) -> float:
        return float(average_precision_score(label, fires))

    tried = [
        judge(values >= value if up else values <= value)
        for values, up in itertools.product(columns.values(), (True, False))
        for value in values[~np.isnan(values)]
    ]
    found = baselines.best_rule(columns, label)
    assert found.value == pytest.approx(max(tried))
    assert judge(found.fires(columns[found.feature])) == pytest.approx(found.value)
    turn = np.random.default_rng(seed).permutation(len(label))
    assert baselines.best_rule({n: v[turn] for n, v in columns.items()}, label[turn]) == found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([799.3, 812.5], "x ≥ 812"),
        ([812.41, 812.5], "x ≥ 812.5"),
        ([0.001234, 0.00129], "x ≥ 0.00129"),
        ([-3.0, 12345.6], "x ≥ 12,345"),
        ([5.0, 6.0], "x ≥ 6"),
    ],
)
def test_thresholds_are_as_short_as_they_can_be(values: list[float], words: str) -> None:
    """Catches thresholds of seventeen digits in a report."""
    found = baselines.best_rule({"x": np.array(values)}, np.array([0.0, 1.0]))
    assert found.fires(np.array(values)).tolist() == [False, True]
    assert found.words == words


def test_a_rule_needs_events_and_values() -> None:
    """Catches a rule that found nothing and fires anyway."""
    with pytest.raises(ValueError, match="rows with the event"):
        baselines.best_rule({"x": np.array([1.0, 2.0])}, np.zeros(2))
    with pytest.raises(ValueError, match="feature with a value"):
        baselines.best_rule({"x": np.array([np.nan, np.nan])}, np.ones(2))
