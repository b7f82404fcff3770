"""People's corrections of merchants: recorded now, and obeyed from the next night on.

`python -m nightledger.merchants.corrections correct --descriptor TEXT --merchant NAME --subcategory NAME
--reason "why"` (or `--pattern "SQ *BLUE BOTTLE%"`, in which % stands for any text), `withdraw NUMBER --reason
"why"` and `list`.

A correction wins over every rule. It is known since the publication that the next night begins from, so what
was published before stays as it is, even when it is built again. Nothing is deleted: a withdrawal is an entry
of its own.
"""

import argparse
import getpass
import sys
from dataclasses import dataclass
from typing import Any

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nightledger import operations, warehouse
from nightledger.ingestion.messages import inert
from nightledger.settings import Settings, SettingsError, read_settings

ANY = "%"
"""Stands for any text in a pattern."""

console = Console(highlight=False)


class CorrectionError(ValueError):
    """A correction cannot be taken; the message says why and how to give it."""


@dataclass(frozen=True)
class Recorded:
    """What was recorded and whom it concerns in the current publication."""

    number: int
    descriptors: int
    transactions: int


def correct(
    settings: Settings,
    *,
    descriptor: str = "",
    pattern: str = "",
    merchant: str = "",
    subcategory: str = "",
    reason: str,
    by: str,
) -> Recorded:
    """Record what a merchant is.

    Args:
        settings: of the installation.
        descriptor: as it is published, or a description as it stands on the statement.
        pattern: of descriptors, in their place; `%` stands for any text.
        merchant: the merchant's name; none: as the rules say.
        subcategory: one of the seed `categories`; none: as the rules say.
        reason: why.
        by: who says so.

    Raises:
        CorrectionError: it names nothing that is published, or says nothing.
    """
    if bool(descriptor.strip()) == bool(pattern.strip()):
        raise CorrectionError("say which texts are meant: one DESCRIPTOR or one PATTERN")
    if not merchant.strip() and not subcategory.strip():
        raise CorrectionError("say what they are: MERCHANT, SUBCATEGORY or both")
    if not reason.strip():
        raise CorrectionError('say why: REASON="what is wrong with today\'s answer"')
    if "\\" in pattern or (pattern and not pattern.replace(ANY, "").strip()):
        raise CorrectionError(f"a pattern is text with {ANY} for anything, and no backslash")
    with _published(settings) as connection:
        if subcategory.strip():
            _check_subcategory(connection, subcategory.strip())
        if descriptor.strip():
            descriptor = _known_descriptor(connection, descriptor.strip())
        counts = _concerned(connection, descriptor, pattern)
    if not counts[0]:
        raise CorrectionError(f"no published descriptor is like {inert(pattern)}")
    path = warehouse.publication_path(settings)
    number = operations.record_correction(
        settings,
        action="correct",
        descriptor=descriptor or None,
        pattern=pattern or None,
        merchant=merchant.strip() or None,
        subcategory=subcategory.strip() or None,
        reason=reason.strip(),
        ordered_by=by,
        publication_id=path.name if path else "",
    )
    return Recorded(number, *counts)


def withdraw(settings: Settings, number: int, *, reason: str, by: str) -> None:
    """Take a correction back, from the next night on.

    Raises:
        CorrectionError: there is no such correction, or it is withdrawn already.
    """
    rows = {row["id"]: row for row in _log(settings)}
    corrected = rows.get(number)
    if corrected is None or corrected["action"] != "correct":
        raise CorrectionError(f"there is no correction {number}; `make merchant-corrections` lists them")
    if any(row["withdrawn_id"] == number for row in rows.values()):
        raise CorrectionError(f"correction {number} is withdrawn already")
    if not reason.strip():
        raise CorrectionError('say why: REASON="what is wrong with the correction"')
    path = warehouse.publication_path(settings)
    operations.record_correction(
        settings,
        action="withdraw",
        withdrawn_id=number,
        reason=reason.strip(),
        ordered_by=by,
        publication_id=path.name if path else "",
    )


def _log(settings: Settings) -> list[dict[str, Any]]:
    if warehouse.publication_path(settings) is not None:
        operations.engine(settings)  # a home that an older release has made gets the table now
    return operations.correction_log(settings)


def _published(settings: Settings) -> duckdb.DuckDBPyConnection:
    path = warehouse.publication_path(settings)
    if path is None:
        raise CorrectionError(
            f"nothing has been published in {settings.home} yet: there is nothing to correct"
        )
    return warehouse.connect(path, settings=settings)


