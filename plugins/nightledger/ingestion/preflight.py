"""Whether a file can be read at all, and its copy where the database cannot read it as it is."""

import csv
import difflib
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from nightledger.ingestion import decoding, delimited, formats
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.formats.records import Sieve
from nightledger.ingestion.landing import Arrival
from nightledger.ingestion.messages import Message, Refused

MAX_COLUMNS = 10_000
"""No delivery has more; a header that has is an attack or another file."""
ROWS_AT_ONCE = 1000
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character."""


@dataclass(frozen=True)
class Layout:
    """What a readable file looks like.

    `needs_copy` says that the database cannot read it as it is: a table, another encoding, rows that are no
    records, or maybe blank lines or several kinds of line ends. Its copy (`copy`) has the final layout.
    The header of JSON lines is empty. `stated` (rows, sum) is what a trailer says.
    """

    header: tuple[str, ...]
    needs_copy: bool
    stated: dict[str, object] = field(default_factory=dict)


def check(arrival: Arrival, contract: SourceContract) -> Layout:
    """Read the whole file.

    Raises:
        Refused: with the five-part message that says why and what to do.
    """
    with ThreadPoolExecutor(1) as other_core:
        unchanged = other_core.submit(_check_digest, arrival)
        try:
            return _layout(arrival, contract)
        finally:
            unchanged.result()  # bytes that are not those that arrived explain whatever else is wrong


def _layout(arrival: Arrival, contract: SourceContract) -> Layout:
    form = contract.format
    if form.type in ("csv", "jsonl", "json") and form.encoding != "utf-8":
        decoding.check_encoded(arrival, form.encoding, form.type == "json")
        return Layout((), needs_copy=True)
    if form.type not in ("csv", "jsonl", "json"):
        if not any([len(block) for block in decoding.blocks_of(arrival)]):
            raise decoding.empty(arrival)
        return Layout((), needs_copy=True)
    head, is_uneven = decoding.check_utf8(arrival, form.type == "json")
    if form.is_table or form.is_framed:
        return Layout((), needs_copy=True)
    if form.type == "jsonl":
        return Layout((), is_uneven)
    try:
        header = delimited.header_of(head.decode("utf-8", errors="ignore").lstrip("\r\n"), form)
    except formats.Unreadable as error:
        raise decoding.refused(arrival, error.reason, error.next_action) from error
    _check_header(arrival, contract, header)
    return Layout(header, is_uneven)


def copy(arrival: Arrival, contract: SourceContract, target: Path) -> Layout:
    """Write a file that needs it as one that the database can read.

    Args:
        arrival: a file that passed `check`.
        contract: of the file.
        target: file to write: JSON lines, or CSV in the contract's `format.dialect`.

    Returns:
        The layout of the copy.

    Raises:
        Refused: with the five-part message.
    """
    form = contract.format

    def accept(header: tuple[str, ...]) -> None:
        if form.type != "jsonl":
            _check_header(arrival, contract, header)

    try:
        if form.type == "parquet" and not form.not_records:
            from nightledger.ingestion.formats import parquet

            return Layout(parquet.copy(arrival.path, target, accept), needs_copy=False)
        if form.is_table:
            table = formats.read(arrival.path, form)
            if form.type == "json" and not table.header:
                # Nothing happened, or a pull came to its last page.
                table = formats.Table(tuple(contract.read), iter(()))
            accept(table.header)
            rows = (
                table.rows if form.type == "excel" else Sieve.of_cells(form, table.header).records(table.rows)
            )
            _write(arrival, table.header, rows, target, is_json=form.type == "json")
            return Layout(table.header, needs_copy=False, stated=table.stated)
        header, stated = delimited.copy(arrival.path, form, target, accept)
        return Layout(header, needs_copy=False, stated=stated)
    except formats.Unreadable as error:
        message = Message(arrival.file, error.reason, error.next_action, error.record, error.column)
        raise Refused(message) from error


def _write(
    arrival: Arrival,
    header: Sequence[str],
    rows: Iterator[Sequence[str | None]],
    target: Path,
    *,
    is_json: bool,
) -> None:
    """Write a table as plain CSV; what no text may hold is refused here as it is in a text.

    JSON has escapes for such characters, so there one record is bad and not the file: it gets a field too
    many, for which the reader puts it into quarantine.
    """
    number = written = 0
    with target.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(header)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            text = _csv(some)
            if decoding.CONTROL.search(text) or (not text.isascii() and SURROGATE.search(text)):
                if not is_json:
                    raise decoding.control(arrival, _first_bad(some, number))
                text = _csv([["-"] * (len(header) + 1) if _is_no_text(row) else row for row in some])
            written += out.write(text)
            number += len(some)
            decoding.check_expansion(arrival, written)


def _csv(rows: Sequence[Sequence[str | None]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _first_bad(rows: Sequence[Sequence[str | None]], before: int) -> int:
    """Number of the first record among `rows` with a character that no text holds."""
    return before + next(number for number, row in enumerate(rows, 1) if _is_no_text(row))


def _is_no_text(row: Sequence[str | None]) -> bool:
    text = "".join(text or "" for text in row)
    return bool(decoding.CONTROL.search(text) or SURROGATE.search(text))


def _check_digest(arrival: Arrival) -> None:
    with arrival.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != arrival.sha256:
            raise decoding.refused(
                arrival,
                "has changed in the landing area since it arrived",
                decoding.bring_back(arrival),
            )


def _check_header(arrival: Arrival, contract: SourceContract, header: tuple[str, ...]) -> None:
    needed = [name for name in contract.read if name not in contract.optional]
    # JSON leaves out what a record does not have.
    check_columns(arrival, contract, header, contract.needed if contract.format.type == "json" else needed)
    doubled = [name for name in header if header.count(name) > 1]
    if doubled:
        raise decoding.refused(
            arrival,
            "the column stands twice in the header",
            "ask the sender which one counts",
            doubled[0][:80],
        )


def check_columns(
    arrival: Arrival, contract: SourceContract, found: tuple[str, ...], needed: list[str]
) -> None:
    """Compare the columns of a file with those of its contract.

    Args:
        arrival: the file.
        contract: of the file.
        found: columns that the file has.
        needed: columns that it must have.

    Raises:
        Refused: a column is missing, or unknown to the contract.
    """
    if len(found) > MAX_COLUMNS:
        raise decoding.refused(
            arrival,
            f"has more than {MAX_COLUMNS:,} columns",
            "ask the sender for the columns of the contract only",
        )
    known = [*contract.read, *contract.ignore]
    for name in needed:
        if name not in found:
            close = difflib.get_close_matches(name, [other for other in found if other not in known], n=1)
            hint = f"; the file has {close[0]!r}, which the contract does not know" if close else ""
            raise decoding.refused(
                arrival,
                f"the column is missing{hint}",
                f"mend sources/{contract.name}.yml, or ask the sender for the column",
                name,
            )
    for name in found if contract.format.type not in formats.OF_BANKS else ():
        if name not in known:
            raise decoding.refused(
                arrival,
                "the contract does not know this column",
                f"use it or add it to `ignore` in sources/{contract.name}.yml",
                name[:80],
            )
