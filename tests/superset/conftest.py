"""Superset itself, set up from nothing on a publication, without a server.

Runs in Superset's own environment: `tests/end_to_end/test_superset.py` calls it with the bank it has anyway.
By hand: `NIGHTLEDGER_TEST_BUILDS=<home>/builds PYTHONPATH=superset .venv-superset/bin/python -m pytest
--confcutdir tests/superset tests/superset`.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.superset.asking import PASSWORD, Answer, Person

PROJECT = Path(__file__).resolve().parents[2]
os.environ["SUPERSET_CONFIG_PATH"] = str(PROJECT / "superset" / "superset_config.py")
os.environ["TZ"] = "UTC"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose only publication is the one that the tests were given."""
    given = os.environ.get("NIGHTLEDGER_TEST_BUILDS")
    if not given:
        pytest.fail(
            "NIGHTLEDGER_TEST_BUILDS must name a directory of publications; see tests/superset/conftest.py"
        )
    home = tmp_path_factory.mktemp("superset") / "home"
    publication = (Path(given) / "current").resolve(strict=True)
    own = home / "builds" / publication.name
    own.mkdir(parents=True)
    shutil.copyfile(publication / "warehouse.duckdb", own / "warehouse.duckdb")
    (home / "builds" / "current").symlink_to(publication.name)
    with duckdb.connect(str(own / "warehouse.duckdb")) as connection:
        _add_client(connection)
    os.environ.update(NIGHTLEDGER_HOME=str(home), NIGHTLEDGER_SUPERSET_MEMORY_LIMIT="2GB")
    os.environ["NIGHTLEDGER_SUPERSET_EMBEDDED_IN"] = "https://portal.example"
    return home


def _add_client(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a bank with one client a second one, with the same customers, in what dashboards read."""
    clients = connection.execute("select count(distinct client_id) from marts.dim_customers").fetchone()
    if clients != (1,):
        return
    for schema, table, keyed in connection.execute(
        "select schema_name, table_name, has_primary_key from duckdb_columns() inner join duckdb_tables()"
        " using (database_name, schema_name, table_name) where column_name = 'client_id'"
        " and schema_name in ('marts', 'ml', 'staging', 'ops', 'operations')"
    ).fetchall():
        insert = "insert or ignore" if keyed else "insert"
        connection.execute(
            f'{insert} into "{schema}"."{table}" select * replace (\'demo_wallet\' as client_id)'
            f' from "{schema}"."{table}" where client_id = \'demo_bank\''
        )


@pytest.fixture(scope="session")
def app(home: Path) -> Any:
    """Superset, set up as `make superset` does it."""
    from nightledger_superset import preparing
    from nightledger_superset.settings import Settings

    told: list[str] = []
    assert preparing.prepare(Settings.from_environment(), told.append)
    assert told
    app = preparing.application()
    app.config["WTF_CSRF_ENABLED"] = False
    app.config["RATELIMIT_ENABLED"] = False
    return app


@pytest.fixture(scope="session")
def people(app: Any) -> Callable[..., Person]:
    """Logs in somebody with these roles; the same roles are the same person."""
    made: dict[tuple[str, ...], Person] = {}

    def person(*roles: str) -> Person:
        if roles not in made:
            name = f"person{len(made)}"
            with app.app_context():
                from superset import security_manager

                held = [security_manager.find_role(role) for role in roles]
                assert all(held), roles
                security_manager.add_user(name, name, name, f"{name}@example.org", held, password=PASSWORD)
            made[roles] = Person(app, name)
        return made[roles]

    return person


@pytest.fixture(scope="session")
def bundle() -> Any:
    """What git says, in Superset's form."""
    from nightledger_superset.assets import read_bundle

    return read_bundle()


@pytest.fixture(scope="session")
def ids(app: Any, bundle: Any) -> dict[str, dict[str, int]]:
    """Numbers of the imported assets by kind and name."""
    with app.app_context():
        from superset.connectors.sqla.models import SqlaTable
        from superset.models.dashboard import Dashboard
        from superset.models.slice import Slice

        from superset import db

        def numbers(kind: Any, wanted: dict[str, Any]) -> dict[str, int]:
            by_uuid = {asset.uuid: asset.id for asset in db.session.query(kind)}
            return {name: by_uuid[uuid] for name, uuid in wanted.items()}

        return {
            "charts": numbers(Slice, bundle.charts),
            "datasets": numbers(SqlaTable, {name: info.uuid for name, info in bundle.datasets.items()}),
            "dashboards": numbers(Dashboard, {slug: info.uuid for slug, info in bundle.dashboards.items()}),
        }


@pytest.fixture(scope="session")
def answers(people: Callable[..., Person], ids: dict[str, dict[str, int]]) -> dict[str, Answer]:
    """What each chart answers somebody who may see everything, asked afresh."""
    return _asked(people("Admin"), ids, "?force=true")


@pytest.fixture(scope="session")
def answers_of_client(people: Callable[..., Person], ids: dict[str, dict[str, int]]) -> dict[str, Answer]:
    """What each chart answers somebody of one client."""
    return _asked(people("Analyst · demo_bank"), ids, "")


def _asked(person: Person, ids: dict[str, dict[str, int]], how: str) -> dict[str, Answer]:
    return {
        name: person.ask("GET", f"/api/v1/chart/{number}/data/{how}")
        for name, number in ids["charts"].items()
    }
