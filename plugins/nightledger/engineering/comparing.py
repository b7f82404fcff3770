"""What differs between two versions of a table: rows by their key, and values by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import duckdb

Relation = tuple[str, str, str]
"""Catalog, schema and name."""
MONEY = ("DECIMAL(18,4)", "DECIMAL(38,4)")


@dataclass(frozen=True)
class ColumnDifference:
    """A column whose value differs in some rows that both versions have.

    `largest` is the largest difference of a number, None for other types and where one side is null.
    """

    name: str
    rows: int
    largest: Decimal | float | int | None = None


@dataclass(frozen=True)
class Totals:
    """A column of money, summed over all rows of a part (a client, or its level) in each version."""

    name: str
    part: str
    before: Decimal | None
    after: Decimal | None


@dataclass(frozen=True)
class TableDifference:
    """What differs between two versions of one table.

    Without a key no row can be said to have changed: it is one that is gone and one that is new.
    """

    table: str
    rows_before: int
    rows_after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    key: tuple[str, ...] = ()
    columns: list[ColumnDifference] = field(default_factory=list)
    totals: list[Totals] = field(default_factory=list)
    shape: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether both versions say the same."""
        return not (self.added or self.removed or self.changed or self.shape)


def keys(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The key of each table as the dbt project tests it, by `schema.name`."""
    found: dict[str, tuple[str, ...]] = {}
    for node in manifest["nodes"].values():
        test = node.get("test_metadata") or {}
        model = manifest["nodes"].get(node.get("attached_node") or "")
        if model is None or test.get("name") != "primary_key":
            continue
        table = f"{model['schema']}.{model.get('alias') or model['name']}"
        columns = test["kwargs"].get("columns")
        if columns or table not in found:
            found[table] = tuple(columns or [test["kwargs"]["column_name"]])
    for source in manifest["sources"].values():
        if {"_load_id", "_record"} <= source["columns"].keys():
            found[f"{source['schema']}.{source['identifier']}"] = ("_load_id", "_record")
    return found


def columns_of(connection: duckdb.DuckDBPyConnection, relation: Relation) -> dict[str, str]:
    """Type of each column of a table or view, in order."""
    return dict(
        connection.execute(
            "select column_name, data_type from duckdb_columns()"
            " where database_name = ? and schema_name = ? and table_name = ? order by column_index",
            list(relation),
        ).fetchall()
    )


def quoted(*names: str) -> str:
    """Names of a catalog, schema, table or column as SQL has them."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def compare(
    connection: duckdb.DuckDBPyConnection, before: Relation, after: Relation, key: Sequence[str]
) -> TableDifference:
    """Compare two versions of a table and leave their differing rows in the table `temp.differing`.

    Columns that begin with `_` say how a row was made, not what it says: they are left out, unless the key
    needs them.

    Args:
        connection: sees both.
        before: the one that counts.
        after: the one that is judged.
        key: columns that make a row unique; a key that does not is left aside.
    """
    old, new = columns_of(connection, before), columns_of(connection, after)
    known = [name for name in old if name in new and (not name.startswith("_") or name in key)]
    has_key = bool(key) and all(name in known for name in key)
    has_key = has_key and all(_is_unique(connection, relation, key) for relation in (before, after))
    counts = [_one(connection, f"select count(*) from {quoted(*relation)}") for relation in (before, after)]  # noqa: S608
    found = TableDifference(
        table=".".join(after[1:]),
        rows_before=counts[0][0],
        rows_after=counts[1][0],
        key=tuple(key) if has_key else (),
        shape=_shape(old, new),
    )
    values = [name for name in known if not (has_key and name in key)]
    if not has_key:
        return _compare_rows(connection, before, after, known, found)
    _find_differing(connection, before, after, key, values)
    added, removed, changed = _one(
        connection,
        "select count(*) filter (where fate = 'added'), count(*) filter (where fate = 'removed'),"
        " count(*) filter (where fate = 'changed') from temp.differing",
    )
    columns = (
        _columns(connection, before, after, key, {name: new[name] for name in values}) if changed else []
    )
    money = [name for name in values if new[name] in MONEY and old[name] in MONEY]
    moved = money if added or removed else [column.name for column in columns if column.name in money]
    totals = _totals(connection, before, after, moved, known)
    return TableDifference(
        **{
            **vars(found),
            "added": added,
            "removed": removed,
            "changed": changed,
            "columns": columns,
            "totals": totals,
        }
    )


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return connection.execute(sql).fetchone() or ()


