"""Bytes of one encoding as bytes of UTF-8, for parsers that read nothing else."""

import codecs
import io
import re
from typing import cast

CHARACTERS = 1 << 16
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.?)",
    re.DOTALL,
)
"""An escape of JSON: both halves of a character, one half alone (the group), or any other."""
LONGEST_ESCAPE = 12
NO_TEXT = rb"\u001e"
"""Stands in for half of a character: a control character, which no text holds either."""


class _Transcoded(io.RawIOBase):
    def __init__(self, file: io.BufferedIOBase, encoding: str) -> None:
        self.text = codecs.getreader(encoding)(file)
        self.rest = self.text.read(CHARACTERS, CHARACTERS).removeprefix("\ufeff").encode()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer, or a part of it; 0 at the end of the file."""
        target = memoryview(cast("bytearray", buffer))
        if not self.rest:
            self.rest = self.text.read(CHARACTERS, CHARACTERS).encode()
        size = min(len(target), len(self.rest))
        target[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


def as_utf8(file: io.BufferedIOBase, encoding: str) -> io.BufferedIOBase | io.RawIOBase:
    """The same text in UTF-8, without a mark of byte order; the file can go back to its start."""
    if encoding != "utf-8":
        return _Transcoded(file, encoding)
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return file


class WithoutHalves:
    """JSON in which half of a character, escaped and alone, is the escape of a control character.

    The parser of JSON would write a question mark for it, or take the next letter for the other half.
    """

    def __init__(self, file: io.BufferedIOBase | io.RawIOBase) -> None:
        self.file, self.rest = file, b""

    def read(self, size: int = -1) -> bytes:
        """Some more bytes, not always as many as asked for; none at the end of the file."""
        while True:
            block = self.file.read(size)
            data = self.rest + (block or b"")
            end = _end_of_escapes(data) if block else len(data)
            data, self.rest = data[:end], data[end:]
            if data or not block:
                return ESCAPE.sub(_whole, data) if _has_half(data) else data


def _has_half(data: bytes) -> bool:
    return b"\\ud" in data or b"\\uD" in data


def _whole(escape: re.Match[bytes]) -> bytes:
    return NO_TEXT if escape[1] else escape[0]


def _end_of_escapes(data: bytes) -> int:
    """Where the last escape begins that may go on behind these bytes; their length if there is none."""
    last = data.rfind(b"\\", max(0, len(data) - LONGEST_ESCAPE))
    if last < 0:
        return len(data)
    if _has_half(data):
        # From the first one on, as only that tells which backslash begins an escape.
        far = (found.start() for found in ESCAPE.finditer(data))
        return next((start for start in far if start > len(data) - LONGEST_ESCAPE), len(data))
    while last and data[last - 1 : last] == b"\\":
        last -= 1
    return last
