"""Forecasts of customers, made in SQL: as written, in season, of those who are there, adding up."""

import duckdb
import numpy as np
import pytest

from ml.forecasts import customer_history, customers
from ml.forecasts.config import Forecast
from ml.forecasts.customers import FLOOR, POOLED, SMOOTHED, Known
from ml.forecasts.series import Span
from tests.unit.forecasts.client import CLIENT, FIRST, LAST, cutoff


def dense(connection: duckdb.DuckDBPyConnection) -> dict[str, np.ndarray]:
    """Each customer's months, oldest first, months without money as 0."""
    rows = connection.execute("""
        select customer_id, datediff('month', date '2024-01-01', business_date), sum(spend_amount)::double
        from intermediate.int_revenue group by all
    """).fetchall()
    found: dict[str, np.ndarray] = {}
    for customer, month, amount in rows:
        found.setdefault(customer, np.zeros(24))[month] = amount
    return {customer: values[np.flatnonzero(values)[0] :] for customer, values in found.items()}


def test_customers_are_forecast_as_written(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """Weights, seasons or histories that slip by a month in SQL, which has no rows of empty months."""
    index = tuple(np.linspace(-0.3, 0.3, 12))
    known = Known(index, 25.0, {}, {}, ())
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    customers.forecast(connection, LAST, 3, known, rules.customers)
    said = connection.execute(
        f'select customer_id, step, "{FLOOR}", "{SMOOTHED}", "{POOLED}" from _said order by all'
    ).fetchall()
    months = dense(connection)
    weight = 1 - rules.customers.smoothing
    for customer, step, floor, smoothed, pooled in said:
        values = months[customer]
        weights = weight ** np.arange(len(values))[::-1]
        logs = np.log1p(values / 25)
        season = np.array([index[(11 - ago) % 12] for ago in range(len(values))][::-1])
        assert smoothed == pytest.approx(25 * np.expm1((weights * logs).sum() / weights.sum()), rel=1e-4)
        level = (weights * (logs - season)).sum() / weights.sum()
        assert pooled == pytest.approx(25 * max(np.expm1(level + index[step - 1]), 0), rel=1e-4, abs=1e-3)
        assert floor == pytest.approx(values[step - 13] if len(values) >= 12 else values[-3:].mean())
    assert len(said) == 3 * len(months)


def test_the_season_is_found(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """An index of the wrong month, or one that is a trend."""
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    index = customer_history.seasonal_index(connection, LAST, customer_history.usual_amount(connection))
    assert int(np.argmax(index)) == 11
    assert sum(index) == pytest.approx(0, abs=1e-5)
    assert max(np.abs(index[:11])) < index[11] / 2


def test_who_has_left_is_not_forecast(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """Money expected of closed customers; or a closing that was known later only."""
    connection.execute("""
        create table intermediate.int_customers as
        select 'shop' as client_id, customer_id, closed_on, known_at, null::timestamp as superseded_at
        from (values
            ('C001', date '2025-12-01', timestamp '2025-12-02 00:00:00'),
            ('C002', date '2025-12-01', timestamp '2026-01-05 00:00:00')
        ) as t (customer_id, closed_on, known_at)
    """)
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    found = connection.execute("select customer_id from _population where customer_id in ('C001', 'C002')")
    assert found.fetchall() == [("C002",)]


def test_customers_add_up_to_the_total(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """Customers who together spend something else than what is forecast of them."""
    known = Known((0.0,) * 12, 25.0, {}, {}, (), {customers.ALL: [[-1.0, -0.5, 0.5, 1.0]] * 3})
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    customers.forecast(connection, LAST, 3, known, rules.customers)
    customers.reconciled(connection, [5000.0, 6000.0, 7000.0], known, rules.customers)
    sums = connection.execute("select step, sum(yhat)::double from _reconciled group by step order by step")
    assert [total for _, total in sums.fetchall()] == pytest.approx([5000, 6000, 7000], abs=0.1)
    outside = connection.execute(
        "select count(*) from _reconciled where not (0 <= lo95 and lo95 <= lo80 and lo80 <= yhat"
        " and yhat <= hi80 and hi80 <= hi95)"
    )
    assert outside.fetchone() == (0,)
