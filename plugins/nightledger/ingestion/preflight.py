"""Whether a file can be read at all: compression, encoding, header. Streams the bytes once."""

import codecs
import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator

from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.landing import Arrival
from nightledger.ingestion.messages import Message, Refused

BLOCK = 1 << 20
MAX_EXPANSION = 200
"""A text file that unpacks to more than this many times its size is a bomb, not a delivery."""
SMALL = 64 << 20
"""Below this many unpacked bytes no ratio is suspicious."""
MAX_HEADER = 1 << 20


def check(arrival: Arrival, contract: SourceContract) -> tuple[str, ...]:
    """Read the whole file once and return its header (empty for JSON lines).

    Raises:
        Refused: with the five-part message that says why and what to do.
    """
    head = bytearray()
    decoder = codecs.getincrementaldecoder("utf-8")()
    total = 0
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
        if b"\x00" in block:
            raise _refused(arrival, "holds NUL bytes, so it is not text", "ask the sender for a text file")
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _refused(
                arrival,
                f"is not {contract.format.encoding}: byte {total - len(block) + error.start:,}",
                f"ask the sender for {contract.format.encoding}, or convert the file",
            ) from error
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _refused(
            arrival, "ends in the middle of a character", "ask the sender to send it again"
        ) from error
    if not bytes(head).strip():
        raise _refused(arrival, "is empty", "ask the sender whether there was nothing to send")
    if contract.format.type == "jsonl":
        return ()
    return _header(arrival, contract, bytes(head))


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
    text = head.decode("utf-8-sig", errors="ignore")
    reader = csv.reader(
        io.StringIO(text), delimiter=contract.format.delimiter, quotechar=contract.format.quote or None
    )
    header = tuple(next(reader, []))
    check_columns(arrival, contract, header)
    doubled = [name for name in header if header.count(name) > 1]
    if doubled:
        raise _refused(
            arrival, "the column stands twice in the header", "ask the sender which one counts", doubled[0]
        )
    return header


def check_columns(arrival: Arrival, contract: SourceContract, found: tuple[str, ...]) -> None:
    """Compare the columns of a file with those of its contract.

    Raises:
        Refused: a column is missing, or unknown to the contract.
    """
    known = [*contract.read, *contract.ignore]
    for name in contract.read:
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
