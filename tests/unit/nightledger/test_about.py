"""What a publication says of itself."""

from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from nightledger import warehouse
from nightledger.night import about
from nightledger.night.lock import Night

NIGHT = Night(
    run="nightly/one",
    kind="nightly",
    night_of="2026-06-30",
    base=None,
    publication_id="2026-06-30.2",
    code_revision="abc",
    since=None,
    full_tests=False,
    month_ends=False,
)
BUILT = datetime(2026, 7, 1, 3, 4, 5)
PASSED = [{"check": "a", "status": "passed"}]


@pytest.fixture
def build(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    connection = warehouse.connect(tmp_path, read_only=False)
    connection.execute("""
        create schema ops; create schema operations; create schema marts;
        create table ops.horizon as
            select unnest(['bank', 'lender']) as client_id, date '2026-06-30' as as_of_date;
        create table ops.clients as select 'bank' as client_id, 'The Bank' as name;
        create table ops.coverage as from (values
            ('bank', 'transactions', date '2026-06-29', true),
            ('bank', 'transactions', date '2026-06-30', false),
            ('bank', 'customers', date '2026-06-30', true), ('lender', 'loans', date '2026-06-15', true)
        ) as rows (client_id, feed, business_date, arrived);
        create table ops.loads as from (values
            ('bank', 'loaded', 10, 2), ('bank', 'loaded', 5, 0), ('bank', 'refused', 99, 99)
        ) as rows (client_id, verdict, records, quarantined);
        create table ops.model_pins as from (values
            ('churn', date '2026-06-30', '2026-03-31-22222222', 'champion'),
            ('churn', date '2026-06-30', 'v3', 'challenger'),
            ('churn', date '2026-05-31', 'v1', 'champion'),
            ('spend.bank', date '2026-06-30', '2026-03-31-77777777', 'champion'),
            ('spend.lender', date '2026-06-30', 'v8', 'champion')
        ) as rows (model, as_of_date, model_version, role);
        create table operations.stages as from (values
            (1, 'nightly/one', 'ingest', 'done', '{"late": ["bank/cards"]}'),
            (2, 'nightly/one', 'ingest', 'done', '{"late": ["bank/cards", "lender/core"]}'),
            (3, 'nightly/two', 'ingest', 'done', '{"late": ["bank/other"]}')
        ) as rows (id, run_id, stage, state, detail);
        create view marts.fct_scores as select 'bank' as client_id, 'churn' as model;
    """)
    return connection


def rows(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, object]]:
    found = connection.execute("from ops.about_publication").to_arrow_table()
    return {row["client_id"]: row for row in found.to_pylist()}


def test_each_client_is_told_its_own_facts(build: duckdb.DuckDBPyConnection) -> None:
    """Catches one client's figures on another's pages, refused files counted, and models of earlier dates."""
    about.write(build, NIGHT, PASSED, about.late_sources(build, NIGHT.run), BUILT)
    assert rows(build)["bank"] == {
        "client_id": "bank",
        "client_name": "The Bank",
        "publication_id": "2026-06-30.2",
        "data_through": date(2026, 6, 29),
        "built_at": BUILT,
        "audit_result": "passed",
        "audit_warnings": "",
        "late_sources": "bank/cards",
        "models": "2026-03-31: churn 22222222, spend 77777777",
        "records": 15,
        "quarantined": 2,
    }
    lender = rows(build)["lender"]
    assert lender["data_through"] == date(2026, 6, 15)
    assert (lender["client_name"], lender["late_sources"]) == ("lender", "lender/core")
    assert (lender["models"], lender["records"]) == ("spend v8", 0)


def test_warnings_are_named(build: duckdb.DuckDBPyConnection) -> None:
    """Catches a page that says `passed` where the audit had something to say."""
    warned = [{"check": "b", "status": "failed"}, {"check": "a", "status": "failed"}, *PASSED]
    about.write(build, NIGHT, warned, [], BUILT)
    assert rows(build)["bank"]["audit_result"] == "passed with 2 warnings"
    assert rows(build)["bank"]["audit_warnings"] == "a, b"
    about.write(build, NIGHT, warned[:1], [], BUILT)
    assert rows(build)["bank"]["audit_result"] == "passed with 1 warning"


def test_it_changes_no_hash_and_needs_no_scores(build: duckdb.DuckDBPyConnection) -> None:
    """Catches two runs of one night that differ by their clock, and a first night without scores failing."""
    before = warehouse.content_hash(build)
    build.execute("drop view marts.fct_scores; drop table if exists ops.about_publication")
    about.write(build, NIGHT, PASSED, [], BUILT)
    assert warehouse.content_hash(build) == before
    assert rows(build)["bank"]["models"] == "2026-03-31: spend 77777777"


def test_a_run_that_ingested_nothing_has_no_late_source(build: duckdb.DuckDBPyConnection) -> None:
    """Catches the late sources of another run being shown."""
    assert about.late_sources(build, "nightly/three") == []
