"""Workbooks of Excel, .xls and .xlsx, in which people put rows above the names and below the records.

Numbers have the 15 digits that Excel shows, whole numbers all of theirs; dates are ISO, and so are times,
which a column has as soon as one of its cells has a time of day. Cells with an error are missing values.
"""

import datetime
import io
import math
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from python_calamine import CalamineSheet, CalamineWorkbook

from nightledger.ingestion.formats import Table, Unreadable, excel_probe, opened
from nightledger.ingestion.formats.records import Sieve, added

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

MAX_BYTES = 256 << 20
"""Of a workbook: it is held in memory."""
MAX_UNPACKED = 1 << 30
MAX_SECONDS = 600
"""In which a workbook must open."""
MAX_CELLS = 30_000_000
"""Of a sheet, from its first to its last: each takes memory, filled or not."""
COMPOUND, PACKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x03\x04"
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_DIGITS = Context(prec=15)
_AGAIN = "ask the sender to send it again"
_CELL = re.compile(rb' r="([A-Z]{1,3})([0-9]{1,7})"')

_Cells = list[str | None]


def read(path: Path, form: "FileFormat") -> Table:
    """The table of all sheets that the contract names, one below the other.

    Raises:
        Unreadable: no workbook, encrypted, damaged, a bomb, without the sheet or its names, or with sheets
            that differ.
    """
    with opened(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES >> 20} MiB", "ask the sender for the file in parts")
    _check_container(content)
    _probe(content)
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    sheets = [book.get_sheet_by_name(name) for name in _names(book, form)]
    filled = [sheet for sheet in sheets if sheet.height]
    if not filled:
        raise Unreadable("is empty", "ask the sender whether there was nothing to send")
    headers = [_header(sheet, form) for sheet in filled]
    for sheet, header in zip(filled, headers, strict=True):
        if _given(header) != _given(headers[0]):
            raise Unreadable(
                f"the sheet {sheet.name!r} has other columns than {filled[0].name!r}",
                "name the sheets with records in format.sheets of the contract",
            )
    stated: dict[str, object] = {}
    return Table(_given(headers[0]), _rows(filled, headers, form, stated), stated)


def _probe(content: bytes) -> None:
    """Open the workbook in another process first, as a damaged one can abort the one that opens it."""
    command = [sys.executable, "-I", str(Path(excel_probe.__file__))]
    try:
        done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=MAX_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise Unreadable("takes too long to open", "ask the sender for the file in parts") from error
    if done.returncode == excel_probe.PROTECTED:
        raise _encrypted()
    if done.returncode:
        raise Unreadable("is no workbook of Excel, or is damaged", _AGAIN)


def _names(book: CalamineWorkbook, form: "FileFormat") -> Sequence[str]:
    if form.sheets == "*":
        return book.sheet_names
    wanted = [form.sheets] if isinstance(form.sheets, str) else form.sheets
    for name in wanted:
        if name not in book.sheet_names:
            there = ", ".join(repr(other[:40]) for other in book.sheet_names[:10])
            raise Unreadable(
                f"has no sheet {name!r}; it has {there}",
                "mend format.sheets in the contract, or ask the sender",
            )
    return wanted


def _header(sheet: CalamineSheet, form: "FileFormat") -> tuple[str, ...]:
    """The names of a sheet's columns, blank where there is none."""
    if form.header_row == 0:
        return form.names
    row = next((cells for number, cells in enumerate(sheet.iter_rows(), 1) if number == form.header_row), [])
    header = tuple(" ".join((_text(cell) or "").split()) for cell in row)
    if not any(header):
        raise Unreadable(
            f"row {form.header_row} of the sheet {sheet.name!r} has no names",
            "mend format.header_row in the contract, or name the sheets with records in format.sheets",
        )
    return header


def _given(header: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in header if name)


