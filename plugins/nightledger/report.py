"""What a person reads after a night: one page in the terminal, made from what was published and recorded."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nightledger import operations, publications, report_models, warehouse
from nightledger.ingestion.messages import inert
from nightledger.report_models import table_of
from nightledger.settings import Settings

MODEL = "churn"


def show(
    settings: Settings, console: Console, *, ceilings: report_models.Ceilings | None = None, note: str = ""
) -> None:
    """Print the report of the current publication.

    Args:
        settings: of the installation.
        console: where to.
        ceilings: of the simulated bank, of the models whose truth is known.
        note: a sentence to begin with.
    """
    path = warehouse.publication_path(settings)
    if path is None:
        console.print("Nothing has been published yet.")
        return
    description = publications.describe(path)
    with warehouse.connect(path, settings=settings) as connection:
        parts = [
            _summary(connection, description, path),
            _quarantine(connection),
            *report_models.summary(settings, description, ceilings or {}, MODEL),
            _top_customers(connection),
            _stages(settings),
            _next_steps(settings, path),
        ]
    title = f"[bold]Nightledger[/bold] · {description['id']}"
    body: list[Any] = [Text(note, style="green")] if note else []
    console.print()
    console.print(Panel(Group(*body, *(part for part in parts if part)), title=title, padding=(1, 2)))


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return connection.execute(sql).fetchone() or ()


def _summary(connection: duckdb.DuckDBPyConnection, description: dict[str, Any], path: Path) -> Table:
    files, refused, records, quarantined = _one(
        connection,
        "select count(*) filter (where verdict = 'loaded'), count(*) filter (where verdict = 'refused'),"
        " coalesce(sum(records) filter (where verdict = 'loaded'), 0),"
        " coalesce(sum(quarantined) filter (where verdict = 'loaded'), 0) from ops.loads",
    )
    rows, current, customers = _one(
        connection,
        "select count(*), count(*) filter (where is_current), count(distinct (client_id, customer_id))"
        " from marts.fct_transactions",
    )
    feeds = connection.execute(
        "select feed, sum(records) from ops.load_feeds group by 1 order by 2 desc, 1"
    ).fetchall()
    by_feed = ", ".join(f"{number:,} {feed}" for feed, number in feeds)
    features, dates = _one(
        connection, "select count(*), count(distinct as_of_date) from features.features_customers"
    )
    scored = connection.execute(
        "select entity, count(*), count(distinct model) from marts.fct_scores where role = 'champion'"
        " and as_of_date = (select max(as_of_date) from ops.horizon) group by 1 order by 1"
    ).fetchall()
    size = (path / warehouse.FILE).stat().st_size / 1e6
    beside = _beside_scores(connection)
    scores = ", ".join(
        f"{rows:,} of {entity}s ({models} {'model' if models == 1 else 'models'})"
        for entity, rows, models in scored
    )
    audit = json.loads((path / "audit.json").read_text())["checks"]
    warned = [row["check"] for row in audit if row["status"] == "failed"]
    table = table_of("", ("", "left"), ("", "left"))
    table.show_header = False
    for name, value in (
        (
            "Publication",
            f"{description['id']}, {size:,.0f} MB, content hash {description['content_hash'][:16]}",
        ),
        (
            "Data through",
            f"{description['as_of_date']} (built on {description['base'] or 'an empty warehouse'})",
        ),
        (
            "Records in",
            f"{records:,} from {files:,} files{f', {refused:,} files refused' if refused else ''}",
        ),
        ("", by_feed),
        ("Quarantined", f"{quarantined:,} records"),
        ("Published", f"{current:,} transactions ({rows:,} versions) of {customers:,} customers"),
        ("Features", f"{features:,} vectors on {dates} as-of dates"),
        ("Scores tonight", scores or "none: no model has been promoted (see below)"),
        *((("Tonight, too", ", ".join(beside)),) if beside else ()),
        ("Audit", f"{len(audit) - len(warned)} of {len(audit)} checks passed"),
        *((("Warnings", ", ".join(warned)),) if warned else ()),
    ):
        table.add_row(f"[cyan]{name}[/cyan]", value)
    return table


def _beside_scores(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """What the last date has of families that give no scores, and what follows from all of them."""
    counted = {
        "customers in segments": ("fct_segments", "count(distinct (client_id, customer_id))", "as_of_date"),
        "lifetime values": ("fct_lifetime_value", "count(*)", "as_of_date"),
        "forecasts": ("fct_forecasts", "count(*)", "origin"),
        "life events": ("fct_life_events", "count(*)", "as_of_date"),
        "next best actions": ("fct_next_best_actions", "count(*)", "as_of_date"),
    }
    last = "(select max(as_of_date) from ops.horizon)"
    # A publication of an older release has not all of them.
    there = {name for _, name, _ in warehouse.relations(connection)}
    found = {
        words: _one(connection, f"select {of} from marts.{table} where {day} = {last}")[0]  # noqa: S608
        for words, (table, of, day) in counted.items()
        if table in there
    }
    return [f"{number:,} {words}" for words, number in found.items() if number]


def _quarantine(connection: duckdb.DuckDBPyConnection) -> Table | None:
    rows = connection.execute(
        "select feed, column_name, reason, min(shape), count(*) from raw.quarantine"
        " group by 1, 2, 3 order by 5 desc, 1, 2, 3 limit 5"
    ).fetchall()
    if not rows:
        return None
    table = table_of(
        "\nWhy records were quarantined (shapes, never values)",
        *(
            ("feed", "left"),
            ("column", "left"),
            ("reason", "left"),
            ("for example", "left"),
            ("records", "right"),
        ),
    )
    for feed, column, reason, shape, count in rows:
        cells = (Text(inert(text or "–")) for text in (feed, column, reason, shape))
        table.add_row(*cells, f"{count:,}")
    return table


def _top_customers(connection: duckdb.DuckDBPyConnection) -> Table | None:
    rows = connection.execute(
        """
        with top as (
            select * from marts.fct_scores
            where model = ? and role = 'champion' and as_of_date = (select max(as_of_date) from ops.horizon)
            order by score desc, client_id, entity_id limit 10
        )
        select t.entity_id, t.score, t.band, r.rank, r.text
        from top as t
        left join marts.fct_score_reasons as r
            on r.client_id = t.client_id and r.model = t.model and r.model_version = t.model_version
            and r.entity_id = t.entity_id and r.as_of_date = t.as_of_date and r.rank <= 3
        order by t.score desc, t.client_id, t.entity_id, r.rank
        """,
        [MODEL],
    ).fetchall()
    if not rows:
        return None
    table = table_of(
        "\nThe ten customers most likely to leave",
        *(("customer", "left"), ("score", "right"), ("band", "left"), ("because", "left")),
    )
    customers: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        customers.setdefault(row[0], []).append(row)
    for customer, reasons in customers.items():
        words = "\n".join(inert(row[4]) for row in reasons if row[4])
        band = Text(inert(reasons[0][2] or "–"))
        table.add_row(Text(inert(customer[:16])), f"{reasons[0][1]:.1%}", band, Text(words))
    return table


def _stages(settings: Settings) -> Table | None:
    rows = _with_one_training(operations.last_stages(settings))
    if not rows:
        return None
    runs = list(dict.fromkeys(row["run_id"] for row in rows))
    table = table_of("\nSeconds by stage", ("", "left"), *((run.partition("/")[0], "right") for run in runs))
    # The run with most stages has them all in their order; a history has no scoring.
    longest = sorted(runs, key=lambda run: -sum(row["run_id"] == run for row in rows))
    for stage in dict.fromkeys(row["stage"] for run in longest for row in rows if row["run_id"] == run):
        seconds = {row["run_id"]: row["seconds"] for row in rows if row["stage"] == stage}
        table.add_row(stage, *(f"{seconds[run]:.1f}" if run in seconds else "" for run in runs))
    totals = [sum(row["seconds"] for row in rows if row["run_id"] == run) for run in runs]
    table.add_row("[bold]sum[/bold]", *(f"[bold]{total:.1f}[/bold]" for total in totals))
    return table


def _with_one_training(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The stages, with the trainings of all models as one."""
    found: list[dict[str, Any]] = []
    sums: dict[str, dict[str, Any]] = {}
    models = {row["stage"] for row in rows if row["stage"].startswith("train ")}
    for row in rows:
        run = row["run_id"]
        if row["stage"] in models and run in sums:
            sums[run]["seconds"] += row["seconds"]
            continue
        found.append(dict(row))
        if row["stage"] in models:
            sums[run] = found[-1] | {
                "stage": f"train {len(models)} models" if len(models) > 1 else row["stage"]
            }
            found[-1] = sums[run]
    return found


def _next_steps(settings: Settings, path: Path) -> Group:
    home = settings.home
    data = f" DATA={settings.inbox}" if settings.inbox and not settings.inbox.is_relative_to(home) else ""
    table = table_of("\nWhere to look next", ("", "left"), ("", "left"))
    table.show_header = False
    for command, what in (
        (f"make up{data}", f"the Airflow UI at http://127.0.0.1:{settings.airflow_port}: runs, tasks, logs"),
        (f"make sql{data}", "a SQL shell on this publication (read-only)"),
        (f"make publications{data}", "what was published, when, from what, why"),
        ("make reports", "Evidently's reports on it, which `make up` draws after each night by itself"),
        *((("make next-night", "one more day of the bank"),) if (home / "bank").exists() else ()),
    ):
        table.add_row(f"[cyan]{command}[/cyan]", what)
    return Group(table, Text(f"Files: {path}", style="dim"))


def latest_as_of(settings: Settings) -> date | None:
    """Latest as-of date that is published, or None."""
    path = warehouse.publication_path(settings)
    return date.fromisoformat(publications.describe(path)["as_of_date"]) if path else None
