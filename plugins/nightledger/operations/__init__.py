"""The operational database: what people, models and runs say, as it happens.

A failed night leaves its evidence here; each night takes a snapshot of it into the warehouse.
Times ending in `_at` are UTC without a zone, as in the warehouse.
"""

import functools
import json
import logging
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from duckdb import DuckDBPyConnection
from sqlalchemy.dialects import postgresql, sqlite

from nightledger import lineage, trouble
from nightledger.operations.schema import (
    audits,
    case_events,
    case_labels,
    cutoffs,
    file_orders,
    file_verdicts_table,
    incidents,
    merchant_corrections,
    merchant_versions,
    model_decisions,
    model_importances,
    model_metrics,
    model_pins,
    night_deadlines,
    night_waits,
    node_results_table,
    publications,
    runs,
    stages,
)
from nightledger.settings import Settings

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds to wait for another process that has the SQLite file locked."""

SNAPSHOT = (
    runs,
    stages,
    node_results_table,
    file_verdicts_table,
    audits,
    publications,
    cutoffs,
    model_decisions,
    model_metrics,
    model_importances,
    model_pins,
    file_orders,
    merchant_corrections,
    merchant_versions,
    night_deadlines,
    case_events,
    case_labels,
    incidents,
)
_ARROW = {
    sa.String: pa.string(),
    sa.Text: pa.string(),
    sa.Integer: pa.int64(),
    sa.BigInteger: pa.int64(),
    sa.Float: pa.float64(),
    sa.Boolean: pa.bool_(),
    sa.Date: pa.date32(),
    sa.DateTime: pa.timestamp("us"),
}


def clock() -> datetime:
    """The one clock of the platform: UTC without a zone. Tests that need another time replace it."""
    return datetime.now(UTC).replace(tzinfo=None)


@functools.cache
def _engine(dsn: str) -> sa.Engine:
    from alembic import command
    from alembic.config import Config

    url = sa.make_url(dsn)
    sqlite_file = url.database if url.get_backend_name() == "sqlite" else None
    if sqlite_file:
        Path(sqlite_file).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE} if sqlite_file else {})
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its start-up lines bury a task's own
    config = Config()
    config.set_main_option("script_location", "nightledger.operations:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return engine


def engine(settings: Settings) -> sa.Engine:
    """Engine of the operational database; makes or upgrades its tables on first use in a process."""
    return _engine(settings.operations_dsn)


def reading_engine(settings: Settings) -> sa.Engine:
    """Engine that can change nothing, not even a file beside the database."""
    url = sa.make_url(settings.operations_dsn)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url)
    return sa.create_engine(
        f"sqlite:///file:{url.database}?mode=ro&uri=true", connect_args={"timeout": PATIENCE}
    )


def read(settings: Settings, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """What a query finds; nothing before anything has happened."""
    url = sa.make_url(settings.operations_dsn)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return []  # nothing has happened yet
    with trouble.explained(settings), reading_engine(settings).connect() as connection:
        try:
            return [dict(row._mapping) for row in connection.execute(query)]
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            connection.rollback()
            made = sa.inspect(connection).get_table_names()
            if all(table.name in made for table in query.get_final_froms() if isinstance(table, sa.Table)):
                raise
            return []  # the next night makes the tables that this code has and the database not yet


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows or overwrite those with the same primary key."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    keys = [column.name for column in table.primary_key]
    given = [name for name in rows[0] if name not in keys]
    statement = dialect.insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in given}
    )
    connection.execute(statement, rows)


@contextmanager
def stage(settings: Settings, run_id: str, name: str) -> Iterator[dict[str, Any]]:
    """Record how long one stage of a run took and how it ended; the yielded dict becomes its detail.

    Raises:
        nightledger.trouble.MachineTrouble: in place of an error that the machine is to blame for.
    """
    started, began = time.monotonic(), _used()
    detail: dict[str, Any] = {}
    state = "failed"
    try:
        with lineage.around(settings, run_id, name):
            yield detail
        state = "done"
    except BaseException as error:
        problem = trouble.explain(settings, error) or error
        detail["error"] = f"{type(problem).__name__}: {problem}"
        if problem is error:
            raise
        raise problem from error
    finally:
        seconds, used = time.monotonic() - started, _used()
        cost = {"cpu_seconds": round(used[0] - began[0], 2), "peak_mb": round(used[1])}
        try:
            _record_stage(settings, run_id, name, state, seconds, detail | cost)
        except sa.exc.OperationalError as error:
            if state == "done":
                raise (trouble.explain(settings, error) or error) from error
            log.warning("the failure of %s could not be recorded either: %s", name, error.orig)
        log.info("%s of %s %s in %.1f s", name, run_id, state, seconds)


def _used() -> tuple[float, float]:
    """CPU seconds of this process and its ended children so far, and the most memory it ever had (MB)."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = sum(one.ru_utime + one.ru_stime for one in (own, children))
    return seconds, own.ru_maxrss / 1e3


