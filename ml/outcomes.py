"""What became of scored rows, by the label that the model learnt from: there is no second definition of it.

A night judges the scores of a date when the date's horizon and the delay of its labels are over, and again
whenever something is told about the days that the outcome depends on. Both answers are kept: as known when
the label matured, which is how training takes it, and as known now. dbt reads them as `stg_outcomes`.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from ml import config
from ml.dates import covered, register_dates
from ml.partitions import Pin, partition
from ml.scores.config import UseCase
from ml.statements import module_sql, parameters
from nightledger import warehouse
from nightledger.settings import Settings

KIND = "outcomes"
VERSIONS = 31
"""Days within which another version of a row that is an event is looked for: a history's date has a month."""


def write(connection: duckdb.DuckDBPyConnection, settings: Settings, build: Path) -> int:
    """Judge what has matured or was told otherwise tonight; one Parquet file a model, version and date.

    Args:
        connection: on the open build, with the scores of the nights before.
        settings: clients.
        build: its lake has tonight's scores and gets the rows.

    Returns:
        Rows judged.
    """
    _gather_scores(connection, build)
    judged = 0
    for model in config.names():
        use_case = config.read(model)
        if isinstance(use_case, UseCase) and use_case.label is not None:
            judged += _judge(connection, settings, build, use_case)
    return judged


def _judge(connection: duckdb.DuckDBPyConnection, settings: Settings, build: Path, use_case: UseCase) -> int:
    scored = _scored(connection, use_case)
    pairs = covered(connection, settings, use_case, _to_judge(connection, use_case, scored))
    if not pairs:
        return 0
    register_dates(connection, settings, use_case, pairs)
    _table(connection, "_pairs", "select client_id, as_of_date from dates")
    asked = pairs
    if use_case.dates.every == "day":
        # A later version of a row is none of its own: the label takes the first that it sees.
        first, last = min(day for _, day in pairs), max(day for _, day in pairs)
        asked = [pair for pair in scored if first - timedelta(days=VERSIONS) < pair[1] <= last]
    days = module_sql(use_case, "DAYS", optional=True)
    known = f"where (client_id, day) in (select (client_id, day) from ({days}))" if days else ""  # noqa: S608
    statement = f"""
        select client_id, entity_id, as_of_date, day, label::integer as label
        from ({module_sql(use_case, "LABEL")}) inner join _pairs using (client_id, as_of_date) {known}
    """  # noqa: S608 - the use case's own SQL
    for name, judged_at in (("_then", None), ("_now", _now(connection))):
        register_dates(connection, settings, use_case, asked, judged_at)
        _table(connection, name, statement, **parameters(use_case, statement))
    budget = use_case.evaluation.budget_share if use_case.evaluation else None
    _table(
        connection,
        "_outcomes",
        """
        select scores.client_id, scores.model, scores.model_version, scores.entity, scores.entity_id,
            scores.as_of_date, scores.role, _then.label, _now.label as label_now,
            $budget_share::float as budget_share,
            coalesce(_then.day, _now.day) + $matures_after::integer as matured_on,
            horizon.judged_on
        from _scored as scores
        inner join (select client_id, as_of_date as judged_on from ops.horizon) as horizon using (client_id)
        left join _then using (client_id, entity_id, as_of_date)
        left join _now using (client_id, entity_id, as_of_date)
        where scores.model = $model and coalesce(_then.label, _now.label) is not null
        """,
        model=use_case.name,
        matures_after=use_case.matures_after,
        budget_share=budget,
    )
    rows = 0
    schema = warehouse.LAKE_SCHEMAS[KIND]
    for version, day in connection.execute(
        "select distinct model_version, as_of_date from _outcomes order by all"
    ).fetchall():
        found = connection.execute(
            f"select {', '.join(schema.names)} from _outcomes"  # noqa: S608 - our own names
            " where model_version = ? and as_of_date = ? order by client_id, entity_id",
            [version, day],
        ).to_arrow_table()
        with partition(build / "lake", KIND, Pin(use_case.name, day, version, ""), schema) as writer:
            writer.write_table(found.cast(schema))
        rows += found.num_rows
    return rows


