"""Whether the bytes of a file unpack, and are the text that its contract says; they are streamed."""

import codecs
import gzip
import re
import shlex
import zlib
from collections.abc import Iterator

from nightledger.ingestion import formats
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
NO_LINE = re.compile(rb"\n\n")
"""A line without anything, where line ends are those of Unix."""
LONG_NUMBER = 1000
"""So many digits in a row are no number; the parser of JSON dies of more than 4,300."""
FORBIDDEN = (b"\x00", b"\x1e", b"\x1f")
"""No text holds them, and keys use two of them to tell columns apart."""
CONTROL = re.compile("[\x00\x1e\x1f]")
BINARY = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a workbook of Excel",
    b"PK\x03\x04": "a zip archive",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "packed with gzip",
}
"""What begins so is no text, whatever its name says."""
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""Marks of byte order."""


def check_utf8(arrival: Arrival, is_json: bool) -> tuple[bytes, bool]:
    """First bytes of a text in UTF-8; whether it may have blank lines or several kinds of line ends.

    Raises:
        Refused: it is no text in UTF-8, is empty, or has a line or a number without an end.
    """
    head = bytearray()
    decoder = codecs.getincrementaldecoder("utf-8")()
    total, is_uneven, ends, before, digits, text_length = 0, False, set[bytes](), b"", b"", 0
    for block in blocks_of(arrival) if is_json else _check_lines(arrival, blocks_of(arrival)):
        if not total:
            _check_kind(arrival, block)
            _check_mark(arrival, "utf-8", block)
        if len(head) < MAX_HEADER:
            head += block
        if any(character in block for character in FORBIDDEN):
            raise control(arrival)
        pending = len(decoder.getstate()[0])
        try:
            if pending or not block.isascii():
                decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _other_encoding(arrival, "utf-8", total - pending + error.start) from error
        if is_json:
            _check_digits(arrival, digits + block)
            digits = block[-LONG_NUMBER:]
            text_length = _check_text(arrival, block, text_length)
        has_returns = b"\r" in before or b"\r" in block
        is_uneven = is_uneven or _has_blank_line(before + block[:2]) or _has_blank_line(block)
        ends |= _line_ends(block, before) if has_returns else {b"\n"} if b"\n" in block else set()
        before = block[-2:]
        total += len(block)
    _check_end(arrival, decoder)
    text = bytes(head).removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise empty(arrival)
    return text, is_uneven or len(ends) > 1 or text[:1] in (b"\n", b"\r")


def check_encoded(arrival: Arrival, encoding: str, is_json: bool) -> None:
    """Decode a text that is not in UTF-8, and find out whether it is what the contract says.

    Raises:
        Refused: it is in another encoding, is empty, or has a line or a number without an end.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    as_utf8 = codecs.getincrementaldecoder("utf-8")()
    is_ascii, is_utf8, is_blank, total, digits, text_length = True, _has_one_byte(encoding), True, 0, b"", 0
    for block in blocks_of(arrival) if is_json else _check_lines(arrival, blocks_of(arrival)):
        if not total:
            _check_kind(arrival, block)
            _check_mark(arrival, encoding, block)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _other_encoding(arrival, encoding, total - pending + error.start) from error
        if CONTROL.search(text):
            raise control(arrival)
        if is_json:
            plain = text.encode("ascii", errors="replace")
            _check_digits(arrival, digits + plain)
            digits = plain[-LONG_NUMBER:]
            text_length = _check_text(arrival, plain, text_length)
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
        raise empty(arrival)
    if is_utf8 and not is_ascii and not as_utf8.getstate()[0]:
        # Nobody writes, in an encoding of one byte a letter, letters that are UTF-8 from first to last.
        raise refused(
            arrival,
            f"is utf-8, and the contract says {encoding}",
            "mend format.encoding in the contract, or ask the sender",
        )


def _has_one_byte(encoding: str) -> bool:
    """Whether an encoding has one byte a character, and ASCII where ASCII is."""
    letters = bytes(range(256)).decode(encoding, errors="replace")
    is_one_each = len(letters) == 256 and len("é".encode().decode(encoding, errors="replace")) == 2
    return is_one_each and letters[:128] == bytes(range(128)).decode()


def _check_digits(arrival: Arrival, text: bytes) -> None:
    if re.search(rb"[0-9]{%d}" % LONG_NUMBER, text):
        raise refused(
            arrival,
            f"holds a number of more than {LONG_NUMBER:,} digits",
            "ask the sender for the file without it",
        )


def _check_text(arrival: Arrival, block: bytes, length: int) -> int:
    """Bytes since the last quotation mark; refuses a text in JSON that is longer than any record."""
    quote = block.rfind(b'"')
    length = len(block) - quote - 1 + (length if quote < 0 else 0)
    if length > MAX_LINE:
        raise refused(
            arrival,
            f"holds a text of more than {MAX_LINE >> 20} MiB",
            "ask the sender for the file without it",
        )
    return length


