"""The way back from a row of the warehouse: models, raw records, loads, files and their landing paths."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from nightledger import publications
from nightledger.engineering.comparing import quoted
from nightledger.settings import Settings

RAW = "raw.transactions"


class TraceError(RuntimeError):
    """Nothing can be traced; the message says why and what to give instead."""


@dataclass(frozen=True)
class Landed:
    """Where the bytes of a file lie, and whether they are those that were loaded."""

    path: Path
    state: str


def relation(manifest: Mapping[str, Any], name: str) -> str:
    """The quoted schema and name of a model; `name` may have its schema in front.

    Raises:
        TraceError: the project has no such model.
    """
    for node in manifest["nodes"].values():
        alias = node.get("alias") or node["name"]
        if node["resource_type"] == "model" and name in (alias, f"{node['schema']}.{alias}"):
            return quoted(node["schema"], alias)
    raise TraceError(f"no model is called {name}; `make docs` lists them all")


def models(manifest: Mapping[str, Any], name: str, source: str = RAW) -> list[str]:
    """The models between a source and a model, both ends included, in the order in which data flow.

    Where several ways lead there, the shortest.
    """
    nodes = {**manifest["nodes"], **manifest["sources"]}
    start = next(
        key for key, node in nodes.items() if node["resource_type"] == "model" and node["name"] == name
    )
    queue, before = deque([start]), {start: ""}
    while queue:
        here = queue.popleft()
        node = nodes[here]
        if node["resource_type"] == "source" and f"{node['schema']}.{node['name']}" == source:
            found = []
            while here:
                found.append(f"{nodes[here]['schema']}.{nodes[here]['name']}")
                here = before[here]
            return found
        for parent in node.get("depends_on", {}).get("nodes", []):
            if parent in nodes and parent not in before:
                before[parent] = here
                queue.append(parent)
    return [f"{nodes[start]['schema']}.{nodes[start]['name']}"]


def landed(settings: Settings, sha256: str, *, is_checked: bool) -> Landed:
    """The landed bytes of a file.

    Args:
        settings: of the installation.
        sha256: of the bytes that were loaded.
        is_checked: read them and compare; a large file takes seconds.
    """
    folder = settings.landing / sha256[:2] / sha256
    path = next(iter(sorted(folder.glob("content*"))), folder)
    if not path.is_file():
        return Landed(path, "missing: restore a backup")
    if not is_checked:
        return Landed(path, "there")
    is_same = publications.checksum(path) == sha256
    return Landed(path, "as it was loaded" if is_same else "CHANGED since it was loaded: restore a backup")


TELLINGS = """
    select
        t.transaction_key, t.known_at, t.amount, t.currency, t.status, t.business_date, t._load_id, t._record,
        l.file, l.contract, l.sha256, l.arrived_at
    from raw.transactions as t
    left join ops.loads as l on t._load_id = l.load_id
    where t.transaction_key = $key
    order by t.known_at, t._load_id, t._record
"""
"""Every raw record that told of one transaction, with its file."""


def rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns and rows of a query."""
    answer = connection.execute(sql, dict(parameters or {}))
    return [column[0] for column in answer.description or ()], answer.fetchall()


def records(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Rows of a query by name."""
    names, found = rows(connection, sql, parameters)
    return [dict(zip(names, row, strict=True)) for row in found]