def _check_subcategory(connection: duckdb.DuckDBPyConnection, subcategory: str) -> None:
    known = [name for (name,) in connection.execute("select subcategory from staging.categories").fetchall()]
    if subcategory not in known:
        raise CorrectionError(
            f"{inert(subcategory)} is no subcategory. There are: {', '.join(sorted(known))}"
        )


def _known_descriptor(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """The published descriptor that a person means, who may have copied the description of a transaction."""
    found = connection.execute(
        "select distinct descriptor from intermediate.int_transactions"
        " where $text in (descriptor, trim(description), trim(merchant_name)) order by 1",
        {"text": text},
    ).fetchall()
    if len(found) == 1:
        return str(found[0][0])
    alike = connection.execute(
        "select descriptor from (select distinct descriptor from intermediate.int_transactions)"
        " order by jaro_winkler_similarity(lower(descriptor), lower($text)) desc, descriptor limit 5",
        {"text": text},
    ).fetchall()
    which = "stands for several" if found else "is not published"
    lines = "\n".join(f"  {inert(name)}" for (name,) in found or alike)
    raise CorrectionError(f"{inert(text)} {which}; say which descriptor you mean, such as\n{lines}")


def _concerned(connection: duckdb.DuckDBPyConnection, descriptor: str, pattern: str) -> tuple[int, int]:
    """Published descriptors and current transactions that a correction is about."""
    row = connection.execute(
        r"""
        select count(distinct descriptor), count(*) from intermediate.int_transactions
        where superseded_at is null and (
            descriptor = $descriptor
            or lower(descriptor) like replace(lower($pattern), '_', '\_') escape '\')
        """,
        {"descriptor": descriptor, "pattern": pattern},
    ).fetchone()
    return row or (0, 0)


def _print_log(settings: Settings) -> None:
    table = Table(
        title="Corrections of merchants, oldest first", title_justify="left", box=None, pad_edge=False
    )
    headings = ("number", "recorded (UTC)", "texts", "merchant", "subcategory", "known since", "by", "why")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    rows = _log(settings)
    withdrawn = {row["withdrawn_id"] for row in rows if row["action"] == "withdraw"}
    for row in rows:
        table.add_row(*_cells(row, is_withdrawn=row["id"] in withdrawn))
    Console(width=max(110, Console().width)).print(table)


def _cells(row: dict[str, Any], *, is_withdrawn: bool) -> list[str]:
    texts = row["descriptor"] or row["pattern"] or f"withdraws {row['withdrawn_id']}"
    since = f"{row['known_at']:%Y-%m-%d %H:%M}" if row["known_at"] else "the next night"
    return [
        f"{row['id']}{' (withdrawn)' if is_withdrawn else ''}",
        f"{row['recorded_at']:%Y-%m-%d %H:%M}",
        *(escape(inert(text or "–")) for text in (texts, row["merchant"], row["subcategory"])),
        since,
        escape(inert(row["ordered_by"])),
        escape(inert(row["reason"])),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def main(arguments: list[str] | None = None) -> int:
    """Take one order, or list them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.merchants.corrections", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("correct", help="say what a merchant is")
    for name in ("descriptor", "pattern", "merchant", "subcategory"):
        add.add_argument(f"--{name}", default="")
    back = commands.add_parser("withdraw", help="take a correction back")
    back.add_argument("number", help="as the list gives it")
    for command in (add, back):
        command.add_argument("--reason", default="", help="why; kept beside the entry")
        command.add_argument("--by", default=None, help="who; default: the user of the system")
    commands.add_parser("list", help="all corrections and withdrawals")
    given = vars(parser.parse_args(arguments))
    try:
        settings = read_settings()
        match given.pop("command"):
            case "list":
                _print_log(settings)
            case "withdraw":
                if not given["number"].isdecimal():
                    raise CorrectionError("say which by its number: make withdraw-correction NUMBER=3")
                by = given["by"] or getpass.getuser()
                withdraw(settings, int(given["number"]), reason=given["reason"], by=by)
                console.print(f"[green]Recorded.[/] Correction {given['number']} ends with the next night.")
            case _:
                done = correct(settings, **(given | {"by": given["by"] or getpass.getuser()}))
                console.print(
                    f"[green]Recorded as {done.number}.[/] It wins from the next night on, for "
                    f"{_count(done.descriptors, 'descriptor')} with "
                    f"{_count(done.transactions, 'transaction')} so far. "
                    "`make merchant-impact` tells what it will change."
                )
    except (CorrectionError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
