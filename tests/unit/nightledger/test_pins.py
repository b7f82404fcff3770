"""Pins: which versions of a model score a date, and keep scoring it."""

from datetime import date

import duckdb
import pytest

from nightledger.governance import ledger
from nightledger.night import plan


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
