"""The audit of a night: every check, its severity and threshold stand in `audit.yml`."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import duckdb
import yaml
from pydantic import BaseModel, ConfigDict

from nightledger.dbt.runner import WHOLE_TABLES
from nightledger.ingestion.feeds import BY_SOURCE

log = logging.getLogger(__name__)

SHOWN = 5
"""Violations that a message shows; the check's SQL gives them all."""


class AuditFailed(RuntimeError):
    """A check of severity `error` found violations; the night is not published."""


class Check(BaseModel):
    """One check: its SQL returns one row for each violation, and names the load where one is to blame."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    severity: Literal["error", "warn"]
    allowed: int = 0
    next_action: str
    sql: str


@cache
def load_checks() -> tuple[Check, ...]:
    """The checks of `audit.yml`, in order."""
    content = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text())
    return tuple(Check(**check) for check in content["checks"])


def run_checks(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    """Run every check on an open build.

    Returns:
        One row a check: check, severity, status (`passed`, `failed`), violations, detail.
    """
    prepare(connection, run_id)
    results = []
    for check in load_checks():
        cursor = connection.execute(check.sql)
        names = [column[0] for column in cursor.description or []]
        rows = cursor.fetchall()
        failed = len(rows) > check.allowed
        shown = "; ".join(
            ", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True))
            for row in rows[:SHOWN]
        )
        detail = f"{check.description}: {shown}. Next: {check.next_action}" if rows else check.description
        results.append(
            {
                "check": check.name,
                "severity": check.severity,
                "status": "failed" if failed else "passed",
                "violations": len(rows),
                "detail": detail,
            }
        )
        log.log(
            logging.WARNING if failed else logging.INFO, "audit %s: %s", check.name, results[-1]["status"]
        )
    return results


def prepare(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Make what the checks' SQL names and no step of the night has made."""
    connection.execute("set variable run_id = ?", [run_id])
    _list_audited_days(connection, run_id)
    _count_rows_of_sources(connection)


def _list_audited_days(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Make `audited_days` (client_id, business_date): all there are where dbt's tests read whole tables, else
    those that the night touches; the others were audited when they were built."""
    connection.execute(
        """
        create or replace temp table audited_days as
        select client_id, business_date from ops.touched_days
        union
        select client_id, business_date from raw.transactions
        where exists (
            select 1 from operations.stages
            where run_id = $run_id and json_extract_string(detail, '$.tests') = $whole)
        """,
        {"run_id": run_id, "whole": WHOLE_TABLES},
    )


def _count_rows_of_sources(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `rows_of_sources` (_load_id, feed, n): rows of the tables that no fixed SQL can name."""
    tables = connection.execute(
        "select table_name, feed from ops.raw_tables where list_contains($feeds, feed) order by 1",
        {"feeds": list(BY_SOURCE)},
    ).fetchall()
    counts = [
        f"""select _load_id, '{feed}' as feed, count(*) as n from raw."{table}" group by 1"""  # noqa: S608
        for table, feed in tables
    ]
    nothing = "select null::varchar as _load_id, null::varchar as feed, 0::bigint as n where false"
    connection.execute(
        f"create or replace temp table rows_of_sources as {' union all '.join([nothing, *counts])}"
    )


def raise_for(results: Sequence[dict[str, Any]]) -> None:
    """Raise when a check that blocks publication failed.

    Raises:
        AuditFailed: names each such check with its first violations and the next action.
    """
    bad = [row for row in results if row["severity"] == "error" and row["status"] == "failed"]
    if bad:
        lines = "\n".join(f"- {row['check']} ({row['violations']}): {row['detail']}" for row in bad)
        raise AuditFailed(f"the audit stopped publication; readers keep the last publication.\n{lines}")


def summarise(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts for the log and the report."""
    warned = [row["check"] for row in results if row["status"] == "failed"]
    return {"checks": len(results), "passed": len(results) - len(warned), "warned": warned}
