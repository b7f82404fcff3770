"""Unusual transactions: which are scored, and what their past is."""

from datetime import date, datetime

import duckdb
import pyarrow as pa
import pytest

from ml.models import anomaly_transactions
from tests.unit.ml.bank import cutoff

DAY = date(2026, 1, 10)


@pytest.fixture
def payments() -> duckdb.DuckDBPyConnection:
    """One customer's payments, as a night knows them; `unusual` names the one that is explained."""
    connection = duckdb.connect()
    connection.execute("""
        create schema features; create schema intermediate;
        create table intermediate.int_transactions (
            client_id varchar, transaction_key varchar, customer_id varchar, category varchar,
            business_date date, known_at timestamp, superseded_at timestamp);
        create table features.features_transactions (
            client_id varchar, transaction_key varchar, as_of_date date);
    """)
    early, late = datetime(2026, 1, 9, 1), cutoff(DAY)
    versions = [
        ("row", "c", DAY, early, None),
        ("earlier", "c", date(2026, 1, 9), early, None),
        ("first day", "c", date(2025, 12, 31), early, None),
        ("too old", "c", date(2025, 12, 30), early, None),
        ("same day", "c", DAY, early, None),
        ("later", "c", date(2026, 1, 11), early, None),
        ("unknown yet", "c", date(2026, 1, 8), late, None),
        ("taken back", "c", date(2026, 1, 8), early, early),
        ("of another", "d", date(2026, 1, 9), early, None),
        ("posted", "c", date(2026, 1, 7), datetime(2026, 1, 7), early),
        ("posted", "c", date(2026, 1, 8), early, None),
        ("never described", "c", date(2026, 1, 9), early, None),
    ]
    connection.executemany(
        "insert into intermediate.int_transactions values ('a', ?, ?, 'travel', ?, ?, ?)", versions
    )
    described = {(key, DAY) for key, *_ in versions if key not in ("never described", "posted")}
    described |= {("posted", date(2026, 1, 7)), ("posted", date(2026, 1, 9)), ("posted", date(2026, 1, 20))}
    connection.executemany("insert into features.features_transactions values ('a', ?, ?)", sorted(described))
    dates = pa.table({"client_id": ["a"], "as_of_date": [DAY], "cutoff_at": [late]})
    connection.register("dates", dates)
    return connection


def test_the_past_of_a_transaction_is_the_customers_own_and_over(
    payments: duckdb.DuckDBPyConnection,
) -> None:
    """Catches the row itself, its day, later days, other people and what was not known in its own past."""
    payments.register(
        "unusual",
        pa.table(
            {
                "client_id": ["a"],
                "entity_id": ["row"],
                "as_of_date": [DAY],
                "day": [DAY],
                "customer_id": ["c"],
            }
        ),
    )
    found = payments.execute(anomaly_transactions.PAST, {"past": 10}).fetchall()
    assert {row[:3] for row in found} == {("a", "row", DAY)}
    assert sorted(row[3:] for row in found) == [
        ("earlier", DAY),
        ("first day", DAY),
        ("posted", date(2026, 1, 9)),
    ]


def test_the_pending_row_of_a_transaction_is_not_its_own_past(
    payments: duckdb.DuckDBPyConnection,
) -> None:
    """Catches a posting that is compared with itself as it was pending the day before."""
    payments.register(
        "unusual",
        pa.table(
            {
                "client_id": ["a"],
                "entity_id": ["posted"],
                "as_of_date": [DAY],
                "day": [DAY],
                "customer_id": ["c"],
            }
        ),
    )
    found = payments.execute(anomaly_transactions.PAST, {"past": 10}).fetchall()
    assert sorted(row[3] for row in found) == ["earlier", "first day"]


def test_each_transaction_of_a_night_is_scored_once_among_its_category(
    payments: duckdb.DuckDBPyConnection,
) -> None:
    """Catches a posted transaction that doubles, and one that was taken back."""
    found = payments.execute(anomaly_transactions.POPULATION).fetchall()
    keys = [row[1] for row in found]
    assert len(keys) == len(set(keys))
    assert "taken back" not in keys and "unknown yet" not in keys
    assert {row[-1] for row in found} == {"travel"}
    assert {row[3] for row in found if row[1] == "earlier"} == {date(2026, 1, 9)}
