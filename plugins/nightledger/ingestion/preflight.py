"""Whether a file can be read at all: compression, encoding, header. Streams the bytes, parses none."""

import codecs
import csv
import difflib
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from nightledger.ingestion import delimited, formats
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.formats.records import Sieve
from nightledger.ingestion.landing import Arrival
from nightledger.ingestion.messages import Message, Refused

BLOCK = 1 << 20
MAX_EXPANSION = 200
"""A text file that unpacks to more than this many times its size is a bomb, not a delivery."""
SMALL = 64 << 20
"""Below this many unpacked bytes no ratio is suspicious."""
MAX_HEADER = 1 << 20
MAX_LINE = 16 << 20
"""A longer line is no record, and would have to be held in memory whole."""
MAX_COLUMNS = 10_000
"""No delivery has more; a header that has is an attack or another file."""
ROWS_AT_ONCE = 1000
LONG_NUMBER = 1000
"""So many digits in a row are no number; the parser of JSON dies of more than 4,300."""

FORBIDDEN = (b"\x00", b"\x1e", b"\x1f")
"""No text holds them, and keys use two of them to tell columns apart."""
CONTROL = re.compile("[\x00\x1e\x1f]")
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character."""
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""Marks of byte order."""


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
    """Read the whole file once.

    Raises:
        Refused: with the five-part message that says why and what to do.
    """
    form = contract.format
    _check_digest(arrival)
    if form.type in ("csv", "jsonl", "json") and form.encoding != "utf-8":
        _check_encoded(arrival, form.encoding, form.type == "json")
        return Layout((), needs_copy=True)
    if form.type not in ("csv", "jsonl", "json"):
        if not any([len(block) for block in _blocks(arrival)]):
            raise _empty(arrival)
        return Layout((), needs_copy=True)
    head, is_uneven = _check_utf8(arrival, form.type == "json")
    if form.is_table or form.is_framed:
        return Layout((), needs_copy=True)
    if form.type == "jsonl":
        return Layout((), is_uneven)
    try:
        header = delimited.header_of(head.decode("utf-8", errors="ignore").lstrip("\r\n"), form)
    except formats.Unreadable as error:
        raise _refused(arrival, error.reason, error.next_action) from error
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
            accept(table.header)
            rows = (
                table.rows if form.type == "excel" else Sieve.of_cells(form, table.header).records(table.rows)
            )
            _write(arrival, table.header, rows, target)
            return Layout(table.header, needs_copy=False, stated=table.stated)
        header, stated = delimited.copy(arrival.path, form, target, accept)
        return Layout(header, needs_copy=False, stated=stated)
    except formats.Unreadable as error:
        message = Message(arrival.file, error.reason, error.next_action, error.record, error.column)
        raise Refused(message) from error


def _write(
    arrival: Arrival, header: Sequence[str], rows: Iterator[Sequence[str | None]], target: Path
) -> None:
    """Write a table as plain CSV; what no text may hold is refused here as it is in a text."""
    number = written = 0
    with target.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(header)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            text = _csv(some)
            if CONTROL.search(text) or (not text.isascii() and SURROGATE.search(text)):
                raise _control(arrival, _first_bad(some, number))
            written += out.write(text)
            number += len(some)
            _check_expansion(arrival, written)


