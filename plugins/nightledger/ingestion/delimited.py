"""Text with a record a line, rewritten for the database: UTF-8, one row of names, records only."""

import codecs
import csv
import functools
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from nightledger.ingestion.contract import FileFormat
from nightledger.ingestion.formats import Unreadable, opened
from nightledger.ingestion.formats.records import Sieve

LONGEST = 16 << 20
"""Longest record in bytes, and longest line that is held at once."""


def header_of(text: str, form: FileFormat) -> tuple[str, ...]:
    """Names in the first row of a text.

    Raises:
        Unreadable: it is no row.
    """
    try:
        return tuple(next(_reader(text, form), []))
    except csv.Error as error:
        raise Unreadable("its header cannot be read", "ask the sender for a header line") from error


def copy(
    path: Path, form: FileFormat, target: Path, accept: Callable[[tuple[str, ...]], None]
) -> tuple[tuple[str, ...], dict[str, object]]:
    """Write a file again: one kind of line ends, no blank lines, quoted text untouched.

    Args:
        path: landed file, whose encoding was checked.
        form: what the contract says about it.
        target: file to write.
        accept: is given the names before any record is read; raises to stop.

    Returns:
        The names, none for JSON lines, and what the trailer states.

    Raises:
        Unreadable: with the reason.
    """
    quote = form.quote.encode() if form.type == "csv" else b""
    with opened(path) as file, target.open("wb") as out:
        lines = _lines(file, form.encoding)
        header: tuple[str, ...] = ()
        if form.type == "csv" and form.header_row == 0:
            header = form.names
            out.write(_row(header, form))
        elif form.type == "csv":
            # Titles above the names may hold any quote: they are lines, not records.
            above = islice(lines, max(form.header_row - 1, 0))
            for _ in above:
                pass
            names = next(_joined(lines, quote), b"")
            header = header_of(names.decode(), form)
            out.write(names + b"\n")
        accept(header)
        sieve = Sieve[bytes](form, header, functools.partial(_cells, form=form), bytes.decode)
        for record in sieve.records(_joined(lines, quote)):
            out.write(record + b"\n")
    return header, sieve.stated


def _reader(text: str, form: FileFormat) -> Iterator[list[str]]:
    return csv.reader(
        io.StringIO(text, newline=""),
        delimiter=form.delimiter,
        quotechar=form.quote or None,
        quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
    )


def _cells(record: bytes, form: FileFormat) -> list[str]:
    try:
        return next(_reader(record.decode(), form), [])
    except csv.Error:
        return []  # which the database will say better


def _row(names: tuple[str, ...], form: FileFormat) -> bytes:
    """A row of names in the dialect of the file."""
    if not form.quote:
        return form.delimiter.join(names).encode() + b"\n"
    doubled = [form.quote + name.replace(form.quote, form.quote * 2) + form.quote for name in names]
    return form.delimiter.join(doubled).encode() + b"\n"


def _lines(file: io.BufferedIOBase, encoding: str) -> Iterator[bytes]:
    """Lines in UTF-8 with their ends, without the mark of byte order; the longest come in pieces."""
    first = True
    for piece in _pieces(file, encoding):
        yield piece.removeprefix(codecs.BOM_UTF8) if first else piece
        first = False


def _pieces(file: io.BufferedIOBase, encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        while block := file.readline(LONGEST):
            yield from block.splitlines(keepends=True)
        return
    with io.TextIOWrapper(cast("BinaryIO", file), encoding=encoding, newline="") as text:
        while line := text.readline(LONGEST):
            yield line.encode()


def _joined(lines: Iterable[bytes], quote: bytes) -> Iterator[bytes]:
    """Records without their line ends; a quoted text may hold some. Blank lines are left out.

    Raises:
        Unreadable: a quote is opened and not closed for longer than any record may be.
    """
    parts: list[bytes] = []
    size, is_quoted, number = 0, False, 1
    for line in lines:
        bare = line.rstrip(b"\r\n")
        if quote and bare.count(quote) % 2:
            is_quoted = not is_quoted
        if is_quoted or len(bare) == len(line):
            parts.append(line)
            size += len(line)
            if size > LONGEST:
                raise Unreadable(
                    "a quote is not closed, or the record is longer than 16 MiB",
                    "ask the sender to send it again, or mend format.quote in the contract",
                    record=number,
                )
            continue
        if record := b"".join([*parts, bare]):
            yield record
            number += 1
        parts, size = [], 0
    if parts:
        yield b"".join(parts)