def _gather_scores(connection: duckdb.DuckDBPyConnection, build: Path) -> None:
    """Make the table `_scored`: tonight's scores, which dbt has not read yet, and all others."""
    key = "client_id, model, model_version, entity, entity_id, as_of_date, role"
    parts = []
    if any(build.glob("lake/scores/*/*/*/*.parquet")):
        lake = str(build / "lake" / "scores" / "*" / "*" / "*" / "*.parquet").replace("'", "''")
        parts.append(f"select {key} from read_parquet('{lake}', hive_partitioning = false)")  # noqa: S608
    if _has(connection, "marts", "fct_scores"):
        parts.append(f"select {key} from marts.fct_scores")  # noqa: S608 - our own names
    kinds = {"as_of_date": "date"}
    nobody = ", ".join(f"null::{kinds.get(name, 'varchar')} as {name}" for name in key.split(", "))
    connection.execute(
        f"create or replace temp view _scored as {' union '.join(parts) or f'select {nobody} where false'}"
    )


def _scored(connection: duckdb.DuckDBPyConnection, use_case: UseCase) -> list[tuple[str, date]]:
    """(client, as-of date) pairs of the model's scores that have matured."""
    return connection.execute(
        """
        select distinct scores.client_id, scores.as_of_date
        from _scored as scores
        inner join ops.horizon as horizon using (client_id)
        where scores.model = ? and scores.as_of_date + ?::integer <= horizon.as_of_date
        order by all
        """,
        [use_case.name, use_case.matures_after],
    ).fetchall()


def _to_judge(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, scored: Iterable[tuple[str, date]]
) -> list[tuple[str, date]]:
    """Those of the pairs that have no outcome yet, and those whose outcome may be another one now.

    What was told tonight about a day within the horizon may change it. What names no day (a report, a loan)
    may change any, and is looked at in the nights of month-ends.
    """
    known: set[tuple[str, date]] = set()
    if _has(connection, "marts", "fct_outcomes"):
        known.update(
            connection.execute(
                "select distinct client_id, as_of_date from marts.fct_outcomes where model = ?",
                [use_case.name],
            ).fetchall()
        )
    told: list[tuple[str, date | None]] = []
    if _has(connection, "ops", "changed_facts"):
        told = connection.execute(
            "select distinct facts.client_id, facts.business_date from ops.changed_facts as facts"
            " inner join ops.horizon as horizon using (client_id)"
            " where facts.business_date is not null or horizon.as_of_date = last_day(horizon.as_of_date)"
        ).fetchall()
    ahead = timedelta(days=use_case.label.horizon_days if use_case.label else 0)
    behind = timedelta(days=VERSIONS if use_case.dates.every == "day" else 0)

    def may_differ(client: str, day: date) -> bool:
        return any(
            of == client and (about is None or day - behind < about <= day + ahead) for of, about in told
        )

    return [pair for pair in scored if pair not in known or may_differ(*pair)]


def _now(connection: duckdb.DuckDBPyConnection) -> datetime:
    """When everything that the build knows was known: it holds nothing from after a client's own cutoff."""
    found: tuple[datetime] | None = connection.execute("select max(cutoff_at) from ops.horizon").fetchone()
    assert found is not None  # noqa: S101 - an aggregate has a row
    return found[0]


def _table(connection: duckdb.DuckDBPyConnection, name: str, statement: str, **values: Any) -> None:
    connection.execute(f"create or replace temp table {name} as {statement}", values)


def _has(connection: duckdb.DuckDBPyConnection, schema: str, name: str) -> bool:
    return (
        connection.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
            [schema, name],
        ).fetchone()
        is not None
    )
