"""Bytes of one encoding as bytes of UTF-8, for parsers that read nothing else."""

import codecs
import io
from typing import cast

CHARACTERS = 1 << 16


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