def _record_stage(
    settings: Settings, run_id: str, name: str, state: str, seconds: float, detail: Mapping[str, Any]
) -> None:
    with engine(settings).begin() as connection:
        connection.execute(
            stages.insert(),
            {
                "run_id": run_id,
                "stage": name,
                "state": state,
                "seconds": seconds,
                "detail": json.dumps(detail, default=str),
                "recorded_at": clock(),
            },
        )


def open_run(settings: Settings, run_id: str, **values: Any) -> None:
    """Record that a run has opened; opening it again (a retry) overwrites what was pinned."""
    with engine(settings).begin() as connection:
        _upsert(connection, runs, [{"run_id": run_id, "state": "running", "opened_at": clock(), **values}])


def end_run(settings: Settings, run_id: str, state: str) -> None:
    """Record how a run ended. One that died before it opened has left nothing to end."""
    with trouble.explained(settings), engine(settings).begin() as connection:
        connection.execute(runs.update().where(runs.c.run_id == run_id).values(state=state, ended_at=clock()))


def record_nodes(settings: Settings, run_id: str, selector: str, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Keep the result of each dbt node; a later try of the same run overwrites its node."""
    now = clock()
    rows = [dict(node, run_id=run_id, selector=selector, recorded_at=now) for node in nodes]
    with engine(settings).begin() as connection:
        _upsert(connection, node_results_table, rows)


def node_results(settings: Settings, run_id: str) -> list[dict[str, Any]]:
    """What dbt did in a run, node by node, slowest first."""
    table = node_results_table
    return read(settings, sa.select(table).where(table.c.run_id == run_id).order_by(table.c.seconds.desc()))


def record_files(settings: Settings, run_id: str, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Keep what became of each file of a run."""
    now = clock()
    columns = {column.name for column in file_verdicts_table.columns}
    rows = [
        {key: value for key, value in verdict.items() if key in columns}
        | {"run_id": run_id, "recorded_at": now}
        for verdict in verdicts
    ]
    with engine(settings).begin() as connection:
        _upsert(connection, file_verdicts_table, rows)


def file_verdicts(settings: Settings, run_id: str) -> list[dict[str, Any]]:
    """What became of each file of a run: refused first, then those with quarantined records."""
    table = file_verdicts_table
    refused_first = sa.case((table.c.verdict == "refused", 0), else_=1)
    return read(
        settings,
        sa.select(table)
        .where(table.c.run_id == run_id)
        .order_by(refused_first, table.c.quarantined.desc(), table.c.file),
    )


def record_audit(settings: Settings, run_id: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Append the audit's results."""
    now = clock()
    with engine(settings).begin() as connection:
        connection.execute(audits.insert(), [dict(row, run_id=run_id, recorded_at=now) for row in results])


def record_publication(settings: Settings, **values: Any) -> None:
    """Append a publication, rollback or pruning to the log."""
    with engine(settings).begin() as connection:
        connection.execute(publications.insert().values(recorded_at=clock(), **values))


def publication_log(settings: Settings) -> list[dict[str, Any]]:
    """The publications log, oldest first."""
    return read(settings, sa.select(publications).order_by(publications.c.id))


def note_wait(settings: Settings, run_id: str, as_of_date: date, waits_for: str) -> None:
    """Keep what a night waits for, in words; `since` stays while that stays the same."""
    now, table = clock(), night_waits
    with engine(settings).begin() as connection:
        row = connection.execute(sa.select(table).where(table.c.run_id == run_id)).one_or_none()
        since = row.since if row is not None and row.waits_for == waits_for else now
        values = {"run_id": run_id, "as_of_date": as_of_date, "waits_for": waits_for, "since": since}
        _upsert(connection, table, [values | {"recorded_at": now}])


def waits(settings: Settings) -> list[dict[str, Any]]:
    """What each run that had to wait waited for last, the newest first."""
    return read(settings, sa.select(night_waits).order_by(night_waits.c.recorded_at.desc()))


def fix_cutoffs(
    settings: Settings, wanted: Mapping[tuple[str, date], datetime]
) -> dict[tuple[str, date], datetime]:
    """Record the cutoff of each (client, as-of date) once; every rebuild and replay gets the recorded one."""
    now = clock()
    with engine(settings).begin() as connection:
        known = {
            (row.client_id, row.as_of_date): row.cutoff_at
            for row in connection.execute(
                sa.select(cutoffs).where(cutoffs.c.client_id.in_({client for client, _ in wanted}))
            )
        }
        missing = [
            {"client_id": client, "as_of_date": day, "cutoff_at": at, "recorded_at": now}
            for (client, day), at in wanted.items()
            if (client, day) not in known
        ]
        if missing:
            connection.execute(cutoffs.insert(), missing)
    return {key: known.get(key, at) for key, at in wanted.items()}


def recorded_cutoffs(settings: Settings) -> dict[tuple[str, date], datetime]:
    """Every cutoff that is fixed, by client and as-of date."""
    return {
        (row["client_id"], row["as_of_date"]): row["cutoff_at"] for row in read(settings, sa.select(cutoffs))
    }


def order_file(settings: Settings, **values: Any) -> None:
    """Append what somebody ordered about a file: to hold it, release it or read it again."""
    with engine(settings).begin() as connection:
        connection.execute(file_orders.insert().values(recorded_at=clock(), **values))


def file_order_log(settings: Settings) -> list[dict[str, Any]]:
    """Every order about a file, oldest first."""
    return read(settings, sa.select(file_orders).order_by(file_orders.c.id))


def record_correction(settings: Settings, **values: Any) -> int:
    """Append what somebody said about a merchant, or the withdrawal of it; returns its number."""
    with engine(settings).begin() as connection:
        key = connection.execute(
            merchant_corrections.insert().values(recorded_at=clock(), **values)
        ).inserted_primary_key
    return int(key[0]) if key else 0


def correction_log(settings: Settings) -> list[dict[str, Any]]:
    """Every correction of a merchant and every withdrawal, oldest first."""
    return read(settings, sa.select(merchant_corrections).order_by(merchant_corrections.c.id))


def take_up_corrections(settings: Settings, known_at: datetime) -> int:
    """Fix since when the corrections that no night has used yet are known; those before keep their time.

    Args:
        settings: of the installation.
        known_at: cutoff of the publication that the night begins from, so that no date published so far
            changes, however often it is built again.

    Returns:
        Number of new corrections and withdrawals.
    """
    table = merchant_corrections
    with engine(settings).begin() as connection:
        return connection.execute(
            table.update().where(table.c.known_at.is_(None)).values(known_at=known_at)
        ).rowcount


def keep_merchant_versions(settings: Settings, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what a release of rules has closed: the rules that said so are in no project any more."""
    now = clock()
    with engine(settings).begin() as connection:
        _upsert(connection, merchant_versions, [dict(row, run_id=run_id, recorded_at=now) for row in rows])


def snapshot(settings: Settings, warehouse: DuckDBPyConnection) -> None:
    """Copy the operational database, but for columns that are not published, into schema `operations`."""
    warehouse.execute("create schema if not exists operations")
    with engine(settings).connect() as connection:
        for table in SNAPSHOT:
            columns = [column for column in table.columns if column.info.get("is_published", True)]
            schema = pa.schema([(column.name, _ARROW[type(column.type)]) for column in columns])
            rows = [dict(row._mapping) for row in connection.execute(sa.select(*columns))]
            warehouse.register("_snapshot", pa.Table.from_pylist(rows, schema=schema))
            warehouse.execute(
                f'create or replace table operations."{table.name}" as select * from _snapshot'  # noqa: S608
            )
            warehouse.unregister("_snapshot")


def last_stages(settings: Settings) -> list[dict[str, Any]]:
    """The finished stages of the last run of each DAG, in the order they ran."""
    done = read(settings, sa.select(stages).where(stages.c.state == "done").order_by(stages.c.id))
    last_runs = {row["run_id"].partition("/")[0]: row["run_id"] for row in done}
    return [row for row in done if row["run_id"] in last_runs.values()]
