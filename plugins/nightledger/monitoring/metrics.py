"""What the operational database knows, in Prometheus' text format: counts, times and names, no customer.

The Airflow UI's address serves it at /nightledger/metrics (`NIGHTLEDGER_METRICS_TOKEN`);
`python -m nightledger.monitoring.metrics --to FILE` writes it for a textfile collector. Names end in their
unit; times are Unix seconds, so that an age is `time() - x` in a query.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

from nightledger import operations, publications, trouble, warehouse
from nightledger.governance import ledger
from nightledger.monitoring import metrics_of_nights
from nightledger.monitoring.gauges import gauge, gauges, seconds
from nightledger.night import lock
from nightledger.operations.schema import (
    audits,
    file_verdicts_table,
    model_decisions,
    runs,
    stages,
)
from nightledger.operations.schema import publications as publication_log
from nightledger.settings import Settings, SettingsError, read_settings

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
DAGS = ("nightly", "history", "train")
Rows = list[dict[str, Any]]


def expose(settings: Settings) -> bytes:
    """Every metric of an installation, at this moment.

    Raises:
        nightledger.trouble.MachineTrouble: the operational database cannot be read.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(settings))
    return generate_latest(registry)


class _Collector:
    """Reads once a scrape; nothing is kept between two, so that every process says the same."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        yield from _home(self._settings)
        yield from _lock(self._settings)
        yield from _current(self._settings)
        yield from metrics_of_nights.collect(self._settings)
        if not _has_begun(self._settings):
            return
        with (
            trouble.explained(self._settings),
            operations.reading_engine(self._settings).connect() as connection,
        ):
            yield from _published(connection)
            yield from _runs(connection)
            yield from _stages(connection)
            yield from _records(connection)
            yield from _audit(connection)
            yield from _models(connection)


def _has_begun(settings: Settings) -> bool:
    """Whether the operational database has tables yet; asking makes none."""
    url = sa.make_url(settings.operations_dsn)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return False
    with trouble.explained(settings):
        return sa.inspect(operations.reading_engine(settings)).has_table(runs.name)


def _home(settings: Settings) -> Iterator[Metric]:
    existing = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    yield gauge("nightledger_home_free_bytes", "Free on the disk of the home.", usage.free)
    yield gauge("nightledger_home_size_bytes", "Size of the disk of the home.", usage.total)


def _lock(settings: Settings) -> Iterator[Metric]:
    held_by = lock.holder(settings)
    yield gauge("nightledger_lock_held", "1 while a run has a night open.", held_by is not None)
    file = settings.builds / "lock.json"
    if held_by and file.exists():
        since = file.stat().st_mtime
        yield gauge("nightledger_lock_changed_timestamp_seconds", "Last change of the lock.", since)


def _current(settings: Settings) -> Iterator[Metric]:
    """The publication that readers see, by its own description: a rollback shows at once."""
    path = warehouse.publication_path(settings)
    if path is None:
        return
    said = publications.describe(path)
    through = datetime.combine(date.fromisoformat(said["as_of_date"]), time(), UTC)
    yield gauge(
        "nightledger_data_through_timestamp_seconds",
        "Midnight UTC of the last business date that readers see.",
        through.timestamp(),
    )
    yield gauges(
        "nightledger_publication_info",
        "The publication that readers see.",
        ("publication", "base", "kind", "code_revision"),
        [((path.name, said["base"] or "", said["kind"], said["code_revision"]), 1)],
    )
    size = (path / warehouse.FILE).stat().st_size
    yield gauge("nightledger_publication_bytes", "Size of the warehouse that readers see.", size)


def _published(connection: sa.Connection) -> Iterator[Metric]:
    table = publication_log
    query = sa.select(table.c.action, sa.func.count(), sa.func.max(table.c.recorded_at)).group_by(
        table.c.action
    )
    found = [(row[0], row[1], seconds(row[2])) for row in connection.execute(query)]
    yield gauges(
        "nightledger_publications",
        "Entries of the publications log: published, rolled back, pruned.",
        ("action",),
        [((action,), count) for action, count, _ in found],
    )
    yield gauges(
        "nightledger_publication_timestamp_seconds",
        "When the last entry of each kind was made.",
        ("action",),
        [((action,), at) for action, _, at in found],
    )


def _runs(connection: sa.Connection) -> Iterator[Metric]:
    query = sa.select(runs.c.kind, runs.c.state, sa.func.count()).group_by(runs.c.kind, runs.c.state)
    counts = [((row[0], row[1]), row[2]) for row in connection.execute(query)]
    yield gauges("nightledger_runs", "Nights by kind and outcome.", ("kind", "state"), counts)
    last = {row.kind: row for row in connection.execute(sa.select(runs).order_by(runs.c.opened_at))}
    yield gauges(
        "nightledger_last_run_failed",
        "1 when the last night of a kind has failed.",
        ("kind",),
        [((kind,), row.state == "failed") for kind, row in last.items()],
    )
    yield gauges(
        "nightledger_last_run_opened_timestamp_seconds",
        "When the last night of a kind was opened.",
        ("kind",),
        [((kind,), seconds(row.opened_at)) for kind, row in last.items()],
    )
    yield gauges(
        "nightledger_last_run_seconds",
        "From opening to end of the last night of a kind that has ended.",
        ("kind",),
        [
            ((kind,), (row.ended_at - row.opened_at).total_seconds())
            for kind, row in last.items()
            if row.ended_at
        ],
    )


def _stages(connection: sa.Connection) -> Iterator[Metric]:
    """Seconds of each stage of the last run of each DAG, over all its tries, and what came late."""
    spent: dict[tuple[str, ...], float] = {}
    late: list[tuple[tuple[str, ...], float]] = []
    for dag in DAGS:
        for row in _last_run(connection, stages, dag, stages.c.id):
            key = (dag, row["stage"], row["state"])
            spent[key] = spent.get(key, 0.0) + row["seconds"]
            detail = json.loads(row["detail"])
            if row["stage"] == "ingest" and "late" in detail:
                late = [*(pair for pair in late if pair[0] != (dag,)), ((dag,), len(detail["late"]))]
    yield gauges(
        "nightledger_last_run_stage_seconds",
        "Seconds of each stage of the last run.",
        ("dag", "stage", "state"),
        list(spent.items()),
    )
    yield gauges(
        "nightledger_last_run_late_sources", "Sources that the last run did without.", ("dag",), late
    )


def _records(connection: sa.Connection) -> Iterator[Metric]:
    """What was read, ever; a file that was read again counts again, as its rows were judged again."""
    table = file_verdicts_table
    names = ("client", "source", "verdict")
    keys = (table.c.client_id, table.c.source, table.c.verdict)
    sums = (sa.func.count(), sa.func.sum(table.c.records), sa.func.sum(table.c.quarantined))
    found = [(tuple(row[:3]), row[3:]) for row in connection.execute(sa.select(*keys, *sums).group_by(*keys))]
    for place, (name, meaning) in enumerate(
        (
            ("nightledger_files", "Files by what became of them."),
            ("nightledger_records", "Records of those files."),
            ("nightledger_records_quarantined", "Records of those files that were set aside."),
        )
    ):
        yield gauges(name, meaning, names, [(key, values[place]) for key, values in found])


def _audit(connection: sa.Connection) -> Iterator[Metric]:
    rows: Rows = []
    for dag in DAGS:
        rows = max(rows, _last_run(connection, audits, dag, audits.c.id), key=_newest)
    yield gauges(
        "nightledger_audit_violations",
        "What each check of the last audit found.",
        ("check", "severity", "status"),
        [((row["check"], row["severity"], row["status"]), row["violations"]) for row in rows],
    )


def _models(connection: sa.Connection) -> Iterator[Metric]:
    decided: dict[str, Rows] = {}
    for row in connection.execute(sa.select(model_decisions).order_by(model_decisions.c.id)):
        decided.setdefault(row.model, []).append(dict(row._mapping))
    standings = {model: ledger.standing(rows) for model, rows in sorted(decided.items())}
    yield gauges(
        "nightledger_model_info",
        "Champion and challenger of each model that was ever trained; an empty version means none.",
        ("model", "champion", "challenger", "last_decision"),
        [
            ((model, of.champion or "", of.challenger or "", decided[model][-1]["decision"]), 1)
            for model, of in standings.items()
        ],
    )
    yield gauges(
        "nightledger_model_scores",
        "1 when the model has a champion, which scores.",
        ("model",),
        [((model,), of.champion is not None) for model, of in standings.items()],
    )
    yield gauges(
        "nightledger_model_awaits_approval",
        "1 when a version waits for a person.",
        ("model",),
        [((model,), rows[-1]["decision"] == ledger.AWAITING) for model, rows in decided.items()],
    )
    yield gauges(
        "nightledger_model_decided_timestamp_seconds",
        "When the last decision about a model was taken.",
        ("model",),
        [((model,), seconds(rows[-1]["recorded_at"])) for model, rows in decided.items()],
    )


def _last_run(connection: sa.Connection, table: sa.Table, dag: str, order: sa.Column[Any]) -> Rows:
    """Rows of a table that the last run of a DAG has written, oldest first."""
    of_dag = sa.select(table.c.run_id).where(table.c.run_id.like(f"{dag}/%"))
    last = of_dag.order_by(order.desc()).limit(1).scalar_subquery()
    query = sa.select(table).where(table.c.run_id == last).order_by(order)
    return [dict(row._mapping) for row in connection.execute(query)]


def _newest(rows: Rows) -> int:
    return int(rows[-1]["id"]) if rows else -1


def main() -> int:
    """Print the metrics, or write them whole to a file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.monitoring.metrics", description=__doc__)
    parser.add_argument("--to", type=Path, metavar="FILE", help="e.g. …/textfile/nightledger.prom")
    to: Path | None = parser.parse_args().to
    try:
        text = expose(read_settings())
    except (SettingsError, publications.PublicationError, trouble.MachineTrouble) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if to is None:
        sys.stdout.write(text.decode())
    else:
        part = to.with_name(f".{to.name}.part")
        part.write_bytes(text)
        part.replace(to)  # a collector must never read half of it
    return 0


if __name__ == "__main__":
    sys.exit(main())
