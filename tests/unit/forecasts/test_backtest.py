"""How methods are judged at past origins, and which one a series keeps."""

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from ml.forecasts import accuracy, backtest, fitted, series
from ml.forecasts.config import Forecast
from nightledger.settings import Settings
from tests.unit.forecasts.client import whole


def test_segments_are_judged_by_their_members_of_then(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """Outcomes of a segment counted of who is in it now: winners would be in it because they won."""
    connection.execute("""
        create table marts.fct_segments as
        select
            'shop' as client_id, 'segments_rfm' as model, customer_id, as_of_date,
            case when hash(customer_id, as_of_date) % 2 = 0 then 'one' else 'two' end as name
        from (select distinct customer_id from intermediate.int_revenue)
        cross join (
            select last_day(date '2025-01-01' + to_months(m::integer)) as as_of_date from range(12) as t(m)
        )
    """)
    changed = rules.model_copy(update={"levels": ["client", "segment", "segment_category"]})
    found, judged = fitted.learn(connection, settings, *whole(changed))
    assert ("month", "segment", "one", "") in found.tiers and (
        "month",
        "segment",
        "two",
        "food",
    ) in found.tiers
    origin = min(judged.crossed.origin)
    rows = judged.crossed.query("level == 'segment' and category == '' and origin == @origin and step == 2")
    came = connection.execute(
        """
        select segments.name, sum(spend_amount)::double
        from intermediate.int_revenue
        inner join marts.fct_segments as segments using (customer_id)
        where as_of_date = last_day($origin::date - 31) and date_trunc('month', business_date) = $target
        group by all order by all
        """,
        {"origin": origin, "target": series.month_start(origin, 2)},
    ).fetchall()
    assert list(zip(rows.entity, rows.actual, strict=True)) == [
        (name, pytest.approx(sum_)) for name, sum_ in came
    ]


def rows_of(errors: dict[str, list[float]], level: str = "category") -> pd.DataFrame:
    """One series at as many origins as a method has errors; what came is 100, the scale 10."""
    rows = [
        {
            "grain": "month", "level": level, "entity": "a", "category": "a", "step": 1, "method": method,
            "origin": date(2025, 1 + at, 28), "target": date(2025, 2 + at, 1), "yhat": 100 + error,
            "scale": 10.0, "is_positive": True, "months": 20, "actual": 100.0,
        }
        for method, by_origin in errors.items()
        for at, error in enumerate(by_origin)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("errors", "kept"),
    [
        ({"floor": [5, 5, 5], "theta": [4, 4, 4], "prophet": [3.9, 3.9, 3.9]}, "theta"),
        ({"floor": [5, 5, 5], "theta": [4, 4, 4], "prophet": [3.7, 3.7, 3.7]}, "prophet"),
        ({"floor": [5, 5, 5], "theta": [5, 5, 5]}, "floor"),
        ({"floor": [5, 5, 5], "theta": [1, 1]}, "floor"),
        ({"floor": [5, 5, 5, 1], "prophet": [1, 1, 1, 1]}, "prophet"),
    ],
)
def test_a_series_keeps_what_won(rules: Forecast, errors: dict[str, list[float]], kept: str) -> None:
    """Prophet by a hair, a method that spoke only where it was easy, or one that ties with the floor."""
    assert list(backtest.tiers(rows_of(errors), rules).values()) == [kept]


def test_a_series_with_few_origins_keeps_the_floor(rules: Forecast) -> None:
    """A segment of two months that is given whatever happened to be luckiest."""
    known = pd.concat(
        [
            rows_of({"floor": [5] * 5, "theta": [1] * 5}),
            rows_of({"floor": [5, 5], "theta": [1, 1]}, "segment"),
        ]
    )
    assert set(backtest.tiers(known, rules).items()) == {
        (("month", "category", "a", "a"), "theta"),
        (("month", "segment", "a", "a"), "floor"),
    }


def test_no_origin_is_judged_by_itself(rules: Forecast) -> None:
    """Intervals and methods that have seen what they are judged by: coverage would always look right."""
    table = rows_of({"floor": [1, 1, 1, 1, 60]})
    judged = backtest.crossed(table, rules).set_index("origin")
    assert judged.hi95.iloc[-1] - judged.yhat.iloc[-1] < 10
    assert judged.lo95.iloc[0] <= judged.yhat.iloc[0] - 60


def test_measures_are_those_of_the_books() -> None:
    """MASE over the wrong change, or a bias with the other sign."""
    rows = pd.DataFrame({"yhat": [12.0, 7.0], "actual": [10.0, 10.0], "scale": [4.0, 6.0]})
    assert accuracy.measure(rows) == pytest.approx({"mase": 0.5, "wape": 0.25, "bias": -0.05})
    assert accuracy.scale(np.array([1.0, 3.0, 2.0, 6.0]), 1) == pytest.approx((2 + 1 + 4) / 3)
