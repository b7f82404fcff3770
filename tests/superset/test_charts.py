"""Every chart answers on a real publication, and what it answers is of the newest one."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.superset.asking import COUNT, Answer, Person


def test_every_chart_answers(bundle: Any, answers: dict[str, Answer]) -> None:
    """Catches a chart whose query the warehouse refuses, and one whose query nobody has harvested."""
    assert answers.keys() == bundle.charts.keys()
    assert broken(answers) == {}
    assert not bundle.stale_contexts


def test_every_chart_reads_as_a_client(app: Any, bundle: Any, answers_of_client: dict[str, Answer]) -> None:
    """Catches a chart that fails under a client's rule: its data set has no client, or its query hides it."""
    from nightledger_superset import access
    from nightledger_superset.roles import read_roles

    role = next(role for role in read_roles() if role.name == "Analyst · demo_bank")
    with app.app_context():
        behind, shared = access.datasets_behind(bundle), access._shared(bundle)
    readable = {slug for slug in bundle.dashboards if access.may_open(role, slug, bundle, behind, shared)}
    assert readable
    assert (
        broken(
            {name: answer for name, answer in answers_of_client.items() if name.partition("/")[0] in readable}
        )
        == {}
    )


def broken(answers: dict[str, Answer]) -> dict[str, str]:
    """What came back instead of rows, by chart."""
    return {
        name: answer.text[:300]
        for name, answer in answers.items()
        if answer.status != 200 or any(result.get("error") for result in answer.content["result"])
    }


@pytest.fixture
def second_publication(home: Path, app: Any) -> Iterator[None]:
    """Moves readers to a publication in which there are no customers of one client any more."""
    builds = home / "builds"
    first = str((builds / "current").readlink())
    later = builds / "2099-01-01.1"
    later.mkdir()
    shutil.copyfile(builds / first / "warehouse.duckdb", later / "warehouse.duckdb")
    with duckdb.connect(str(later / "warehouse.duckdb")) as connection:
        connection.execute("delete from marts.mart_customer_overview where client_id = 'demo_wallet'")
    _point(builds, later.name)
    yield
    _point(builds, first)
    shutil.rmtree(later)


def _point(builds: Path, name: str) -> None:
    (builds / ".current").symlink_to(name)
    (builds / ".current").replace(builds / "current")


@pytest.fixture
def asked(people: Callable[..., Person], ids: dict[str, dict[str, int]]) -> Callable[[], dict[str, Any]]:
    """Asks for the customers of each client and gives the whole result."""

    def ask() -> dict[str, Any]:
        question = {"columns": ["client_id"], "metrics": [COUNT], "orderby": [["client_id", True]]}
        answer = people("Analyst").data(ids["datasets"]["mart_customer_overview"], question)
        assert answer.status == 200, answer.text
        result: dict[str, Any] = answer.content["result"][0]
        return result

    return ask


