"""From a published row or figure back to files and records.

`python -m nightledger.engineering.trace --key KEY`: a transaction (its key, or the source's own id), a
customer (`customer`, or `client/customer`) or a score (its receipt). `--figure "measure=spend client=x
month=2026-05"`: a measure over the ledger, or a cell of a mart such as "mart_customer_overview.spend_30d
client=x customer=y".
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import duckdb
from rich.text import Text

from nightledger import warehouse
from nightledger.engineering import diff, figures, lineage, printing, published, sums, tracing
from nightledger.engineering.lineage import TraceError
from nightledger.exports import inert_cell
from nightledger.publications import PublicationError
from nightledger.settings import Settings, SettingsError, read_settings

console = printing.make_console()


def trace_key(settings: Settings, publication: Path, key: str, limit: int) -> None:
    """Print where every published row with this key comes from.

    Raises:
        TraceError: no published row has it, or customers of several clients have.
    """
    manifest = json.loads((publication / "manifest.json").read_text())
    with warehouse.connect(publication, settings=settings) as connection:
        trail = tracing.Trail(settings, publication.name, connection, manifest, console, limit)
        found = [
            *(trail.transaction(name) for name in published.transactions(connection, key)),
            *(trail.score(score) for score in published.scores(connection, key)),
            *(trail.customer(*customer) for customer in published.customers(connection, key)),
        ]
        if not found:
            raise TraceError(published.explain_absence(connection, key))


def trace_figure(settings: Settings, publication: Path, text: str, limit: int, target: Path | None) -> bool:
    """Print the rows whose sum is a figure; returns whether it is exactly the published one.

    Raises:
        TraceError: the text names no figure.
    """
    manifest = json.loads((publication / "manifest.json").read_text())
    with warehouse.connect(publication, settings=settings) as connection:
        trail = tracing.Trail(settings, publication.name, connection, manifest, console, limit)
        figure = figures.find(connection, manifest, text)
        is_exact = trail.figure(figure)
        if target is not None:
            written = write_rows(settings, connection, figure, target)
            console.print(Text(f"{written:,} rows written to {target}"))
    return is_exact


def write_rows(
    settings: Settings, connection: duckdb.DuckDBPyConnection, figure: sums.Figure, target: Path
) -> int:
    """Write every row of a figure with its file and record as CSV, safe for a spreadsheet."""
    names, found = lineage.rows(connection, tracing.rows_of(figure), figure.parameters)
    place = names.index("sha256")
    known: dict[Any, str] = {}
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "landed at"])
        for row in found:
            sha256 = row[place]
            if sha256 not in known:
                known[sha256] = str(lineage.landed(settings, sha256, is_checked=False).path) if sha256 else ""
            writer.writerow([inert_cell(value) for value in (*row, known[sha256])])
    return len(found)


def main(arguments: list[str] | None = None) -> int:
    """Trace; returns the exit code: 1 when nothing was found, or a figure is not the sum of its rows."""
    parser = argparse.ArgumentParser(
        prog="nightledger.engineering.trace",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--key", default="", help="of a transaction, customer or score")
    parser.add_argument("--figure", default="", help="a measure with filters, or a cell of a mart")
    parser.add_argument("--publication", help="default: the current one")
    parser.add_argument("--rows", type=int, default=20, help="rows and files to show at most")
    parser.add_argument("--to", type=Path, help="write all rows of the figure to this CSV file")
    given = parser.parse_args(arguments)
    try:
        settings = read_settings()
        if bool(given.key.strip()) == bool(given.figure.strip()):
            raise TraceError(f"say what to trace: make trace KEY=… for a row; for a figure, {figures.HOW}")
        publication = diff.find(settings, given.publication)
        if given.key.strip():
            trace_key(settings, publication, given.key.strip(), max(given.rows, 0))
            return 0
        is_exact = trace_figure(settings, publication, given.figure, max(given.rows, 0), given.to)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        sys.stderr.write(f"{publication.name} was built by another version of the project: {error}\n")
        return 1
    except (TraceError, PublicationError, SettingsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if is_exact else 1


if __name__ == "__main__":
    sys.exit(main())
