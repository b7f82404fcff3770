from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest
from pydantic import ValidationError

from nightledger import operations, plan
from nightledger.clients import Client


def test_a_night_builds_every_missing_date_oldest_first():
    """Catches a night after an outage that leaves holes in the feature history."""
    assert plan.dates_of_night(date(2026, 1, 4), date(2026, 1, 1)) == [
        date(2026, 1, 2), date(2026, 1, 3), date(2026, 1, 4),
    ]  # fmt: skip
    assert plan.dates_of_night(date(2026, 1, 4), None) == [date(2026, 1, 4)]


def test_a_night_for_a_published_date_builds_only_that_date():
    """Catches a backfill that rewrites other dates."""
    assert plan.dates_of_night(date(2026, 1, 4), date(2026, 1, 9)) == [date(2026, 1, 4)]


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


def warehouse_without_pins() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema ops; create schema operations")
    plan.create_tables(connection)
    connection.execute(
        "create table operations.model_decisions"
        " (id int, model varchar, version varchar, decision varchar, trained_on_as_of date)"
    )
    return connection


@pytest.fixture
def pinning():
    with warehouse_without_pins() as connection:
        yield connection


def pins(connection, settings, day: date) -> list[str]:
    connection.execute("update ops.as_of_dates set is_tonight = false")
    connection.execute("insert or replace into ops.as_of_dates values ('c', ?, '2030-01-01', true)", [day])
    plan.pin_models(connection, settings)
    return [
        row[0]
        for row in connection.execute(
            "select model_version from ops.model_pins where as_of_date = ?", [day]
        ).fetchall()
    ]


def test_a_model_scores_only_dates_after_the_one_it_was_trained_on(pinning, settings):
    """Catches a score made by a model that had not been trained then."""
    pinning.execute(
        "insert into operations.model_decisions values (1, 'churn', 'v1', 'promoted', '2026-01-31')"
    )
    assert pins(pinning, settings, date(2026, 1, 31)) == []
    assert pins(pinning, settings, date(2026, 2, 1)) == ["v1"]


def test_a_rebuilt_date_keeps_the_version_that_first_scored_it(pinning, settings):
    """Catches a backfill that scores the past with today's champion."""
    pinning.execute(
        "insert into operations.model_decisions values (1, 'churn', 'v1', 'promoted', '2026-01-31')"
    )
    assert pins(pinning, settings, date(2026, 2, 1)) == ["v1"]
    pinning.execute(
        "insert into operations.model_decisions values (2, 'churn', 'v2', 'promoted', '2026-01-31')"
    )
    assert pins(pinning, settings, date(2026, 2, 1)) == ["v1"]
    assert pins(pinning, settings, date(2026, 2, 2)) == ["v2"]


def test_a_rollback_and_another_promotion_leave_a_date_its_first_version(pinning, settings):
    """Catches a replay that scores with today's champion because the warehouse went back behind the pin."""
    first = "insert into operations.model_decisions values (1, 'churn', 'v1', 'promoted', '2026-01-31')"
    second = "insert into operations.model_decisions values (2, 'churn', 'v2', 'promoted', '2026-01-31')"
    pinning.execute(first)
    assert pins(pinning, settings, date(2026, 2, 1)) == ["v1"]
    with warehouse_without_pins() as rolled_back:
        rolled_back.execute(f"{first}; {second}")
        assert pins(rolled_back, settings, date(2026, 2, 1)) == ["v1"]
        assert pins(rolled_back, settings, date(2026, 2, 2)) == ["v2"]


def test_pins_that_only_a_publication_holds_are_recorded(pinning, settings):
    """Catches an installation that pinned in the warehouse alone, and forgets it."""
    pinning.execute(
        "insert into operations.model_decisions values (2, 'churn', 'v2', 'promoted', '2026-01-31')"
    )
    pinning.execute("insert into ops.model_pins values ('churn', '2026-02-01', 'v1', 'champion')")
    assert pins(pinning, settings, date(2026, 2, 1)) == ["v1"]
    assert operations.fix_pins(settings, {("churn", date(2026, 2, 1)): "v9"}) == {
        ("churn", date(2026, 2, 1)): "v1"
    }


def test_challengers_and_refused_models_score_nothing(pinning, settings):
    """Catches a model in production that nobody promoted."""
    pinning.execute(
        "insert into operations.model_decisions values"
        " (1, 'churn', 'v1', 'kept_as_challenger', '2026-01-31'), (2, 'churn', null, 'refused', '2026-01-31')"
    )
    assert pins(pinning, settings, date(2026, 2, 1)) == []


def test_the_cutoff_follows_the_clients_clock_through_summer_time():
    """Catches a cutoff that is an hour off for half of the year."""
    client = Client(client_id="c", name="C", timezone="Europe/London", base_currency="GBP")
    assert client.cutoff_at(date(2026, 1, 10)) == datetime(2026, 1, 11, 2)
    assert client.cutoff_at(date(2026, 7, 10)) == datetime(2026, 7, 11, 1)


def test_an_interchange_rate_is_a_share_not_a_percentage():
    """1.1 written for 1.1 percent: revenue of more than the purchases."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    assert Client(**client, interchange_rate="0.011").interchange_rate == Decimal("0.011")
    with pytest.raises(ValidationError, match="interchange_rate"):
        Client(**client, interchange_rate="1.1")