def test_no_answer_outlives_its_publication(
    asked: Callable[[], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    """Catches a cache that serves last night's answer after a new publication, or after a rollback."""
    first = asked()
    assert "demo_wallet" in str(first["data"])
    assert asked()["is_cached"]
    request.getfixturevalue("second_publication")
    second = asked()
    assert not second["is_cached"]
    assert "demo_wallet" not in str(second["data"])
    assert asked()["is_cached"]
    assert asked()["data"] == second["data"]


def test_the_currency_of_an_answer_is_looked_up_once_for_each_reader(
    people: Callable[..., Person], ids: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a Superset that asks the warehouse beside every cached answer, and a memory that tells one
    reader what another's rows are in, or keeps a failure for a week.
    """
    from nightledger_superset import keeping
    from superset.connectors.sqla.models import SqlaTable

    asked: list[Any] = []
    query = SqlaTable.query
    monkeypatch.setattr(SqlaTable, "query", lambda self, told: asked.append(told) or query(self, told))

    def ask(role: str, client: str) -> tuple[str, int]:
        asked.clear()
        only = {"filters": [{"col": "client_id", "op": "IN", "val": [client]}]}
        shown = {"form_data": {"currency_format": {"symbol": "AUTO"}}}
        answer = people(role).data(ids["datasets"]["mart_portfolio"], only, **shown)
        assert answer.status == 200, answer.text
        return answer.content["result"][0]["detected_currency"], len(asked)

    assert ask("Analyst", "demo_bank") == ("INR", 2), "the answer and its currency"
    assert ask("Analyst", "demo_bank") == ("INR", 0)
    assert ask("Analyst", "demo_wallet") == ("INR", 2)
    now = time.time()
    monkeypatch.setattr("cachelib.file.time", lambda: now)
    assert ask("Analyst · demo_bank", "demo_wallet") == (None, 2), "no row, hence no currency"
    assert ask("Analyst · demo_bank", "demo_wallet") == (None, 0)
    now += keeping.UNKNOWN_FOR + 1
    assert ask("Analyst · demo_bank", "demo_wallet") == (None, 1), "it may have been a question that failed"


def test_the_default_schema_is_the_one_that_duckdb_names(app: Any) -> None:
    """Catches a kept name that is another one, with which a virtual data set's rules would find no table."""
    from nightledger_superset.keeping import default_schema

    with app.app_context():
        from superset.models.core import Database

        from superset import db

        database = db.session.query(Database).filter_by(database_name="Nightledger").one()
        with database.get_inspector() as inspector:
            assert inspector.default_schema_name == default_schema(database, None)
        assert database.get_default_schema(None) == default_schema(database, None)


def test_an_answer_survives_an_error_in_its_key(
    people: Callable[..., Person], ids: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a page that fails because the key of its answer could not be made."""
    from nightledger_superset import keeping

    def fails(sql: str, engine: str) -> frozenset[Any]:
        raise RuntimeError(sql + engine)

    monkeypatch.setattr(keeping, "_tables", fails)
    answer = people("Analyst").data(ids["datasets"]["merchant_spend"])
    assert answer.status == 200, answer.text


def test_merchants_are_shown_with_all_their_payments_and_without_names_of_persons(
    home: Path, answers: dict[str, Answer]
) -> None:
    """Catches spend beside a count of other rows, and landlords by name on a page of all analysts."""
    rows = answers["merchants/top"].content["result"][0]["data"]
    with duckdb.connect(str(home / "builds" / "current" / "warehouse.duckdb"), read_only=True) as connection:
        rent = "select distinct merchant from marts.fct_transactions where movement = 'rent'"
        landlords = {name for (name,) in connection.execute(rent).fetchall()}
    assert landlords
    assert "Landlords" in {row["merchant"] for row in rows}
    assert landlords.isdisjoint(row["merchant"] for row in rows)
    paid = [row for row in rows if row["spend"] > 0]
    assert paid
    assert all(row["payments"] >= row["customers"] and row["mean_payment"] > 0 for row in paid)


def test_one_request_reads_one_publication(home: Path, app: Any) -> None:
    """Catches an answer of the new publication that is kept under the key of the old one."""
    from nightledger_superset import reading

    first = str((home / "builds" / "current").readlink())
    with app.app_context():
        before = reading.publication()
        _point(home / "builds", "2099-01-01.2")
        try:
            assert reading.publication() == before
            uri, _ = reading.mutate(_url("duckdb:///warehouse.duckdb"), {}, None, None, None)
            assert uri.database == str(before / "warehouse.duckdb")
        finally:
            _point(home / "builds", first)


def test_other_databases_are_left_alone() -> None:
    """Catches the metadata or a database that somebody added being sent to the warehouse."""
    from nightledger_superset import reading

    other = _url("postgresql://host/name")
    assert reading.mutate(other, {}, None, None, None) == (other, {})


def _url(text: str) -> Any:
    from sqlalchemy.engine.url import make_url

    return make_url(text)


def test_warming_computes_what_dashboards_ask(
    app: Any, people: Callable[..., Person], ids: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches warming that fills places in the cache which nobody asks for, or leaves those out who are
    confined to a client and have answers of their own."""
    from nightledger_superset import refreshing
    from nightledger_superset.settings import Settings

    settings = Settings.from_environment()
    some = list(ids["charts"].values())[::10]
    analysts = [people(role) for role in ("Analyst", "Analyst · demo_bank")]
    every = refreshing.charts
    monkeypatch.setattr(refreshing, "charts", lambda: [chart for chart in every() if chart.id in some])
    with app.app_context():
        from superset.extensions import cache_manager

        assert {chart.id for chart in every()} >= set(ids["charts"].values())
        cache_manager.data_cache.clear()
        told = refreshing.warm(settings, force=True)
        assert "failed" not in told, told
        assert "there already" in refreshing.warm(settings)
    for analyst in analysts:
        answers = [analyst.ask("GET", f"/api/v1/chart/{number}/data/") for number in some]
        found = [answer.content["result"][0]["is_cached"] for answer in answers if answer.status == 200]
        assert found
        assert all(found)