def _rows(
    sheets: list[CalamineSheet],
    headers: list[tuple[str, ...]],
    form: "FileFormat",
    stated: dict[str, object],
) -> Iterator[_Cells]:
    before = 0
    for sheet, header in zip(sheets, headers, strict=True):
        sieve = Sieve.of_cells(form, header)
        for number, cells in enumerate(sieve.records(_cells(sheet, form.header_row)), before + 1):
            yield _named(list(cells), header, number)
            before = number
        stated.update(added(stated, sieve.stated) if stated else sieve.stated)


def _named(cells: _Cells, header: tuple[str, ...], number: int) -> _Cells:
    """The cells below a name, of which there are as many as names.

    Raises:
        Unreadable: a cell stands where there is no name.
    """
    if any(cell for place, cell in enumerate(cells) if place >= len(header) or not header[place]):
        raise Unreadable(
            "a cell is filled in a column without a name",
            "mend format.header_row or footer_rows in the contract, or ask the sender",
            record=number,
        )
    cells += [None] * (len(header) - len(cells))
    return [cell for cell, name in zip(cells, header, strict=False) if name]


def _cells(sheet: CalamineSheet, above: int) -> Iterator[_Cells]:
    """The rows below the names that are not blank, as texts."""
    times = {
        place
        for row in sheet.iter_rows()
        for place, cell in enumerate(row)
        if isinstance(cell, datetime.datetime)
    }
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number > above:
            cells = [_text(cell, place in times) for place, cell in enumerate(row)]
            if any(cells):
                yield cells


def _text(cell: Any, is_time: bool = False) -> str | None:
    """A cell as text; a day is its midnight in a column of times."""
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float | int):
        return _number(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    if isinstance(cell, datetime.date):
        return f"{cell.isoformat()} 00:00:00" if is_time else cell.isoformat()
    return str(cell) if isinstance(cell, datetime.time | datetime.timedelta) else None


def _number(cell: float) -> str:
    if not math.isfinite(cell):
        return str(cell)
    if cell == int(cell):
        return str(int(cell))
    return format(_DIGITS.create_decimal(Decimal(cell)).normalize(), "f")


def _check_container(content: bytes) -> None:
    """Refuse what is no workbook, and what would fill the memory, before anything unpacks it."""
    if not content:
        raise Unreadable("is empty", "ask the sender whether there was nothing to send")
    if content.startswith(COMPOUND):
        if ENCRYPTED in content:
            raise _encrypted()
        return
    if not content.startswith(PACKED):
        raise Unreadable("is no workbook of Excel", "ask the sender for .xls or .xlsx, or mend format.type")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
                raise _bomb()
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    _check_entry(file, entry.filename.startswith("xl/worksheets/"))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Unreadable("is no workbook of Excel, or is damaged", _AGAIN) from error


def _check_entry(file: IO[bytes], is_sheet: bool) -> None:
    """Unpack one entry, as its stated size may lie; in a sheet, see how far its cells reach."""
    unpacked, tail, rows, columns = 0, b"", 0, 0
    while block := file.read(1 << 20):
        unpacked += len(block)
        if unpacked > MAX_UNPACKED:
            raise _bomb()
        if is_sheet:
            text = tail + block
            pieces = text.split(b"<row")
            tail = pieces[-1][-64:] if len(pieces) == 1 else b"<row" + pieces[-1]
            tail = tail[-(1 << 16) :]
            for piece in pieces:
                rows += 1
                columns = max(columns, piece.count(b"<c"))
                last = piece.rfind(b' r="')
                place = _CELL.match(piece, last) if last >= 0 else None
                if place:
                    rows, columns = max(rows, int(place[2])), max(columns, _column(place[1]))
    if rows * columns > MAX_CELLS:
        raise Unreadable(
            f"a sheet reaches over {rows:,} rows and {columns:,} columns",
            "ask the sender for a sheet without cells far below or beside the records",
        )


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _bomb() -> Unreadable:
    return Unreadable(
        f"unpacks to more than {MAX_UNPACKED >> 30} GiB", "ask the sender for the file in parts"
    )


def _encrypted() -> Unreadable:
    return Unreadable("is protected by a password", "ask the sender for the file without one")