def _check_mark(arrival: Arrival, encoding: str, block: bytes) -> None:
    mark = next((mark for mark in MARKS if block.startswith(mark)), None)
    if encoding == "utf-16" and mark not in MARKS[1:]:
        raise refused(
            arrival,
            "is not utf-16: it does not begin with a mark of byte order",
            "write utf-16-le or utf-16-be in the contract, or ask the sender",
        )
    if mark and (_has_one_byte(encoding) or (encoding == "utf-8" and mark != codecs.BOM_UTF8)):
        found = "utf-8" if mark == codecs.BOM_UTF8 else "utf-16"
        raise refused(
            arrival,
            f"is {found} by its mark of byte order, and the contract says {encoding}",
            "mend format.encoding in the contract, or ask the sender",
        )


def _check_kind(arrival: Arrival, block: bytes) -> None:
    """Say what a file is that is no text: a person cannot see it from its name."""
    kind = next((kind for begins, kind in BINARY.items() if block.startswith(begins)), None)
    if kind == "a zip archive" and b"[Content_Types].xml" in block:
        kind = "a workbook of Excel"
    if kind is None:
        return
    actions = {
        "a zip archive": "ask the sender for the file itself, or packed with gzip and named .gz",
        "packed with gzip": "ask the sender to name it .gz, and let `files` of the contract match that",
        "a PDF": "ask the sender for a text file",
    }
    mend = "mend format.type in the contract, or ask the sender for a text file"
    said = ", and its name does not say so" if kind == "packed with gzip" else ", no text"
    raise refused(arrival, f"is {kind}{said}", actions.get(kind, mend))


def _check_end(arrival: Arrival, decoder: codecs.IncrementalDecoder) -> None:
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise refused(
            arrival, "ends in the middle of a character", "ask the sender to send it again"
        ) from error


def _has_blank_line(text: bytes) -> bool:
    # A pattern finds two line ends in half the time that `in` takes.
    return NO_LINE.search(text) is not None or (b"\r" in text and (b"\n\r\n" in text or b"\r\r" in text))


def _line_ends(block: bytes, before: bytes) -> set[bytes]:
    """The kinds of line ends in a block; one that lies across two blocks is judged with the second."""
    text = before[-1:] + block if before.endswith(b"\r") else block
    if text.endswith(b"\r"):
        text = text[:-1]
    windows = text.count(b"\r\n")
    kinds = ((b"\r\n", windows), (b"\n", text.count(b"\n") - windows), (b"\r", text.count(b"\r") - windows))
    return {kind for kind, times in kinds if times}


def blocks_of(arrival: Arrival) -> Iterator[bytes]:
    """The bytes of a file, unpacked.

    Raises:
        Refused: they are damaged, or a bomb.
    """
    total = 0
    try:
        with formats.opened(arrival.path) as file:
            while block := file.read(BLOCK):
                total += len(block)
                check_expansion(arrival, total)
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise refused(
            arrival, "the gzip data are truncated or damaged", "ask the sender to send it again"
        ) from error


def _check_lines(arrival: Arrival, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, as long as none of their lines is endless."""
    length = 0
    for block in blocks:
        end = max(block.rfind(b"\n"), block.rfind(b"\r"))
        length = len(block) - end - 1 + (length if end < 0 else 0)
        if length > MAX_LINE:
            raise refused(
                arrival,
                f"holds a line of more than {MAX_LINE >> 20} MiB",
                "ask the sender for one record a line",
            )
        yield block


def check_expansion(arrival: Arrival, size: int) -> None:
    """Refuse a bomb by the number of its unpacked bytes so far."""
    if size > SMALL and size > MAX_EXPANSION * arrival.size:
        raise refused(
            arrival,
            f"unpacks to more than {MAX_EXPANSION} times its size",
            "ask the sender for the file unpacked, or in parts",
        )


def bring_back(arrival: Arrival) -> str:
    """What to do about a file whose bytes in the landing area are no longer those that arrived."""
    folder = arrival.path.parent
    return (
        f"copy landing/{folder.parent.name}/{folder.name[:12]}… back from a backup, "
        f"then make requeue FILE={shlex.quote(arrival.file)}"
    )


def refused(arrival: Arrival, reason: str, next_action: str, column: str | None = None) -> Refused:
    """The refusal of a whole file."""
    return Refused(Message(arrival.file, reason, next_action, column=column))


def empty(arrival: Arrival) -> Refused:
    """The refusal of a file without anything in it."""
    return refused(arrival, "is empty", "ask the sender whether there was nothing to send")


def control(arrival: Arrival, record: int | None = None) -> Refused:
    """The refusal of a file with characters that no text holds, in a record of a table if one is given."""
    return Refused(
        Message(
            arrival.file,
            "holds control characters, so it is not text",
            f"ask the sender for {'a text file' if record is None else 'the file without them'}",
            record,
        )
    )


def _other_encoding(arrival: Arrival, encoding: str, position: int) -> Refused:
    return refused(
        arrival,
        f"is not {encoding}: byte {position:,}",
        f"ask the sender for {encoding}, or convert the file",
    )
