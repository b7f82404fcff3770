"""Which dates a night builds, what it tests, and which clients and settings it goes by."""

from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest
from pydantic import ValidationError

from nightledger.clients import Client, ClientError, load_clients, uses
from nightledger.governance import ledger
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


def warehouse_without_pins() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema ops; create schema operations")
    plan.create_tables(connection)
    connection.execute(
        "create table operations.model_decisions"
        " (id int, model varchar, version varchar, decision varchar, champion_after varchar,"
        " applies_after date)"
    )
    return connection


@pytest.fixture
def pinning():
    with warehouse_without_pins() as connection:
        yield connection


def pins(connection, settings, day: date) -> dict[str, str]:
    """Version of each role that scores a night of this date."""
    connection.execute("update ops.as_of_dates set is_tonight = false")
    connection.execute("insert or replace into ops.as_of_dates values ('c', ?, '2030-01-01', true)", [day])
    plan.pin_models(connection, settings)
    return dict(
        connection.execute(
            "select role, model_version from ops.model_pins where as_of_date = ?", [day]
        ).fetchall()
    )


def decide(connection, version: str, decision: str, champion: str | None, day: str = "2026-01-31") -> None:
    """Append a decision that applies to the dates after `day`."""
    connection.execute(
        "insert into operations.model_decisions"
        " select coalesce(max(id), 0) + 1, 'churn', ?, ?, ?, ? from operations.model_decisions",
        [version, decision, champion, day],
    )


def test_a_model_scores_only_dates_after_the_one_it_was_trained_on(pinning, settings):
    """Catches a score made by a model that had not been trained then."""
    decide(pinning, "v1", "promoted", "v1")
    assert pins(pinning, settings, date(2026, 1, 31)) == {}
    assert pins(pinning, settings, date(2026, 2, 1)) == {"champion": "v1"}


def test_a_rebuilt_date_keeps_the_versions_that_first_scored_it(pinning, settings):
    """Catches a backfill that scores the past with today's champion, or adds today's challenger to it."""
    decide(pinning, "v1", "promoted", "v1")
    assert pins(pinning, settings, date(2026, 2, 1)) == {"champion": "v1"}
    decide(pinning, "v2", "kept_as_challenger", "v1")
    assert pins(pinning, settings, date(2026, 2, 1)) == {"champion": "v1"}
    assert pins(pinning, settings, date(2026, 2, 2)) == {"champion": "v1", "challenger": "v2"}
    decide(pinning, "v3", "promoted", "v3")
    assert pins(pinning, settings, date(2026, 2, 2)) == {"champion": "v1", "challenger": "v2"}
    assert pins(pinning, settings, date(2026, 2, 3)) == {"champion": "v3"}


def test_a_rollback_and_another_promotion_leave_a_date_its_first_versions(pinning, settings):
    """Catches a replay that scores with today's champion because the warehouse went back behind the pin."""
    decide(pinning, "v1", "promoted", "v1")
    decide(pinning, "v2", "kept_as_challenger", "v1")
    first = {"champion": "v1", "challenger": "v2"}
    assert pins(pinning, settings, date(2026, 2, 1)) == first
    with warehouse_without_pins() as rolled_back:
        decide(rolled_back, "v1", "promoted", "v1")
        decide(rolled_back, "v2", "kept_as_challenger", "v1")
        decide(rolled_back, "v3", "promoted", "v3")
        assert pins(rolled_back, settings, date(2026, 2, 1)) == first
        assert pins(rolled_back, settings, date(2026, 2, 2)) == {"champion": "v3"}


def test_pins_that_only_a_publication_holds_are_recorded(pinning, settings):
    """Catches an installation that pinned in the warehouse alone, and forgets it."""
    decide(pinning, "v2", "promoted", "v2")
    pinning.execute("insert into ops.model_pins values ('churn', '2026-02-01', 'v1', 'champion')")
    assert pins(pinning, settings, date(2026, 2, 1)) == {"champion": "v1"}
    key = ("churn", date(2026, 2, 1))
    assert ledger.fix_pins(settings, {key: {"champion": "v9"}}) == {key: {"champion": "v1"}}


def test_only_a_champion_and_the_latest_challenger_in_its_shadow_score(pinning, settings):
    """Catches a model in production that nobody promoted, and an old challenger that is scored for ever."""
    decide(pinning, "v0", "kept_as_challenger", None)
    decide(pinning, "v0", "refused", None)
    assert pins(pinning, settings, date(2026, 2, 1)) == {}
    decide(pinning, "v1", "promoted", "v1")
    assert pins(pinning, settings, date(2026, 2, 2)) == {"champion": "v1"}
    decide(pinning, "v2", "kept_as_challenger", "v1")
    decide(pinning, "v3", "awaiting_approval", "v1")
    assert pins(pinning, settings, date(2026, 2, 3)) == {"champion": "v1", "challenger": "v3"}
    decide(pinning, "v3", "rejected", "v1")
    assert pins(pinning, settings, date(2026, 2, 4)) == {"champion": "v1", "challenger": "v2"}


def test_a_demotion_concerns_the_dates_after_it_and_the_demoted_version_none(pinning, settings):
    """Catches a demoted version that goes on in the shadow, and a rebuilt date without its own champion."""
    decide(pinning, "v1", "promoted", "v1")
    decide(pinning, "v2", "promoted", "v2")
    assert pins(pinning, settings, date(2026, 2, 1)) == {"champion": "v2"}
    decide(pinning, "v2", "demoted", "v1", "2026-02-01")
    assert pins(pinning, settings, date(2026, 2, 1)) == {"champion": "v2"}
    assert pins(pinning, settings, date(2026, 2, 2)) == {"champion": "v1"}
    decide(pinning, "v1", "withdrawn", None, "2026-02-02")
    decide(pinning, "v3", "awaiting_approval", None, "2026-02-02")
    assert pins(pinning, settings, date(2026, 2, 3)) == {}


