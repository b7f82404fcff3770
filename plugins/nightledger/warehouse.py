"""The one way to open a warehouse, and what Python parts exchange with it."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from nightledger.settings import Settings

FILE = "warehouse.duckdb"
"""Views embed the catalog's name, which is the stem of the file: it never changes."""

STORAGE = "storage_version 'v1.5.0'"
"""Newest format of the pinned DuckDB, which every reader has: a fifth faster to write than the oldest one."""

RUN_SCHEMAS = ("operations", "ops")
"""Facts about runs, which dbt does not make."""

UNHASHED_SCHEMAS = (*RUN_SCHEMAS, "as_of")
"""Not what a publication says: `as_of` holds the dates that a night builds, and a night that makes up for
another builds more of them."""

_SCORED = [
    ("client_id", pa.string()),
    ("model", pa.string()),
    ("model_version", pa.string()),
    ("entity", pa.string()),
    ("entity_id", pa.string()),
    ("as_of_date", pa.date32()),
]
LAKE_SCHEMAS: dict[str, pa.Schema] = {
    "scores": pa.schema(
        [
            *_SCORED,
            ("role", pa.string()),
            ("score", pa.float32()),
            ("margin", pa.float32()),
            ("band", pa.string()),
            ("confidence", pa.float32()),
            ("score_lo", pa.float32()),
            ("score_hi", pa.float32()),
            ("support", pa.int64()),
            ("is_out_of_range", pa.bool_()),
            ("exposure", pa.decimal128(18, 4)),
            ("expected_value", pa.decimal128(18, 4)),
            ("receipt_id", pa.string()),
        ]
    ),
    "reasons": pa.schema(
        [
            *_SCORED,
            ("rank", pa.int32()),
            ("feature", pa.string()),
            ("reason_code", pa.string()),
            ("value", pa.float32()),
            ("contribution", pa.float32()),
            ("text", pa.string()),
        ]
    ),
    "what_if": pa.schema(
        [
            *_SCORED,
            ("rank", pa.int32()),
            ("feature", pa.string()),
            ("value", pa.float32()),
            ("typical", pa.float32()),
            ("score", pa.float32()),
            ("score_without", pa.float32()),
        ]
    ),
    "profiles": pa.schema(
        [
            ("client_id", pa.string()),
            ("model", pa.string()),
            ("model_version", pa.string()),
            ("role", pa.string()),
            ("as_of_date", pa.date32()),
            ("feature", pa.string()),
            ("bin", pa.int32()),
            ("bin_kind", pa.string()),
            ("upper_edge", pa.float32()),
            ("rows", pa.int64()),
            ("training_rows", pa.int64()),
            ("last_year_rows", pa.int64()),
            ("last_year_date", pa.date32()),
            ("usual_psi", pa.float32()),
        ]
    ),
    "outcomes": pa.schema(
        [
            *_SCORED,
            ("role", pa.string()),
            ("label", pa.int32()),
            ("label_now", pa.int32()),
            ("budget_share", pa.float32()),
            ("matured_on", pa.date32()),
            ("judged_on", pa.date32()),
        ]
    ),
    "segments": pa.schema(
        [
            ("client_id", pa.string()),
            ("model", pa.string()),
            ("model_version", pa.string()),
            ("role", pa.string()),
            ("customer_id", pa.string()),
            ("as_of_date", pa.date32()),
            ("segment_id", pa.int32()),
            ("name", pa.string()),
            ("state", pa.string()),
            ("distance", pa.float32()),
        ]
    ),
    "lifetime_values": pa.schema(
        [
            ("client_id", pa.string()),
            ("model", pa.string()),
            ("model_version", pa.string()),
            ("role", pa.string()),
            ("customer_id", pa.string()),
            ("measure", pa.string()),
            ("band", pa.string()),
            ("probability_alive", pa.float32()),
            ("expected_visits", pa.float32()),
            ("expected_value_each", pa.decimal128(18, 4)),
            ("lifetime_value", pa.decimal128(18, 4)),
            ("as_of_date", pa.date32()),
        ]
    ),
    "life_event_ranks": pa.schema(
        [
            ("client_id", pa.string()),
            ("model", pa.string()),
            ("model_version", pa.string()),
            ("role", pa.string()),
            ("customer_id", pa.string()),
            ("event", pa.string()),
            ("score", pa.float32()),
            ("as_of_date", pa.date32()),
        ]
    ),
    "forecasts": pa.schema(
        [
            ("client_id", pa.string()),
            ("model", pa.string()),
            ("model_version", pa.string()),
            ("role", pa.string()),
            ("measure", pa.string()),
            ("level", pa.string()),
            ("entity", pa.string()),
            ("category", pa.string()),
            ("grain", pa.string()),
            ("method", pa.string()),
            ("yhat", pa.decimal128(18, 4)),
            ("lo80", pa.decimal128(18, 4)),
            ("hi80", pa.decimal128(18, 4)),
            ("lo95", pa.decimal128(18, 4)),
            ("hi95", pa.decimal128(18, 4)),
            ("target", pa.date32()),
            ("as_of_date", pa.date32()),
        ]
    ),
}
"""What the night's models hand to dbt. Vectors are archived beside them and are not read by dbt."""

