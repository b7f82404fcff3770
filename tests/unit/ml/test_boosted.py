"""Boosted trees on rows whose truth is known."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from ml import config
from ml.datasets import Rows
from ml.scores import boosted
from ml.scores.boosted import BoostedTrees
from ml.scores.config import Range, Search, UseCase

NAMES = ("one", "two", "noise")


def rows(n: int = 6000, rate: float = -3.0, seed: int = 4) -> Rows:
    """Rows of eight days: the event is likelier with `one` and less so with `two`."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(rate + 1.5 * values[:, 0] - values[:, 1])))
    days = [date(2025, 1, 1) + timedelta(days=int(d)) for d in np.arange(n) * 8 // n]
    table = pa.table(
        {
            "client_id": ["c"] * n,
            "entity_id": [f"e{i:05d}" for i in range(n)],
            "customer_id": [f"e{i:05d}" for i in range(n)],
            "as_of_date": pa.array(days, pa.date32()),
            "day": pa.array(days, pa.date32()),
            "label": (rng.random(n) < chance).astype(np.int32),
            **{name: values[:, at] for at, name in enumerate(NAMES)},
        }
    )
    return Rows(table, NAMES, "1")


def halves(found: Rows) -> tuple[Rows, Rows]:
    """Fitted and calibration days."""
    days = sorted(set(found.table["day"].to_pylist()))
    return found.of(days[:6]), found.of(days[6:])


@pytest.fixture
def boosted_case(configure: Callable[..., UseCase]) -> Callable[..., UseCase]:
    """The small use case with other numbers of its estimator."""
    return lambda **changes: configure(
        estimator=changes, dates={"calibration": 2, "training": 8}, label={"horizon_days": 0}
    )


def test_a_search_is_bounded_and_finds_the_same_again(boosted_case: Callable[..., UseCase]) -> None:
    """Catches an unseeded or unbounded search: the same rows must give the same model."""
    space = {"max_depth": Range(low=1, high=4, whole=True), "eta": Range(low=0.01, high=0.3)}
    params = config.load("churn").boosted.params | {"eta": 0.001}
    use_case = boosted_case(search=Search(trials=5, space=space), params=params, rounds=20)
    fitted, calibration = halves(rows())
    one, two = (boosted.fit(use_case, fitted, calibration, threads) for threads in (1, 2))
    assert len(one.trials) == 5
    assert (one.trials[0]["max_depth"], one.trials[0]["eta"]) == (3, 0.001), (
        "the YAML's own numbers come first"
    )
    assert one.trials == two.trials
    assert one.trees.file() == two.trees.file()
    best = min(one.trials, key=lambda trial: trial["log_loss"])
    assert best is not one.trials[0]
    assert (one.params["max_depth"], one.params["eta"]) == (best["max_depth"], best["eta"])
    assert all(1 <= trial["max_depth"] <= 4 and 0.01 <= trial["eta"] <= 0.3 for trial in one.trials[1:])


def test_a_lucky_trial_does_not_replace_the_yamls_numbers(boosted_case: Callable[..., UseCase]) -> None:
    """Catches numbers chosen by noise: of many trials one always looks best."""
    space = {"subsample": Range(low=0.79, high=0.81)}
    fitted, calibration = halves(rows())
    fit = boosted.fit(boosted_case(search=Search(trials=5, space=space)), fitted, calibration, 2)
    assert min(trial["log_loss"] for trial in fit.trials) < fit.trials[0]["log_loss"]
    assert fit.params["subsample"] == fit.trials[0]["subsample"]


def test_the_search_never_sees_the_calibration_days(boosted_case: Callable[..., UseCase]) -> None:
    """Catches numbers chosen on the rows that stop and calibrate, which would flatter both."""
    space = {"eta": Range(low=0.01, high=0.3)}
    use_case = boosted_case(search=Search(trials=3, space=space))
    fitted, calibration = halves(rows())
    other = Rows(
        calibration.table.set_column(
            calibration.table.column_names.index("label"),
            "label",
            pa.array(1 - calibration.labels().astype(np.int32)),
        ),
        NAMES,
        "1",
    )
    one, two = (boosted.fit(use_case, fitted, held_out, 2).trials for held_out in (calibration, other))
    assert one == two


@pytest.mark.parametrize("calibration_kind", ["platt", "none"])
def test_thinned_rows_give_the_true_rate_back(
    boosted_case: Callable[..., UseCase], calibration_kind: str
) -> None:
    """Catches a prior that is not put back: with a fifth of the others all look five times as risky."""
    use_case = boosted_case(keep_others=0.2, calibration=calibration_kind, search=None)
    found = rows(20_000)
    fitted, calibration = halves(found)
    assert len(boosted.thin(fitted, 0.2, 7)) < 0.4 * len(fitted)
    fit = boosted.fit(use_case, fitted, calibration, 2)
    a, b = fit.calibration
    fresh = rows(20_000, seed=9)
    mean = float(np.mean(1 / (1 + np.exp(-(a * fit.trees.margins(fresh.table, 2) + b)))))
    assert mean == pytest.approx(fresh.labels().mean(), rel=0.08)


def test_every_row_with_the_event_is_kept() -> None:
    """Catches thinning of what there is least of."""
    found = rows()
    assert boosted.thin(found, 0.1, 7).labels().sum() == found.labels().sum()


def test_a_monotone_feature_never_turns_round(boosted_case: Callable[..., UseCase]) -> None:
    """Catches constraints lost between YAML and XGBoost: reasons of a decline stand on them."""
    use_case = boosted_case(monotone={"one": 1, "two": -1}, search=None)
    fit = boosted.fit(use_case, *halves(rows()), 2)
    grid = np.linspace(-3, 3, 60, dtype=np.float32)
    for name, sign in (("one", 1), ("two", -1)):
        for others in (-1.0, 0.0, 1.0):
            table = pa.table({n: grid if n == name else np.full(60, others, dtype=np.float32) for n in NAMES})
            assert (np.diff(fit.trees.margins(table, 1)) * sign >= 0).all()


def test_a_constraint_on_a_feature_that_is_not_there_is_named(boosted_case: Callable[..., UseCase]) -> None:
    """Catches a renamed feature that silently loses its direction."""
    with pytest.raises(config.ConfigError, match="monotone names gone"):
        boosted.fit(boosted_case(monotone={"gone": 1}), *halves(rows(1000)), 2)


def test_columns_in_another_order_give_the_same_margins(boosted_case: Callable[..., UseCase]) -> None:
    """Catches XGBoost's silence about Arrow columns in another order."""
    found: Any = boosted.fit(boosted_case(search=None), *halves(rows(2000)), 2).trees
    assert isinstance(found, BoostedTrees)
    table = rows(50).table
    assert np.array_equal(found.margins(table, 1), found.margins(table.select(table.column_names[::-1]), 1))


def test_margins_are_those_that_xgboost_gives_its_own_matrix(boosted_case: Callable[..., UseCase]) -> None:
    """Catches another answer of the short way, above all for missing values: scores must not change a bit."""
    found = boosted.fit(boosted_case(search=None), *halves(rows(2000)), 2).trees
    table = rows(500).table
    given = np.array([np.where(np.arange(500) % k == 0, np.nan, table[n]) for k, n in enumerate(NAMES, 2)]).T
    given = given.astype(np.float32)
    holes = pa.table({n: pa.array(given[:, at], from_pandas=True) for at, n in enumerate(NAMES)})
    slow = found.booster.predict(xgb.DMatrix(holes), output_margin=True).astype(np.float64)
    assert np.array_equal(found.margins(holes, 1), slow)
    assert np.array_equal(found.margins(given, 2), slow)
    assert len(found.margins(given[:0], 1)) == 0


def test_an_infinite_value_is_refused_by_name(boosted_case: Callable[..., UseCase]) -> None:
    """Catches a division by zero in a feature, which trees would score without a word."""
    found = boosted.fit(boosted_case(search=None), *halves(rows(1000)), 2).trees
    with pytest.raises(ValueError, match="infinite values in two"):
        found.margins(np.array([[0, -np.inf, np.nan]], dtype=np.float32), 1)


def test_days_whose_outcomes_overlap_are_not_compared(boosted_case: Callable[..., UseCase]) -> None:
    """Catches a search that rewards knowing customers by heart: neighbouring windows share their answers."""
    use_case = boosted_case(search=Search(trials=1, space={"eta": Range(low=0.1, high=0.3)}))
    near = use_case.model_copy(update={"label": use_case.label.model_copy(update={"horizon_days": 2})})
    far = use_case.model_copy(update={"label": use_case.label.model_copy(update={"horizon_days": 30})})
    fitted, _ = halves(rows())
    for early, late in boosted._folds(near, fitted, fitted):
        assert max(early.table["day"].to_pylist()) + timedelta(days=2) <= min(late.table["day"].to_pylist())
    assert len(boosted._folds(near, fitted, fitted)) > 0
    assert boosted._folds(far, fitted, fitted) == []