def test_a_model_that_is_switched_off_is_not_pinned_to_further_dates(pinning, settings, tmp_path):
    """Catches a switch that leaves the model scoring, or that takes from a published date what scored it."""
    own = settings.model_copy(update={"clients": tmp_path})

    def say(rules: str) -> None:
        (tmp_path / "c.yml").write_text(f"name: C\nbase_currency: EUR\n{rules}")

    def off() -> list[tuple[str, date]]:
        return pinning.execute("select model, as_of_date from ops.models_off order by all").fetchall()

    say("")
    decide(pinning, "v1", "promoted", "v1")
    assert pins(pinning, own, date(2026, 2, 1)) == {"champion": "v1"}
    pinning.execute("insert into ops.base_horizon values ('c', '2026-02-01', '2026-02-02')")
    say("models: {churn: {enabled: false}}")
    assert pins(pinning, own, date(2026, 2, 1)) == {"champion": "v1"}, "built again"
    assert off() == []
    assert pins(pinning, own, date(2026, 2, 2)) == {}
    assert pins(pinning, own, date(2026, 2, 2)) == {}, "a second try"
    assert off() == [("churn", date(2026, 2, 2))]
    say("")
    assert pins(pinning, own, date(2026, 2, 2)) == {"champion": "v1"}, (
        "switched on again before it was published"
    )
    assert off() == []


@pytest.mark.parametrize(
    ("rules", "used"),
    [
        ("", ["churn", "segments_rfm.c", "forecast_spend.c"]),
        ("models: {churn: {enabled: false}, segments_rfm: {enabled: false}}", ["forecast_spend.c"]),
        ("models: {churn: {scope: client}}", ["churn", "churn.c", "segments_rfm.c", "forecast_spend.c"]),
        (
            "models: {churn: {scope: vertical}}",
            ["churn", "churn.c.wallet", "segments_rfm.c", "forecast_spend.c"],
        ),
        (
            "models: {churn: {scope: segment}}",
            ["churn", "churn.c.segment_2", "segments_rfm.c", "forecast_spend.c"],
        ),
    ],
)
def test_nights_use_what_the_client_asks_for(settings, tmp_path, rules, used):
    """Catches a version that goes on after its client gave it up, and one whose YAML says no scope lost."""
    (tmp_path / "c.yml").write_text(f"name: C\nbase_currency: EUR\n{rules}")
    own = settings.model_copy(update={"clients": tmp_path})
    there = ["churn", "churn.c", "churn.c.wallet", "churn.c.segment_2", "segments_rfm.c", "forecast_spend.c"]
    clients = load_clients(own)
    assert [model for model in there if uses(own, clients, model)] == used


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("models: {chrun: {enabled: false}}", "there is no chrun; known are .*churn"),
        ("models: {churn: {enabled: false, scope: client}}", "`scope` is of a model that is used"),
        ("models: {segments_rfm: {scope: segment}}", "its versions are of one client each"),
        ("models: {churn: {scope: city}}", "'client', 'vertical' or 'segment'"),
        (
            "models: {segments_rfm: {enabled: false}}\nnext_best_action: {excluded_segments: [A]}",
            "protects nobody",
        ),
    ],
)
def test_a_slip_in_the_use_of_models_is_refused(settings, tmp_path, rules, message):
    """Catches a model that stays on because its name was spelt wrongly."""
    (tmp_path / "c.yml").write_text(f"name: C\nbase_currency: EUR\n{rules}")
    with pytest.raises(ClientError, match=message):
        load_clients(settings.model_copy(update={"clients": tmp_path}))


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


def test_an_alert_has_a_cost_and_a_day_a_number_of_them():
    """A client without these settings whose queue is empty or endless, or that alerts on everything."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    assert (Client(**client).alert_cost, Client(**client).alerts_per_day) == (Decimal(5), 50)
    with pytest.raises(ValidationError, match="alert_cost"):
        Client(**client, alert_cost=-1)
    with pytest.raises(ValidationError, match="alerts_per_day"):
        Client(**client, alerts_per_day=-1)


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


def test_the_weights_of_the_risk_assessment_add_up_to_one():
    """40 for 0.4, a weight forgotten, a negative one: levels that mean nothing."""
    client = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    own = {"credit": "0.1", "fraud": "0.6", "anomaly": "0.2", "churn": "0.1"}
    assert Client(**client, risk_weights=own).risk_weights.fraud == Decimal("0.6")
    assert sum(Client(**client).risk_weights.model_dump().values()) == 1
    for wrong in (
        own | {"fraud": "0.5"},
        own | {"churn": "-0.1", "fraud": "0.8"},
        own | {"other": "0"},
        {"credit": 1},
    ):
        with pytest.raises(ValidationError, match="risk_weights"):
            Client(**client, risk_weights=wrong)


def test_the_warehouse_is_told_a_clients_settings_even_in_an_older_table():
    """A publication of an older release whose clients lack a column: no alert, or a night that stops."""
    weights = {"credit": "0.1", "fraud": "0.6", "anomaly": "0.2", "churn": "0.1"}
    client = Client(
        client_id="c", name="C", base_currency="GBP", alert_cost="2.5", alerts_per_day=7, risk_weights=weights
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
        told = connection.execute("select alert_cost, alerts_per_day, interchange_rate from ops.clients")
        assert told.fetchall() == [(Decimal("2.5"), 7, Decimal(0))]
        told = connection.execute(
            f"select {', '.join(f'risk_weight_{name}' for name in weights)} from ops.clients"
        )
        assert told.fetchall() == [tuple(Decimal(weight) for weight in weights.values())]
