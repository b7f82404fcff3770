"""Bytes of one encoding as bytes of UTF-8, for parsers that read nothing else."""

import codecs
import io


class _Transcoded(io.RawIOBase):
    def __init__(self, file: io.BufferedIOBase, encoding: str) -> None:
        self.text = codecs.getreader(encoding)(file)
        self.is_first = True

    def read(self, size: int = -1) -> bytes:
        text = self.text.read(size, size) if size > 0 else self.text.read()
        if self.is_first and text:
            text, self.is_first = text.removeprefix("\ufeff"), False
        return text.encode()

    def readable(self) -> bool:
        return True


def as_utf8(file: io.BufferedIOBase, encoding: str) -> io.BufferedIOBase | io.RawIOBase:
    """The same text in UTF-8, without a mark of byte order; the file can go back to its start."""
    if encoding != "utf-8":
        return _Transcoded(file, encoding)
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return file