def _shape(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What is said of columns that only one version has, or that have another type."""
    said = [f"new column {name} ({new[name]})" for name in new if name not in old]
    said += [f"column {name} is gone" for name in old if name not in new]
    said += [
        f"column {name} is {new[name]}, it was {old[name]}"
        for name in old
        if name in new and old[name] != new[name]
    ]
    return said


def _is_unique(connection: duckdb.DuckDBPyConnection, relation: Relation, key: Sequence[str]) -> bool:
    names = ", ".join(quoted(name) for name in key)
    doubled = f"select 1 from {quoted(*relation)} group by {names} having count(*) > 1 limit 1"  # noqa: S608
    return connection.execute(doubled).fetchone() is None


def _find_differing(
    connection: duckdb.DuckDBPyConnection,
    before: Relation,
    after: Relation,
    key: Sequence[str],
    values: Sequence[str],
) -> None:
    """Make `temp.differing`: the key of each row that differs, and its fate.

    Only keys and hashes are joined, so that wide tables fit into memory.
    """
    names = ", ".join(quoted(name) for name in key)
    hashed = f"hash({', '.join(quoted(name) for name in values)})" if values else "0"
    matches = " and ".join(f"b.{quoted(name)} is not distinct from a.{quoted(name)}" for name in key)
    either = ", ".join(f"coalesce(a.{quoted(name)}, b.{quoted(name)}) as {quoted(name)}" for name in key)
    connection.execute(
        f"create or replace temp table differing as select {either},"  # noqa: S608 - quoted names
        " case when b.h is null then 'added' when a.h is null then 'removed' else 'changed' end as fate"
        f" from (select {names}, {hashed} as h from {quoted(*before)}) as b"
        f" full join (select {names}, {hashed} as h from {quoted(*after)}) as a on {matches}"
        " where a.h is distinct from b.h"
    )


def pairs(before: Relation, after: Relation, key: Sequence[str]) -> str:
    """The rows of `temp.differing` that both versions have, as SQL: d with the key, b before and a after."""
    b, a = (
        f"join {quoted(*relation)} as {name} on "
        + " and ".join(f"{name}.{quoted(part)} is not distinct from d.{quoted(part)}" for part in key)
        for name, relation in (("b", before), ("a", after))
    )
    return f"(select * from temp.differing where fate = 'changed') as d {b} {a}"  # noqa: S608


def _columns(
    connection: duckdb.DuckDBPyConnection,
    before: Relation,
    after: Relation,
    key: Sequence[str],
    values: Mapping[str, str],
) -> list[ColumnDifference]:
    parts = []
    for name, data_type in values.items():
        b, a = f"b.{quoted(name)}", f"a.{quoted(name)}"
        parts.append(f"count(*) filter (where {a} is distinct from {b})")
        parts.append(f"max(abs({a} - {b}))" if _is_number(data_type) else "null")
    row = _one(connection, f"select {', '.join(parts)} from {pairs(before, after, key)}")  # noqa: S608
    found = [
        ColumnDifference(name, row[2 * place], row[2 * place + 1] or None)
        for place, name in enumerate(values)
        if row[2 * place]
    ]
    return sorted(found, key=lambda column: (-column.rows, column.name))


def _is_number(data_type: str) -> bool:
    return data_type.startswith(("DECIMAL", "FLOAT", "DOUBLE", "HUGEINT", "UHUGEINT")) or (
        data_type.endswith("INT") or data_type.endswith("INTEGER")
    )


def _totals(
    connection: duckdb.DuckDBPyConnection,
    before: Relation,
    after: Relation,
    names: Sequence[str],
    known: Sequence[str],
) -> list[Totals]:
    """The sums that are no longer the same.

    Clients have their own currencies, and an aggregate says the same money on each of its levels: over these
    nothing is added up.
    """
    apart = [quoted(name) for name in ("client_id", "level") if name in known]
    sums = ", ".join(["", *(f"sum({quoted(name)})" for name in names)])
    whose = f"concat_ws(' ', {', '.join(apart)})" if apart else "''"
    sides: list[dict[str, tuple[Any, ...]]] = []
    for relation in (before, after) if names else ():
        sql = f"select {whose}{sums} from {quoted(*relation)} group by 1"  # noqa: S608 - quoted names
        sides.append({row[0]: row[1:] for row in connection.execute(sql).fetchall()})
    nothing = (None,) * len(names)
    return [
        Totals(name, part, old, new)
        for part in sorted({part for side in sides for part in side})
        for name, old, new in zip(
            names, sides[0].get(part, nothing), sides[1].get(part, nothing), strict=True
        )
        if old != new
    ]


def _compare_rows(
    connection: duckdb.DuckDBPyConnection,
    before: Relation,
    after: Relation,
    known: Sequence[str],
    found: TableDifference,
) -> TableDifference:
    """Compare as two bags of rows; `temp.differing` gets the rows themselves."""
    names = ", ".join(quoted(name) for name in known)
    b, a = (f"(select {names} from {quoted(*relation)})" for relation in (before, after))  # noqa: S608
    connection.execute(
        "create or replace temp table differing as"  # noqa: S608 - quoted names
        f" select *, 'added' as fate from ({a} except all {b})"
        f" union all select *, 'removed' as fate from ({b} except all {a})"
    )
    added, removed = _one(
        connection,
        "select count(*) filter (where fate = 'added'), count(*) filter (where fate = 'removed')"
        " from temp.differing",
    )
    return TableDifference(**{**vars(found), "added": added, "removed": removed})