SCORE_KINDS = ("scores", "reasons", "what_if")
"""What a model that gives scores writes of them."""


def empty_lake(build: Path) -> None:
    """Make the lake of a build with one empty typed file of each kind, so that dbt's globs find one."""
    for kind, schema in LAKE_SCHEMAS.items():
        folder = build / "lake" / kind / "model=_empty" / "version=_empty" / "as_of=1970-01-01"
        folder.mkdir(parents=True)
        pq.write_table(schema.empty_table(), folder / "part.parquet")


def publication_path(settings: Settings) -> Path | None:
    """Directory of the current publication with the pointer resolved, or None before the first one."""
    pointer = settings.builds / "current"
    return pointer.resolve(strict=True) if pointer.is_symlink() else None


def connect(
    path: Path, *, read_only: bool = True, settings: Settings | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a warehouse and make it the default catalog, under the name `warehouse`.

    Args:
        path: a build or publication directory, or the warehouse file itself. Symlinks are resolved now, so a
            connection keeps reading the publication it was opened on.
        read_only: only the tasks of the open night may pass False.
        settings: threads and memory limit; the defaults of `Settings` otherwise.

    Raises:
        duckdb.IOException: another process holds the file.
        FileNotFoundError: a warehouse to be read does not exist.
    """
    settings = settings or Settings()
    file = (path / FILE if path.suffix != ".duckdb" else path).resolve()
    if read_only and not file.exists():
        raise FileNotFoundError(f"no warehouse at {file}")
    connection = duckdb.connect(":memory:")
    connection.execute(f"set threads = {settings.threads:d}")
    connection.execute("set memory_limit = ?", [settings.memory_limit])
    connection.execute("set temp_directory = ?", [str(settings.spill)])
    connection.execute("set autoinstall_known_extensions = false")
    connection.execute("set enable_progress_bar = false")
    connection.execute("set timezone = 'UTC'")
    literal = str(file).replace("'", "''")
    connection.execute(f"attach '{literal}' as warehouse ({'read_only' if read_only else STORAGE})")
    connection.execute("use warehouse")
    return connection


def relations(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """(schema, name, type) of every table and view of the warehouse, in order."""
    return connection.execute(
        "select table_schema, table_name, table_type from information_schema.tables"
        " where table_catalog = 'warehouse' order by all"
    ).fetchall()


def content_hash(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Hash of what the warehouse says, table by table.

    A table's hash is its row count and the sum of its rows' hashes over the columns that do not begin with
    `_`; the order of rows does not matter. Views and `UNHASHED_SCHEMAS` are left out.

    Returns:
        `{"tables": {"schema.table": [rows, hash]}, "hash": str}`.
    """
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, name, column in connection.execute(
        "select schema_name, table_name, column_name from duckdb_columns()"
        " where database_name = 'warehouse' and not starts_with(column_name, '_') order by all"
    ).fetchall():
        columns.setdefault((schema, name), []).append(f'"{column}"')
    tables: dict[str, list[Any]] = {}
    for schema, name, kind in relations(connection):
        if schema in UNHASHED_SCHEMAS or kind != "BASE TABLE":
            continue
        row = connection.execute(
            f"select count(*), coalesce(sum(hash({', '.join(columns[schema, name])})), 0)::varchar"  # noqa: S608
            f' from "{schema}"."{name}"'
        ).fetchone()
        tables[f"{schema}.{name}"] = list(row or ())
    digest = connection.execute("select sha256(?)", [repr(sorted(tables.items()))]).fetchone()
    return {"tables": tables, "hash": digest[0] if digest else ""}
