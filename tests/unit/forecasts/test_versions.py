"""Versions: what is learnt and from what, what is refused, what becomes of them."""

import json
import re
from dataclasses import replace
from datetime import date

import duckdb
import pytest

from ml.families import TooLittle
from ml.forecasts import fitted, steps
from ml.forecasts.config import Forecast
from ml.forecasts.fitted import Fitted
from ml.forecasts.series import Span
from ml.promotion import KEPT, PROMOTED, REFUSED
from nightledger.settings import Settings
from tests.unit.forecasts.client import CLIENT, FIRST, Learnt, cutoff, whole


def test_a_version_is_one_file_that_reads_back(
    learnt: Learnt,
) -> None:
    """A number that is lost in the file: tonight's forecast would not be the one that was judged."""
    found, _, files = learnt
    assert Fitted.from_files(files) == found
    assert Fitted.from_files(files).files() == files


def test_what_is_learnt_beats_the_floor(learnt: Learnt) -> None:
    """Methods swapped between series, or intervals that are far too narrow."""
    found, judged, _ = learnt
    assert judged.of_series()["mase"] <= judged.of_floor()["mase"]
    assert judged.customers is not None
    assert judged.customers.values["mase"] < judged.customers.values["floor_mase"]
    assert abs(judged.customers.values["coverage_80"] - 0.8) < 0.08
    assert abs(judged.customers.values["coverage_95"] - 0.95) < 0.06
    assert found.customers is not None and found.customers.index[11] == max(found.customers.index)
    assert {row["dataset"] for row in judged.metrics} >= {"client", "category", "customer", "client by day"}
    names = [f"{row['baseline']}.{row['dataset']}.{row['metric']}" for row in judged.metrics]
    assert not [name for name in names if not re.fullmatch(r"[\w\-. :/]+", name)], "the registry refuses them"


def test_too_little_is_refused_in_words(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """A version made of two origins; or of history that nobody knew at the time."""
    asked, span = whole(rules)
    with pytest.raises(
        TooLittle, match="6 complete months of history, 2025-07-01 to 2025-12-31; 9 are needed"
    ):
        fitted.learn(connection, settings, asked, replace(span, first=date(2025, 7, 1)))
    connection.execute("update intermediate.int_revenue set known_at = timestamp '2025-12-31 10:00:00'")
    with pytest.raises(TooLittle, match="known from its loading on"):
        fitted.learn(connection, settings, asked, span)


def test_a_client_without_revenue_is_told_so(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """A client that earns nothing is told to date its history or to wait for more, which changes nothing."""
    asked, span = whole(rules.model_copy(update={"measure": "revenue"}))
    for known in (span, replace(span, first=date(2025, 7, 1))):
        with pytest.raises(TooLittle, match=r"shop has no revenue \(no interchange_rate"):
            fitted.learn(connection, settings, asked, known)
    connection.execute(
        "update intermediate.int_revenue set known_at = timestamp '2025-12-31 10:00', revenue = 1"
    )
    with pytest.raises(TooLittle, match="known from its loading on"):
        fitted.learn(connection, settings, asked, span)


def test_what_comes_later_changes_nothing_that_was_learnt(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """A version that has read past its day: every evaluation of it would be too good."""
    asked, _ = whole(rules.model_copy(update={"levels": ["client", "customer"]}))
    day = date(2025, 6, 30)
    span = Span(CLIENT, FIRST, day, cutoff(day))
    before, _ = fitted.learn(connection, settings, asked, span)
    connection.execute("""
        update intermediate.int_revenue set spend_amount = spend_amount * 50
        where business_date > date '2025-06-30'
    """)
    after, _ = fitted.learn(connection, settings, asked, span)
    assert before.files() == after.files()


def test_where_nothing_beats_the_floor_the_floor_is_forecast(
    connection: duckdb.DuckDBPyConnection, rules: Forecast, learnt: Learnt, settings: Settings
) -> None:
    """A client without any forecast, or with one that has proven worse, because chance chose the methods."""
    assert not learnt[1].is_floor()
    strict = rules.model_copy(
        update={
            "levels": ["client", "category"],
            "promotion": rules.promotion.model_copy(update={"over_floor": 0.01}),
        }
    )
    found, judged = fitted.learn(connection, settings, *whole(strict))
    assert judged.is_floor()
    assert {method for key, method in found.tiers.items() if key[0] == "month"} == {"floor"}
    assert judged.of_series()["mase"] == pytest.approx(judged.of_floor()["mase"])
    assert "so every series has it" in steps.decide(rules, judged, None, None, ())[1]


def test_verdicts_follow_the_rules(rules: Forecast, learnt: Learnt) -> None:
    """A version that is worse than the floor or the champion, or whose intervals lie, and is promoted."""
    from ml.registry import Registered

    found, judged, _ = learnt
    champion = Registered("forecast_spend.shop", "v0", "", PROMOTED, "", "1")
    assert steps.decide(rules, judged, None, None, ())[0] == PROMOTED
    of_floor = replace(found, tiers={})
    assert steps.decide(rules, judged, of_floor, champion, ())[0] == PROMOTED
    assert steps.decide(rules, judged, None, None, ("too narrow",))[0] == REFUSED
    assert steps.decide(rules, judged, found, champion, ("too narrow",))[0] == KEPT
    worse = replace(judged, crossed=judged.crossed.assign(yhat=judged.crossed.yhat * 3))
    assert steps.decide(rules, worse, found, champion, ())[0] == REFUSED
    strict = rules.model_copy(
        update={"promotion": rules.promotion.model_copy(update={"over_champion": 0.01})}
    )
    assert steps.decide(strict, judged, found, champion, ())[0] == KEPT
    narrow = replace(
        judged, crossed=judged.crossed.assign(lo80=judged.crossed.yhat, hi80=judged.crossed.yhat)
    )
    assert any("80 % interval" in words for words in steps.guardrails(rules, narrow))
    assert json.loads(found.files()["model.json"])["measure"] == "spend"
