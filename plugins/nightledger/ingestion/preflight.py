"""Whether a file can be read at all: compression, encoding, header. Streams the bytes, parses none."""

import codecs
import contextlib
import csv
import difflib
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.landing import Arrival
from nightledger.ingestion.messages import Message, Refused

BLOCK = 1 << 20
MAX_EXPANSION = 200
"""A text file that unpacks to more than this many times its size is a bomb, not a delivery."""
SMALL = 64 << 20
"""Below this many unpacked bytes no ratio is suspicious."""
MAX_HEADER = 1 << 20


FORBIDDEN = (b"\x00", b"\x1e", b"\x1f")
"""No text holds them, and keys use two of them to tell columns apart."""


@dataclass(frozen=True)
class Layout:
    """What a readable file looks like.

    `is_uneven` says that it may hold blank lines or several kinds of line ends, which the reader of DuckDB
    counts or refuses; such a file is read from a copy without them (`even_copy`). The header of JSON lines
    is empty.
    """

    header: tuple[str, ...]
    is_uneven: bool


def check(arrival: Arrival, contract: SourceContract) -> Layout:
    """Read the whole file once.

    Raises:
        Refused: with the five-part message that says why and what to do.
    """
    _check_bytes(arrival)
    head = bytearray()
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, is_uneven, ends, before = 0, False, set[bytes](), b""
    for block in _blocks(arrival):
        total += len(block)
        if total > SMALL and total > MAX_EXPANSION * arrival.size:
            raise _refused(
                arrival,
                f"unpacks to more than {MAX_EXPANSION} times its size",
                "ask the sender for the file unpacked, or in parts",
            )
        if len(head) < MAX_HEADER:
            head += block
        if any(character in block for character in FORBIDDEN):
            raise _refused(
                arrival, "holds control characters, so it is not text", "ask the sender for a text file"
            )
        try:
            if not block.isascii() or decoder.getstate()[0]:
                decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _refused(
                arrival,
                f"is not {contract.format.encoding}: byte {max(total - len(block) + error.start, 0):,}",
                f"ask the sender for {contract.format.encoding}, or convert the file",
            ) from error
        has_returns = b"\r" in before or b"\r" in block
        is_uneven = is_uneven or _has_blank_line(before + block[:2]) or _has_blank_line(block)
        ends |= _line_ends(block, before) if has_returns else {b"\n"} if b"\n" in block else set()
        before = block[-2:]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _refused(
            arrival, "ends in the middle of a character", "ask the sender to send it again"
        ) from error
    text = bytes(head).removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise _refused(arrival, "is empty", "ask the sender whether there was nothing to send")
    is_uneven = is_uneven or len(ends) > 1 or text[:1] in (b"\n", b"\r")
    return Layout(() if contract.format.type == "jsonl" else _header(arrival, contract, text), is_uneven)


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


def even_copy(arrival: Arrival, contract: SourceContract, target: Path) -> None:
    """Write the file again without blank lines and with one kind of line end, quoted text untouched."""
    quote = contract.format.quote.encode() if contract.format.type == "csv" else b""
    inside = False
    with contextlib.ExitStack() as stack:
        packed = stack.enter_context(arrival.path.open("rb"))
        source = stack.enter_context(gzip.open(packed)) if arrival.path.suffix == ".gz" else packed
        out = stack.enter_context(target.open("wb"))
        for lines in source:
            for line in lines.splitlines(keepends=True):
                bare = line.rstrip(b"\r\n")
                was_inside = inside
                if quote and bare.count(quote) % 2:
                    inside = not inside
                if inside:
                    out.write(line)
                elif bare.removeprefix(codecs.BOM_UTF8) or was_inside:
                    out.write(bare + b"\n")


def _check_bytes(arrival: Arrival) -> None:
    with arrival.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != arrival.sha256:
            raise _refused(
                arrival,
                "has changed in the landing area since it arrived",
                "restore the landing area from a backup",
            )


def _blocks(arrival: Arrival) -> Iterator[bytes]:
    if arrival.path.suffix != ".gz":
        with arrival.path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        return
    try:
        with gzip.open(arrival.path) as file:
            while block := file.read(BLOCK):
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _refused(
            arrival, "the gzip data are truncated or damaged", "ask the sender to send it again"
        ) from error


def _header(arrival: Arrival, contract: SourceContract, head: bytes) -> tuple[str, ...]:
    text = head.decode("utf-8", errors="ignore").lstrip("\r\n")
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=contract.format.delimiter,
        quotechar=contract.format.quote or None,
        quoting=csv.QUOTE_MINIMAL if contract.format.quote else csv.QUOTE_NONE,
    )
    try:
        header = tuple(next(reader, []))
    except csv.Error as error:
        raise _refused(arrival, "its header cannot be read", "ask the sender for a header line") from error
    check_columns(arrival, contract, header, contract.read)
    doubled = [name for name in header if header.count(name) > 1]
    if doubled:
        raise _refused(
            arrival,
            "the column stands twice in the header",
            "ask the sender which one counts",
            doubled[0][:80],
        )
    return header


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
    for name in found:
        if name not in known:
            raise _refused(
                arrival,
                "the contract does not know this column",
                f"use it or add it to `ignore` in sources/{contract.name}.yml",
                name[:80],
            )


def _refused(arrival: Arrival, reason: str, next_action: str, column: str | None = None) -> Refused:
    return Refused(Message(arrival.file, reason, next_action, column=column))