def _csv(rows: Sequence[Sequence[str | None]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _first_bad(rows: Sequence[Sequence[str | None]], before: int) -> int:
    """Number of the first record among `rows` with a character that no text holds."""
    texts = ("".join(text or "" for text in row) for row in rows)
    return before + next(
        number for number, text in enumerate(texts, 1) if CONTROL.search(text) or SURROGATE.search(text)
    )


def _check_utf8(arrival: Arrival, is_json: bool) -> tuple[bytes, bool]:
    """First bytes of a text in UTF-8; whether it may have blank lines or several kinds of line ends."""
    head = bytearray()
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, is_uneven, ends, before, digits = 0, False, set[bytes](), b"", b""
    for block in _blocks(arrival) if is_json else _check_lines(arrival, _blocks(arrival)):
        if len(head) < MAX_HEADER:
            head += block
        if any(character in block for character in FORBIDDEN):
            raise _control(arrival)
        pending = len(decoder.getstate()[0])
        try:
            if pending or not block.isascii():
                decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _other_encoding(arrival, "utf-8", total - pending + error.start) from error
        if is_json:
            if re.search(rb"[0-9]{%d}" % LONG_NUMBER, digits + block):
                raise _refused(
                    arrival,
                    f"holds a number of more than {LONG_NUMBER:,} digits",
                    "ask the sender for the file without it",
                )
            digits = block[-LONG_NUMBER:]
        has_returns = b"\r" in before or b"\r" in block
        is_uneven = is_uneven or _has_blank_line(before + block[:2]) or _has_blank_line(block)
        ends |= _line_ends(block, before) if has_returns else {b"\n"} if b"\n" in block else set()
        before = block[-2:]
        total += len(block)
    _check_end(arrival, decoder)
    text = bytes(head).removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise _empty(arrival)
    return text, is_uneven or len(ends) > 1 or text[:1] in (b"\n", b"\r")


def _check_encoded(arrival: Arrival, encoding: str, is_json: bool) -> None:
    """Decode a text that is not in UTF-8, and find out whether it is what the contract says."""
    decoder = codecs.getincrementaldecoder(encoding)()
    as_utf8 = codecs.getincrementaldecoder("utf-8")()
    is_ascii, is_utf8, is_blank, total = True, _has_one_byte(encoding), True, 0
    for block in _blocks(arrival) if is_json else _check_lines(arrival, _blocks(arrival)):
        if not total:
            _check_mark(arrival, encoding, block)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _other_encoding(arrival, encoding, total - pending + error.start) from error
        if CONTROL.search(text):
            raise _control(arrival)
        is_blank = is_blank and not text.lstrip("\ufeff").strip()
        if is_utf8:
            is_ascii = is_ascii and block.isascii()
            try:
                as_utf8.decode(block)
            except UnicodeDecodeError:
                is_utf8 = False
        total += len(block)
    _check_end(arrival, decoder)
    if is_blank:
        raise _empty(arrival)
    if is_utf8 and not is_ascii and not as_utf8.getstate()[0]:
        # Nobody writes, in an encoding of one byte a letter, letters that are UTF-8 from first to last.
        raise _refused(
            arrival,
            f"is utf-8, and the contract says {encoding}",
            "mend format.encoding in the contract, or ask the sender",
        )


def _has_one_byte(encoding: str) -> bool:
    """Whether an encoding has one byte a character, and ASCII where ASCII is."""
    letters = bytes(range(256)).decode(encoding, errors="replace")
    return len(letters) == 256 and letters[:128] == bytes(range(128)).decode()


def _check_mark(arrival: Arrival, encoding: str, block: bytes) -> None:
    mark = next((mark for mark in MARKS if block.startswith(mark)), None)
    if encoding == "utf-16" and mark not in MARKS[1:]:
        raise _refused(
            arrival,
            "is not utf-16: it does not begin with a mark of byte order",
            "write utf-16-le or utf-16-be in the contract, or ask the sender",
        )
    if mark and _has_one_byte(encoding):
        found = "utf-8" if mark == codecs.BOM_UTF8 else "utf-16"
        raise _refused(
            arrival,
            f"is {found} by its mark of byte order, and the contract says {encoding}",
            "mend format.encoding in the contract, or ask the sender",
        )


def _check_end(arrival: Arrival, decoder: codecs.IncrementalDecoder) -> None:
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _refused(
            arrival, "ends in the middle of a character", "ask the sender to send it again"
        ) from error


def _has_blank_line(text: bytes) -> bool:
    return b"\n\n" in text or (b"\r" in text and (b"\n\r\n" in text or b"\r\r" in text))


def _line_ends(block: bytes, before: bytes) -> set[bytes]:
    """The kinds of line ends in a block; one that lies across two blocks is judged with the second."""
    text = before[-1:] + block if before.endswith(b"\r") else block
    if text.endswith(b"\r"):
        text = text[:-1]
    windows = text.count(b"\r\n")
    kinds = ((b"\r\n", windows), (b"\n", text.count(b"\n") - windows), (b"\r", text.count(b"\r") - windows))
    return {kind for kind, times in kinds if times}


def _check_digest(arrival: Arrival) -> None:
    with arrival.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != arrival.sha256:
            raise _refused(
                arrival,
                "has changed in the landing area since it arrived",
                "restore the landing area from a backup",
            )


def _blocks(arrival: Arrival) -> Iterator[bytes]:
    """The bytes of a file, unpacked.

    Raises:
        Refused: they are damaged, or a bomb.
    """
    total = 0
    try:
        with formats.opened(arrival.path) as file:
            while block := file.read(BLOCK):
                total += len(block)
                _check_expansion(arrival, total)
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _refused(
            arrival, "the gzip data are truncated or damaged", "ask the sender to send it again"
        ) from error


def _check_lines(arrival: Arrival, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, as long as none of their lines is endless."""
    length = 0
    for block in blocks:
        end = max(block.rfind(b"\n"), block.rfind(b"\r"))
        length = len(block) - end - 1 + (length if end < 0 else 0)
        if length > MAX_LINE:
            raise _refused(
                arrival,
                f"holds a line of more than {MAX_LINE >> 20} MiB",
                "ask the sender for one record a line",
            )
        yield block


def _check_expansion(arrival: Arrival, size: int) -> None:
    if size > SMALL and size > MAX_EXPANSION * arrival.size:
        raise _refused(
            arrival,
            f"unpacks to more than {MAX_EXPANSION} times its size",
            "ask the sender for the file unpacked, or in parts",
        )


def _check_header(arrival: Arrival, contract: SourceContract, header: tuple[str, ...]) -> None:
    needed = [name for name in contract.read if name not in contract.optional]
    check_columns(arrival, contract, header, needed)
    doubled = [name for name in header if header.count(name) > 1]
    if doubled:
        raise _refused(
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
        raise _refused(
            arrival,
            f"has more than {MAX_COLUMNS:,} columns",
            "ask the sender for the columns of the contract only",
        )
    known = [*contract.read, *contract.ignore]
    for name in needed:
        if name not in found:
            close = difflib.get_close_matches(name, [other for other in found if other not in known], n=1)
            hint = f"; the file has {close[0]!r}, which the contract does not know" if close else ""
            raise _refused(
                arrival,
                f"the column is missing{hint}",
                f"mend sources/{contract.name}.yml, or ask the sender for the column",
                name,
            )
    for name in found if contract.format.type not in formats.OF_BANKS else ():
        if name not in known:
            raise _refused(
                arrival,
                "the contract does not know this column",
                f"use it or add it to `ignore` in sources/{contract.name}.yml",
                name[:80],
            )


def _refused(arrival: Arrival, reason: str, next_action: str, column: str | None = None) -> Refused:
    return Refused(Message(arrival.file, reason, next_action, column=column))


def _empty(arrival: Arrival) -> Refused:
    return _refused(arrival, "is empty", "ask the sender whether there was nothing to send")


def _control(arrival: Arrival, record: int | None = None) -> Refused:
    return Refused(
        Message(
            arrival.file,
            "holds control characters, so it is not text",
            f"ask the sender for {'a text file' if record is None else 'the file without them'}",
            record,
        )
    )


def _other_encoding(arrival: Arrival, encoding: str, position: int) -> Refused:
    return _refused(
        arrival,
        f"is not {encoding}: byte {position:,}",
        f"ask the sender for {encoding}, or convert the file",
    )
