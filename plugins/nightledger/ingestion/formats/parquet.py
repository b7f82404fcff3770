"""Parquet: every column as text without loss, by the database; fields of structs get dotted names.

Decimals, whole numbers, dates and times are written in full, times with a zone as UTC with its offset;
floating numbers with the fewest digits that name them, never with an exponent. Lists and maps become JSON.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb

from nightledger.ingestion.formats import Table, Unreadable

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

MAX_EXPANSION = 200
"""A file whose text is more than so many times its size is a bomb, once it is over SMALL bytes."""
SMALL = 64 << 20
ROWS_AT_ONCE = 10_000
CONTROL = "[\\x00\\x1e\\x1f]"
_SOURCE = "read_parquet($path, binary_as_string = true)"


def read(path: Path, form: "FileFormat") -> Table:
    """The table of a file.

    Raises:
        Unreadable: it is no Parquet, is damaged, or is a bomb.
    """
    _check_name(path)
    with _connection() as connection:
        columns = _columns(connection, path)
        _check(connection, path, columns)
    return Table(tuple(columns), _rows(path, columns))


def copy(path: Path, target: Path, accept: Callable[[tuple[str, ...]], None]) -> tuple[str, ...]:
    """Write the table as CSV without a detour by way of Python.

    Args:
        path: landed file.
        target: file to write.
        accept: is given the names before any row is read; raises to stop.

    Returns:
        The names of the columns.

    Raises:
        Unreadable: it is no Parquet, is damaged, or is a bomb.
    """
    _check_name(path)
    with _connection() as connection:
        columns = _columns(connection, path)
        accept(tuple(columns))
        _check(connection, path, columns)
        _execute(
            connection,
            f"copy ({_select(columns)}) to $target (format csv, header, delimiter ',', quote '\"')",
            {"path": str(path), "target": str(target)},
        )
    return tuple(columns)


def _check_name(path: Path) -> None:
    if path.suffix.lower() == ".gz":
        raise Unreadable(
            "is Parquet inside gzip, which cannot be read in parts",
            "ask the sender for the Parquet file itself; it is compressed already",
        )


def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"memory_limit": "1GB", "temp_directory": ""})
    connection.execute("set TimeZone = 'UTC'")
    return connection


def _rows(path: Path, columns: dict[str, str]) -> Iterator[tuple[str | None, ...]]:
    with _connection() as connection:
        _execute(connection, _select(columns), {"path": str(path)})
        try:
            while rows := connection.fetchmany(ROWS_AT_ONCE):
                yield from rows
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise _damaged() from error


def _execute(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, str]
) -> duckdb.DuckDBPyConnection:
    try:
        return connection.execute(sql, parameters)
    except duckdb.Error as error:
        is_full = isinstance(error, duckdb.IOException) and "write" in str(error).lower()
        if is_full or isinstance(error, duckdb.OutOfMemoryException):
            raise  # the fault of the machine; a damaged file comes as any other kind of error
        raise _damaged() from error


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """SQL for the text of every column by name, in the order of the file."""
    source = _SOURCE.replace("$path", _literal(str(path)))  # a view takes no parameters
    _execute(connection, f"create temp view sample as from {source}", {})
    relation = connection.table("sample")
    columns: dict[str, str] = {}
    try:
        names = relation.columns
    except UnicodeDecodeError as error:
        raise _damaged() from error
    for name, kind in zip(names, relation.types, strict=True):
        _add(columns, name, _identifier(name), kind)
    return columns


def _add(columns: dict[str, str], name: str, value: str, kind: duckdb.sqltypes.DuckDBPyType) -> None:
    """Add a column, or for a struct its fields."""
    if kind.id == "struct":
        for field, inner in cast("list[tuple[str, duckdb.sqltypes.DuckDBPyType]]", kind.children):
            _add(columns, f"{name}.{field}", f"struct_extract({value}, {_literal(field)})", inner)
        return
    if name in columns:
        raise Unreadable("the column stands twice", "ask the sender which one counts", column=name[:80])
    columns[name] = _text(value, kind.id)


def _text(value: str, kind: str) -> str:
    if kind in ("list", "array", "map", "union", "variant"):
        return f"cast(to_json({value}) as varchar)"
    text = f"cast({value} as varchar)"
    if kind not in ("float", "double"):
        return text
    digits = f"replace(regexp_extract({text}, '^-?([0-9.]+)e', 1), '.', '')"
    power = f"cast(regexp_extract({text}, 'e([+-][0-9]+)$', 1) as integer)"
    # The database writes an exponent from 17 digits on, so what is left of the point is all there is.
    return f"""case
        when {value} is null then null
        when not contains({text}, 'e') then regexp_replace({text}, '\\.0$', '')
        when {value} < 0 then '-' else '' end || case when contains({text}, 'e') then case
        when {power} >= 0 then rpad({digits}, {power} + 1, '0')
        else '0.' || repeat('0', -{power} - 1) || {digits} end else '' end"""


def _select(columns: dict[str, str]) -> str:
    texts = ", ".join(f"{sql} as {_identifier(name)}" for name, sql in columns.items())
    return f"select {texts} from {_SOURCE}"  # noqa: S608 - names are quoted


def _check(connection: duckdb.DuckDBPyConnection, path: Path, columns: dict[str, str]) -> None:
    """Refuse a bomb, and characters that no text holds.

    A few bytes of Parquet can stand for millions of equal rows.
    """
    if not columns:
        raise Unreadable("has no columns", "ask the sender what the file is")
    limit = max(SMALL, MAX_EXPANSION * path.stat().st_size)
    if _look(connection, path, "count(*)") * len(columns) > limit:
        raise _bomb()
    texts = list(columns.values())
    if (
        _look(connection, path, f"sum({' + '.join(f'coalesce(strlen({text}), 0) + 1' for text in texts)})")
        > limit
    ):
        raise _bomb()
    control = " or ".join(f"regexp_matches({text}, '{CONTROL}')" for text in texts)
    if _look(connection, path, f"count(*) filter (where {control})"):
        raise Unreadable(
            "holds control characters, so it is not text", "ask the sender for the file without them"
        )


def _look(connection: duckdb.DuckDBPyConnection, path: Path, measure: str) -> int:
    """A figure about all rows."""
    row = _execute(connection, f"select {measure} from {_SOURCE}", {"path": str(path)}).fetchone()  # noqa: S608
    return int(row[0] or 0) if row else 0


def _damaged() -> Unreadable:
    return Unreadable("is no Parquet, or is damaged", "ask the sender to send it again")


def _bomb() -> Unreadable:
    return Unreadable(
        f"unpacks to more than {MAX_EXPANSION} times its size", "ask the sender for the file in parts"
    )


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
