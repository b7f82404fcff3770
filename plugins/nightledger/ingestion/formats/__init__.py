"""Formats that are no text with one record a line: each module turns a file into one table of texts.

A table is copied into CSV and read like any other file, so keys, quarantine and totals are the same for all.
"""

import gzip
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

MODULES = {
    "json": "json_records",
    "parquet": "parquet",
    "excel": "excel",
    "ofx": "ofx",
    "mt940": "mt940",
    "camt": "camt",
}
"""Module of this package by `format.type`. Each has `read(path, form)`, as below."""
LARGEST_STATEMENT = 64 << 20
OF_BANKS = ("ofx", "mt940", "camt")
"""Types whose columns are their reader's for every file: a contract need not name the ones it leaves."""


class Unreadable(Exception):
    """A file is not what its contract says; becomes the refusal of the whole file.

    `reason` and `next_action` are parts of the message that a person reads; neither quotes a value.
    """

    def __init__(
        self, reason: str, next_action: str, *, record: int | None = None, column: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason, self.next_action, self.record, self.column = reason, next_action, record, column


@dataclass(frozen=True)
class Table:
    """The records of a file as text.

    `rows` yields one sequence per record, in the order of the file, as long as `header`; None is a missing
    value. Dates are ISO 8601, numbers plain decimals with a point, times carry an offset where the format
    states one. `stated` is what the file's own trailer says (rows, sum), complete when the rows are drawn.
    """

    header: tuple[str, ...]
    rows: Iterator[Sequence[str | None]]
    stated: dict[str, object] = field(default_factory=dict)


def opened(path: Path) -> gzip.GzipFile | BufferedReader:
    """The bytes of a file, unpacked."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def whole(file: gzip.GzipFile | BufferedReader) -> bytes:
    """All bytes of a file that is read at once.

    Raises:
        Unreadable: there are more than a statement has; reading it takes eight times its size in memory.
    """
    content = file.read(LARGEST_STATEMENT + 1)
    if len(content) > LARGEST_STATEMENT:
        size = f"is larger than {LARGEST_STATEMENT >> 20} MiB, more than any statement"
        raise Unreadable(size, "ask the sender for the file in parts")
    return content


def read(path: Path, form: "FileFormat") -> Table:
    """The table of a landed file.

    Raises:
        Unreadable: at once, or while the rows are drawn.
    """
    module = importlib.import_module(f"{__name__}.{MODULES[form.type]}")
    table: Table = module.read(path, form)
    return table
