"""What changed between two publications: `python -m nightledger.engineering.diff [--a ID] [--b ID]`.

Counts by table and column; the rows themselves of the one table that `--table` names.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import duckdb

from nightledger import publications, warehouse
from nightledger.engineering import comparing, printing
from nightledger.engineering.comparing import TableDifference
from nightledger.publications import PublicationError
from nightledger.settings import Settings, SettingsError, read_settings

console = printing.make_console()


def find(settings: Settings, publication_id: str | None) -> Path:
    """Directory of a publication; without an id, of the current one.

    Raises:
        PublicationError: there is no such publication; the message lists those there are.
    """
    there = [row["publication_id"] for row in publications.on_disk(settings)]
    name = publication_id if publication_id and publication_id != "current" else None
    name = name or publications.current_id(settings)
    if name is None:
        raise PublicationError(
            f"nothing has been published in {settings.home} yet: `make demo` makes a first night"
        )
    if name not in there:
        raise PublicationError(f"there is no publication {name}. There are: {', '.join(there) or 'none'}")
    return settings.builds / name


def choose(settings: Settings, a: str | None, b: str | None) -> tuple[Path, Path]:
    """The two publications to compare: by default the current one with the one it was built on.

    Raises:
        PublicationError: one of them is not there, or both are the same.
    """
    after = find(settings, b)
    base = publications.describe(after)["base"]
    if not a and base is None:
        raise PublicationError(
            f"{after.name} was built on nothing; say with what to compare it: make diff A=… B=…"
        )
    before = find(settings, a or base)
    if before == after:
        raise PublicationError(f"{after.name} cannot differ from itself; name two: make diff A=… B=…")
    return before, after


def tables_of(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[tuple[str, str]]:
    """(schema, name) of every table of a publication that says something about the business."""
    rows = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = ? and not internal"
        " order by all",
        [catalog],
    ).fetchall()
    return [row for row in rows if row[0] not in warehouse.UNHASHED_SCHEMAS]


def diff(settings: Settings, before: Path, after: Path, only: str | None, limit: int) -> bool:
    """Print what differs; returns whether both say the same.

    Args:
        settings: of the installation.
        before: directory of a publication.
        after: directory of another one.
        only: `schema.table` to compare, row by row; None: all of them, counts only.
        limit: rows and values of that table to show at most.

    Raises:
        PublicationError: neither has the table.
    """
    console.print(f"From {before.name} (A) to {after.name} (B):\n")
    hashes = [publications.describe(path).get("tables", {}) for path in (before, after)]
    keys = comparing.keys(_manifest(before)) | comparing.keys(_manifest(after))
    with warehouse.connect(after, settings=settings) as connection:
        literal = str(before / warehouse.FILE).replace("'", "''")
        connection.execute(f"attach '{literal}' as before (read_only)")
        old, new = tables_of(connection, "before"), tables_of(connection, "warehouse")
        names = sorted({*old, *new})
        if only is not None:
            names = [name for name in names if only in (".".join(name), name[1])]
            if not names:
                raise PublicationError(f"neither publication has a table {only}; give one as schema.table")
        found: list[TableDifference] = []
        for name in names:
            table = ".".join(name)
            one_sided = _one_sided(connection, name, name in old, name in new)
            if one_sided is not None:
                found.append(one_sided)
            elif hashes[0].get(table) is not None and hashes[0].get(table) == hashes[1].get(table):
                rows = hashes[0][table][0]
                found.append(TableDifference(table, rows, rows))
            else:
                versions = (("before", *name), ("warehouse", *name))
                found.append(comparing.compare(connection, *versions, keys.get(table, ())))
                if only is not None:
                    printing.show_rows(console, connection, found[-1], versions, ("A", "B"), limit)
                    console.print()
        printing.show_differences(console, found, ("A", "B"))
    differing = sum(not difference.is_equal for difference in found)
    if differing and only is None:
        console.print("The rows of one of them: make diff … TABLE=schema.table [ROWS=10]")
    return not differing


def _manifest(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    return content


def _one_sided(
    connection: duckdb.DuckDBPyConnection, name: tuple[str, str], in_old: bool, in_new: bool
) -> TableDifference | None:
    """A table that only one of the two has."""
    if in_old and in_new:
        return None
    relation = comparing.quoted("warehouse" if in_new else "before", *name)
    row = connection.execute(f"select count(*) from {relation}").fetchone() or (0,)  # noqa: S608 - quoted
    old, new = (0, row[0]) if in_new else (row[0], 0)
    said = ["only B has this table" if in_new else "only A has this table"]
    return TableDifference(".".join(name), old, new, added=new, removed=old, key=("",), shape=said)


def main(arguments: list[str] | None = None) -> int:
    """Compare two publications; returns the exit code: 1 when something is wrong, not when they differ."""
    parser = argparse.ArgumentParser(prog="nightledger.engineering.diff", description=__doc__)
    parser.add_argument("--a", help="publication id; default: the one that B was built on")
    parser.add_argument("--b", help="publication id; default: the current one")
    parser.add_argument("--table", help="show the rows of this table that differ")
    parser.add_argument("--rows", type=int, default=10, help="rows to show at most")
    given = parser.parse_args(arguments)
    try:
        settings = read_settings()
        diff(settings, *choose(settings, given.a, given.b), given.table or None, max(given.rows, 0))
    except (PublicationError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
