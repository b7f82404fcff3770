"""The SQL that dbt sends, recorded once and run again by bare DuckDB."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pyarrow.parquet as pq

from nightledger import warehouse
from nightledger.dbt.project import DbtProject
from nightledger.settings import Settings

BUILT = ("marts", "ml", "features", "as_of", "intermediate", "staging")
"""Schemas that dbt fills."""
WRITES = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*(create|insert|copy|delete|update|drop|alter|truncate|comment|begin|commit)\b",
    re.S | re.I,
)
MODELS = ("--resource-type", "model", "--resource-type", "seed")
FEATURES = ("--select", "+features_customers")
FEATURES_OF_TRANSACTIONS = (
    "--select",
    "int_transactions+,+features_customers",
    "--exclude",
    "int_transactions",
)
"""What lies between the understood transactions and the customers' features."""


def run_dbt(settings: Settings, build: Path, *arguments: str) -> None:
    """Run dbt on a build as a night does: in this process, with the settings' threads and memory.

    Raises:
        RuntimeError: dbt failed; says where.
    """
    result = DbtProject(settings, build, ("--quiet",)).run(*arguments)
    if not result.success:
        nodes = [row for row in getattr(result.result, "results", []) if row.status in ("error", "fail")]
        raise RuntimeError(f"dbt failed: {result.exception or [(r.node.name, r.message) for r in nodes]}")


def record(settings: Settings, build: Path, plan: Path, *arguments: str) -> int:
    """Run dbt with one thread and write down each statement that changes the warehouse, in order, and where
    transactions begin and end.

    Returns:
        Number of statements.
    """
    from dbt.adapters.sql.connections import SQLConnectionManager

    original: Callable[..., Any] = SQLConnectionManager.add_query
    said: list[tuple[str, Any]] = []

    def recorded(self: Any, sql: str, *rest: Any, **keywords: Any) -> Any:
        if WRITES.match(sql):
            bindings = keywords.get("bindings") or (rest[1] if len(rest) > 1 else None)
            said.append((sql, list(bindings) if bindings else None))
        return original(self, sql, *rest, **keywords)

    with mock.patch.object(SQLConnectionManager, "add_query", recorded):
        run_dbt(settings, build, *arguments, "--threads", "1")
    plan.write_text(json.dumps(said, default=str))
    return len(said)


def replay(connection: duckdb.DuckDBPyConnection, plan: Path) -> list[tuple[float, str]]:
    """Run recorded statements in dbt's transactions; the seconds of each with its first words."""
    import time

    taken, is_open = [], False
    for sql, bindings in json.loads(plan.read_text()):
        word = (found := WRITES.match(sql)) and found[1].lower()
        if word in ("begin", "commit"):
            if is_open is (word == "begin"):
                continue  # Of dbt's other connection: it asks what there is, and changes nothing.
            is_open = word == "begin"
        started = time.monotonic()
        connection.execute(sql, bindings) if bindings else connection.execute(sql)
        text = re.sub(r"/\*.*?\*/", "", sql, flags=re.S)
        taken.append((time.monotonic() - started, " ".join(text.split())[:90]))
    connection.execute("checkpoint")
    return taken


def open_build(settings: Settings, build: Path) -> duckdb.DuckDBPyConnection:
    """The warehouse as dbt opens it, with dbt's settings."""
    connection = warehouse.connect(build, read_only=False, settings=settings)
    connection.execute("set preserve_insertion_order = false")
    connection.execute("set checkpoint_threshold = '1GB'")
    connection.execute("set file_search_path = ?", [str(build)])
    return connection


def copy_of(settings: Settings, publication: Path, build: Path, *, keep: Sequence[str] = ()) -> Path:
    """A build to experiment on: what dbt had found in a publication, without what it made.

    Args:
        settings: of the installation.
        publication: the build's beginning.
        build: is written anew.
        keep: schemas of dbt's own that stay.
    """
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    shutil.copyfile(publication / warehouse.FILE, build / warehouse.FILE)
    (build / warehouse.FILE).chmod(0o640)
    for kind, table in warehouse.LAKE_SCHEMAS.items():
        folder = build / "lake" / kind / "model=_empty" / "version=_empty" / "as_of=1970-01-01"
        folder.mkdir(parents=True)
        pq.write_table(table.empty_table(), folder / "part.parquet")
    with open_build(settings, build) as connection:
        for schema in BUILT:
            if schema not in keep:
                connection.execute(f"drop schema if exists {schema} cascade")
        connection.execute("checkpoint")
    return build


def only_the_last_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave one as-of date, the horizon's."""
    connection.execute(
        "delete from ops.as_of_dates where (client_id, as_of_date) not in"
        " (select client_id, as_of_date from ops.horizon)"
    )
