"""How differences and traces are shown: tables in a terminal, where no text of a stranger does anything."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nightledger.engineering.comparing import Relation, TableDifference, pairs, quoted
from nightledger.ingestion.messages import inert

LONGEST = 80
"""A longer text is cut: a table is for reading."""
WIDEST = 12
"""A table of more columns is turned: they become its rows."""


def make_console() -> Console:
    """A console of a readable width, in a log file or a pipe too."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    return console


def cell(value: object) -> Text:
    """A value as a cell."""
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Decimal):
        return Text(f"{money(value)}")
    if isinstance(value, float):
        return Text(f"{value:.6g}")
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%S}")
    if isinstance(value, date):
        return Text(value.isoformat())
    text = inert(str(value))
    return Text(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def money(value: Decimal) -> str:
    """An amount to the cent, and to its last decimal where it has more."""
    cents = value.quantize(Decimal("0.01"))
    return f"{cents if cents == value else value.normalize():,}"


def show(console: Console, title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table under its title, or nothing when it has no rows."""
    listed = [list(row) for row in rows]
    if listed:
        console.print(Text(f"\n{title}", style="bold"))
        console.print(table("", headings, listed))


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table; a column whose values are all numbers stands to the right, and a wide one on its side."""
    listed = [list(row) for row in rows]
    if len(headings) > WIDEST:
        listed = [[name, *values] for name, *values in zip(headings, *listed, strict=True)]
        headings = ["", *(f"{number}" for number in range(1, len(listed[0])))]
    made = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_header=any(headings),
    )
    for place, heading in enumerate(headings):
        values = [row[place] for row in listed if row[place] is not None]
        numeric = bool(values) and all(
            isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in values
        )
        made.add_column(Text(heading), justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        made.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return made


def show_differences(console: Console, found: Sequence[TableDifference], names: tuple[str, str]) -> None:
    """One line for each table that differs, and one for each of its columns.

    Args:
        console: where to.
        found: what was compared.
        names: what the two versions are called.
    """
    differing = [difference for difference in found if not difference.is_equal]
    equal = len(found) - len(differing)
    if differing:
        made = Table(box=None, pad_edge=False)
        made.add_column("table, column", overflow="fold")
        for heading in (f"rows {names[0]}", f"rows {names[1]}", "new", "gone", "changed", "by at most"):
            made.add_column(Text(heading), justify="right")
        for difference in differing:
            _add_difference(made, difference, names)
        console.print(made)
    if equal:
        console.print(f"[green]{equal:,} {'table says' if equal == 1 else 'tables say'} the same.[/]")


def _add_difference(made: Table, difference: TableDifference, names: tuple[str, str]) -> None:
    keyed = bool(difference.key)
    made.add_row(
        Text(difference.table, style="bold"),
        *(f"{number:,}" for number in (difference.rows_before, difference.rows_after)),
        *(f"{number:,}" for number in (difference.added, difference.removed)),
        f"{difference.changed:,}" if keyed else "",
        "",
    )
    for column in difference.columns:
        largest = "" if column.largest is None else cell(column.largest)
        made.add_row(Text(f"  {column.name}"), "", "", "", "", f"{column.rows:,}", largest)
    for total in difference.totals:
        sums = " → ".join(money(value or Decimal(0)) for value in (total.before, total.after))
        whose = f" of {total.part}" if total.part else ""
        made.add_row(Text(inert(f"  sum of {total.name}{whose}: {sums}"), style="cyan"), *[""] * 6)
    for words in difference.shape:
        made.add_row(Text(f"  {words}", style="yellow"), *[""] * 6)
    if not keyed:
        made.add_row(Text("  no unique key: a changed row is one gone and one new", style="dim"), *[""] * 6)


def _whole_rows(
    connection: duckdb.DuckDBPyConnection, version: Relation, key: Sequence[str], fate: str, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Rows that only one version has, with all their values."""
    rows, order = "temp.differing as d", "all"
    values = "d.* exclude (fate)"
    if key:
        same = " and ".join(f"v.{quoted(part)} is not distinct from d.{quoted(part)}" for part in key)
        rows = f"{rows} join {quoted(*version)} as v on {same}"
        values, order = "v.*", ", ".join(f"d.{quoted(part)}" for part in key)
    answer = connection.execute(
        f"select {values} from {rows} where d.fate = ? order by {order} limit {limit:d}",  # noqa: S608
        [fate],
    )
    return [column[0] for column in answer.description or ()], answer.fetchall()


def show_rows(
    console: Console,
    connection: duckdb.DuckDBPyConnection,
    difference: TableDifference,
    versions: tuple[Relation, Relation],
    names: tuple[str, str],
    limit: int,
) -> None:
    """The first differing rows of the table compared last, value by value where it has a key."""
    for fate, word in (("added", "new"), ("removed", "gone")):
        number = getattr(difference, fate)
        if not number or not limit:
            continue
        version = versions[fate == "added"]
        headings, found = _whole_rows(connection, version, difference.key, fate, limit)
        title = f"{difference.table}: {min(number, limit):,} of {number:,} rows that are {word}"
        show(console, title, headings, found)
    if not difference.columns or not limit:
        return
    lines = []
    key = ", ".join(f"d.{quoted(name)}" for name in difference.key)
    for column in difference.columns:
        values = f"b.{quoted(column.name)}, a.{quoted(column.name)}"
        rows = connection.execute(
            f"select {key}, {values} from {pairs(*versions, difference.key)}"  # noqa: S608 - quoted names
            f" where a.{quoted(column.name)} is distinct from b.{quoted(column.name)}"
            f" order by {key} limit {limit:d}"
        ).fetchall()
        lines += [[*row[:-2], column.name, *row[-2:]] for row in rows]
    title = f"{difference.table}: values that differ, {limit} rows a column at most"
    show(console, title, [*difference.key, "column", *names], lines)
