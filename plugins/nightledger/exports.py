"""Answers of the current publication as CSV, for people who open them in a spreadsheet.

`python -m nightledger.exports "from marts.mart_customer_overview" overview.csv`
"""

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import TextIO

import duckdb

from nightledger import warehouse
from nightledger.settings import Settings, SettingsError, read_settings

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A spreadsheet runs a text that begins so as a formula."""
ROWS_AT_ONCE = 10_000


class ExportError(RuntimeError):
    """An export cannot be made; the message says why."""


def export(settings: Settings, query: str, target: Path) -> int:
    """Write what one query on the current publication answers; the file appears whole or not at all.

    Texts that a spreadsheet would run get an apostrophe in front; numbers and dates stay as they are.

    Returns:
        Number of rows.

    Raises:
        ExportError: nothing is published, or the query is none.
    """
    path = warehouse.publication_path(settings)
    if path is None:
        raise ExportError(f"nothing has been published in {settings.home} yet")
    part = target.with_name(f".{target.name}.{os.getpid()}")
    with warehouse.connect(path, settings=settings) as connection:
        # The query is a person's; it reads the publication and no file of this machine.
        connection.execute("set enable_external_access = false")
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise ExportError("give one query that selects, such as: from marts.mart_customer_overview")
            answer = connection.execute(query)
            with part.open("w", newline="", encoding="utf-8") as file:
                rows = _write(answer, file)
            part.replace(target)
        except duckdb.Error as error:
            raise ExportError(str(error)) from error
        finally:
            part.unlink(missing_ok=True)
    return rows


def _write(answer: duckdb.DuckDBPyConnection, file: TextIO) -> int:
    writer, rows = csv.writer(file), 0
    writer.writerow(inert_cell(column[0]) for column in answer.description or ())
    while some := answer.fetchmany(ROWS_AT_ONCE):
        writer.writerows([inert_cell(value) for value in row] for row in some)
        rows += len(some)
    return rows


def inert_cell(value: object) -> object:
    """A cell as a spreadsheet may have it: no text of it is a formula."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(DANGEROUS) else value


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.exports", description=__doc__)
    parser.add_argument("query", help="one query that selects")
    parser.add_argument("target", type=Path, help="file to write")
    given = parser.parse_args(arguments)
    try:
        rows = export(read_settings(), given.query, given.target)
    except (ExportError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{rows:,} rows in {given.target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
