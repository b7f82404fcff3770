"""Which dates a night builds and tests, and what the warehouse is told of clients."""

from datetime import date
from decimal import Decimal

import duckdb
import pytest
from pydantic import ValidationError

from nightledger.clients import Client
from nightledger.night import plan


def test_a_night_builds_every_missing_date_oldest_first():
    """Catches a night after an outage that leaves holes in the feature history."""
    assert plan.dates_of_night(date(2026, 1, 4), date(2026, 1, 1)) == [
        date(2026, 1, 2), date(2026, 1, 3), date(2026, 1, 4),
    ]  # fmt: skip
    assert plan.dates_of_night(date(2026, 1, 4), None) == [date(2026, 1, 4)]


def test_a_night_for_a_published_date_builds_only_that_date():
    """Catches a backfill that rewrites other dates."""
    assert plan.dates_of_night(date(2026, 1, 4), date(2026, 1, 9)) == [date(2026, 1, 4)]


def test_after_months_without_nights_only_month_ends_are_built():
    """Catches ninety dates built for three month-ends, a month-end left out, or the night's own date lost."""
    published, night_of = date(2026, 3, 31), date(2026, 6, 10)
    dates = plan.dates_of_night(night_of, published, month_ends=True)
    assert dates == [date(2026, 4, 30), date(2026, 5, 31), night_of]
    assert plan.dates_of_night(published, published, month_ends=True) == [published]


@pytest.mark.parametrize(
    ("kind", "night_of", "published", "is_full"),
    [
        ("nightly", date(2026, 1, 3), date(2026, 1, 2), False),  # a Saturday
        ("nightly", date(2026, 1, 4), date(2026, 1, 3), True),
        ("nightly", date(2026, 1, 5), date(2026, 1, 4), False),
        ("nightly", date(2026, 1, 6), date(2026, 1, 2), True),  # Sunday's own night never ran
        ("nightly", date(2026, 1, 3), None, True),
        ("history", date(2026, 1, 3), date(2026, 1, 2), True),
    ],
)
def test_whole_tables_are_tested_once_a_week(kind, night_of, published, is_full):
    """Catches a week without a whole test, because its Sunday had no night of its own."""
    assert plan.tests_are_full(kind, night_of, published) is is_full


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (date(2024, 1, 15), date(2024, 3, 10), [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 10)]),
        (date(2024, 1, 31), date(2024, 2, 29), [date(2024, 1, 31), date(2024, 2, 29)]),
    ],
)
def test_history_has_features_at_every_month_end_and_its_last_day(first, last, expected):
    """Catches a leap day, or a last day that is itself a month-end, counted twice."""
    with duckdb.connect() as connection:
        connection.execute("create schema raw; create table raw.transactions (business_date date)")
        connection.execute("insert into raw.transactions values (?)", [first])
        assert plan.dates_of_history(connection, last) == expected


def test_a_history_since_a_date_has_only_the_month_ends_after_it():
    """Catches a backfill of two month-ends that builds all of them again."""
    with duckdb.connect() as connection:
        connection.execute("create schema raw; create table raw.transactions (business_date date)")
        connection.execute("insert into raw.transactions values ('2024-01-15')")
        found = plan.dates_of_history(connection, date(2024, 4, 30), since=date(2024, 3, 1))
        assert found == [date(2024, 3, 31), date(2024, 4, 30)]


def test_what_is_unusual_has_a_quota_that_the_warehouse_is_told():
    """A list without an end, a negative one, or a warehouse of an older release that lacks the column."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    assert Client(**client).anomalies_per_day == 20
    with pytest.raises(ValidationError, match="anomalies_per_day"):
        Client(**client, anomalies_per_day=-1)
    own, day = Client(**client, anomalies_per_day=3), date(2026, 1, 10)
    with duckdb.connect() as connection:
        connection.execute(
            "create schema ops; create table ops.loads (client_id varchar);"
            " insert into ops.loads values ('c'); create table ops.clients (client_id varchar, name varchar,"
            " base_currency varchar, timezone varchar, country varchar)"
        )
        plan.create_tables(connection)
        plan.write_dates(connection, {("c", day): own.cutoff_at(day)}, [day], {"c": own})
        assert connection.execute("select anomalies_per_day from ops.clients").fetchall() == [(3,)]


def test_the_warehouse_is_told_a_clients_settings_even_in_an_older_table():
    """A publication of an older release whose clients lack a column: no alert, or a night that stops."""
    weights = {"credit": "0.1", "fraud": "0.6", "anomaly": "0.2", "churn": "0.1"}
    client = Client(
        client_id="c",
        name="C",
        base_currency="GBP",
        alert_cost="2.5",
        alerts_per_day=7,
        risk_weights=weights,
        alerts_without_reports=True,
    )
    day = date(2026, 1, 10)
    with duckdb.connect() as connection:
        connection.execute(
            "create schema ops; create table ops.loads (client_id varchar);"
            " insert into ops.loads values ('c');"
            " create table ops.clients (client_id varchar, name varchar, base_currency varchar,"
            " timezone varchar, country varchar)"
        )
        plan.create_tables(connection)
        plan.write_dates(connection, {("c", day): client.cutoff_at(day)}, [day], {"c": client})
        told = connection.execute(
            "select alert_cost, alerts_per_day, alerts_without_reports, interchange_rate from ops.clients"
        )
        assert told.fetchall() == [(Decimal("2.5"), 7, True, Decimal(0))]
        told = connection.execute(
            f"select {', '.join(f'risk_weight_{name}' for name in weights)} from ops.clients"
        )
        assert told.fetchall() == [tuple(Decimal(weight) for weight in weights.values())]
