"""Build changed models on a private copy of the publication and show what differs from what is published.

`python -m nightledger.engineering.dbt_dev [--select "stg_x int_y"]`. The copy lies under `<home>/dev/` and
stays for a look at it, until the next build takes its place. Publications are only read.
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
from rich.text import Text

from nightledger import publications, warehouse
from nightledger.dbt.project import DbtFailed
from nightledger.engineering import comparing, diff, printing
from nightledger.engineering.comparing import Relation, TableDifference
from nightledger.engineering.session import DevError, Node, Session, private_copy, selection
from nightledger.ingestion.messages import inert
from nightledger.publications import PublicationError
from nightledger.settings import Settings, SettingsError, read_settings

NAMES = ("published", "built")
Name = tuple[str, str]
"""Schema and name."""

console = printing.make_console()


def build(settings: Settings, select: str = "", limit: int = 5, *, with_tests: bool = True) -> bool:
    """Build, compare, test, and print all of it; returns whether all was built and no test failed.

    Raises:
        PublicationError: nothing has been published yet.
        DevError: dbt could not begin, or selected nothing.
    """
    publication = diff.find(settings, None)
    publications.describe(publication)
    with private_copy(settings, publication) as copy:
        session = Session(settings, copy, publication)
        chosen = selection(select)
        nodes = session.build(chosen)
        if not nodes:
            raise DevError(
                f"nothing to build: {' '.join(chosen)} selects no model. Name some, in the words of dbt's "
                '--select: make dbt-dev SELECT="int_movements"'
                if select.strip()
                else f"no model differs from those of {publication.name}. Name some: make dbt-dev SELECT=…"
            )
        _show_nodes(nodes, session.changed, publication)
        found = _compare(settings, publication, copy, nodes, comparing.keys(session.manifest), limit)
        printing.show_differences(console, found, NAMES)
        is_whole = all(node.status == "success" for node in nodes)
        tests = session.run("test", chosen) if with_tests and is_whole else []
        _show_tests(tests)
    if select.strip() and not is_whole:
        console.print("Models that these read may have changed too: make dbt-dev without SELECT builds all.")
    console.print(f"The private copy: {copy / warehouse.FILE}", style="dim", markup=False)
    return is_whole and all(node.status in ("pass", "success", "warn") for node in tests)


def _show_nodes(nodes: list[Node], changed: set[str], publication: Path) -> None:
    rows = [
        [
            node.name,
            node.kind,
            node.status,
            f"{node.seconds:.2f}",
            "built whole" if node.unique_id in changed else "",
        ]
        for node in nodes
    ]
    headings = ("node", "", "status", "seconds", "")
    printing.show(console, f"Built on a private copy of {publication.name}", headings, rows)
    for node in nodes:
        if node.status not in ("success", "skipped"):
            message = "\n".join(inert(line) for line in node.message.splitlines())
            console.print(Text(f"\n{node.name}: {message}", style="red"))
    console.print()


def _show_tests(tests: list[Node]) -> None:
    bad = [node for node in tests if node.status not in ("pass", "success")]
    if tests:
        console.print(f"{len(tests) - len(bad):,} of {len(tests):,} tests passed.")
    for node in bad:
        rows = "" if node.failures is None else f" {node.failures:,} rows."
        style = "yellow" if node.status == "warn" else "red"
        console.print(Text(f"{node.status}: {node.name}.{rows}", style=style))
        console.print(Text("\n".join(inert(line) for line in node.message.splitlines())))


def _export_views(settings: Settings, build: Path, names: set[Name], folder: Path) -> dict[Name, Path]:
    """What views among the built nodes say, as Parquet files.

    A view names the catalog that it reads, `warehouse`: beside another warehouse it would read that one's
    tables. And a view over the whole ledger is computed once, not once for each comparison.
    """
    folder.mkdir(parents=True)
    written: dict[Name, Path] = {}
    with warehouse.connect(build, settings=settings) as connection:
        for schema, name, kind in warehouse.relations(connection):
            if kind == "VIEW" and (schema, name) in names:
                path = folder / f"{schema}.{name}.parquet"
                literal = str(path).replace("'", "''")
                connection.execute(f"copy (from {comparing.quoted(schema, name)}) to '{literal}'")
                written[schema, name] = path
    return written


def _compare(
    settings: Settings,
    publication: Path,
    copy: Path,
    nodes: list[Node],
    keys: dict[str, tuple[str, ...]],
    limit: int,
) -> list[TableDifference]:
    """Compare every node that was built, and show its rows where they differ."""
    built = {(node.schema, node.name) for node in nodes if node.status == "success"}
    folder = copy / "views"
    views = {
        catalog: _export_views(settings, path, built, folder / catalog)
        for catalog, path in (("published", publication), ("warehouse", copy))
    }
    found: list[TableDifference] = []
    with warehouse.connect(copy, settings=settings) as connection:
        literal = str(publication / warehouse.FILE).replace("'", "''")
        connection.execute(f"attach '{literal}' as published (read_only)")
        for node in nodes:
            name = (node.schema, node.name)
            if name not in built:
                continue
            before = _relation(connection, "published", name, views["published"].get(name))
            after = _relation(connection, "warehouse", name, views["warehouse"].get(name))
            if comparing.columns_of(connection, before):
                found.append(comparing.compare(connection, before, after, keys.get(".".join(name), ())))
                found[-1] = replace(found[-1], table=".".join(name))
                printing.show_rows(console, connection, found[-1], (before, after), NAMES, limit)
            else:
                found.append(_new(connection, name, after, limit))
    shutil.rmtree(folder)
    console.print()
    return found


def _relation(
    connection: duckdb.DuckDBPyConnection, catalog: str, name: Name, exported: Path | None
) -> Relation:
    """A table where it stands; a view as the file into which it was exported."""
    if exported is None:
        return (catalog, *name)
    stem = ".".join((catalog, *name))
    literal = str(exported).replace("'", "''")
    connection.execute(f"create temp view {comparing.quoted(stem)} as from read_parquet('{literal}')")
    return ("temp", "main", stem)


def _new(
    connection: duckdb.DuckDBPyConnection, name: Name, relation: Relation, limit: int
) -> TableDifference:
    """A model that is not published yet: its first rows."""
    count = f"select count(*) from {comparing.quoted(*relation)}"  # noqa: S608 - quoted names
    rows = (connection.execute(count).fetchone() or (0,))[0]
    first = connection.execute(f"from {comparing.quoted(*relation)} order by all limit {limit:d}")
    headings = [column[0] for column in first.description or ()]
    title = f"{'.'.join(name)}: the first rows of what is not published yet"
    printing.show(console, title, headings, first.fetchall())
    return TableDifference(".".join(name), 0, rows, rows, key=("",), shape=["is not published yet"])


def main(arguments: list[str] | None = None) -> int:
    """Build and compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.engineering.dbt_dev", description=__doc__)
    parser.add_argument("--select", default="", help="models as dbt's --select; default: all that changed")
    parser.add_argument("--rows", type=int, default=5, help="differing rows to show of each table and column")
    parser.add_argument("--no-tests", action="store_true", help="build and compare only")
    given = parser.parse_args(arguments)
    try:
        good = build(read_settings(), given.select, max(given.rows, 0), with_tests=not given.no_tests)
    except (DevError, PublicationError, SettingsError, DbtFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
