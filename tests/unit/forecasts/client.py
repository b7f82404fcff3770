"""A made-up client of two years, and what is known of it."""

from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd

from ml.forecasts import fitted, series
from ml.forecasts.backtest import Asked
from ml.forecasts.config import Forecast
from ml.forecasts.fitted import Fitted
from ml.forecasts.series import Span

Learnt = tuple[Fitted, fitted.Judged, dict[str, bytes]]
FIRST, LAST = date(2024, 1, 1), date(2025, 12, 31)
CLIENT = "shop"


def cutoff(day: date) -> datetime:
    """The client's cutoff: 02:00 UTC of the next day."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


def movements(seed: int = 5, people: int = 80) -> pd.DataFrame:
    """Four purchases a month of people with levels of their own; Decembers, growth, gaps."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        level = float(np.exp(rng.normal(3, 0.7)))
        joined = 0 if person % 4 else int(rng.integers(0, 20))
        for month in range(joined, 24):
            start = series.month_start(FIRST, month)
            if person % 5 == 0 and rng.random() < 0.3:
                continue
            season = (1.6 if start.month == 12 else 1.0) * 1.03**month
            for day in rng.integers(0, 28, 4):
                rows.append(
                    {
                        "customer_id": f"C{person:03d}",
                        "category": ("food", "travel")[int(rng.integers(0, 2))],
                        "business_date": start + timedelta(days=int(day)),
                        "spend_amount": round(level * season * float(np.exp(rng.normal(0, 0.3))), 2),
                    }
                )
    frame = pd.DataFrame(rows)
    known = pd.to_datetime(frame.business_date) + pd.Timedelta(hours=20)
    return frame.assign(
        client_id=CLIENT, region="", revenue=0.0, known_at=known, superseded_at=pd.Series(pd.NaT, frame.index)
    )


def warehouse_of(frame: pd.DataFrame, file: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """A warehouse that holds the movements."""
    connection = duckdb.connect(file)
    connection.execute("set threads = 2; create schema intermediate; create schema ops; create schema marts")
    connection.execute(
        "create table ops.as_of_dates (client_id varchar, as_of_date date, cutoff_at timestamp)"
    )
    connection.register("given", frame)
    connection.execute("""
        create table intermediate.int_revenue as
        select
            client_id, customer_id, category, region, business_date::date as business_date,
            spend_amount::decimal(18, 4) as spend_amount, revenue::decimal(18, 4) as revenue,
            known_at::timestamp as known_at, superseded_at::timestamp as superseded_at
        from given
    """)
    connection.unregister("given")
    return connection


def whole(rules: Forecast) -> tuple[Asked, Span]:
    """All that is known of the client."""
    return Asked(rules, CLIENT, "DE", 2), Span(CLIENT, FIRST, LAST, cutoff(LAST))
