"""The first records of a sample whose format nobody has stated: compression, encoding, delimiter, header."""

import csv
import gzip
import io
import json
import re
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from charset_normalizer import from_bytes

from nightledger.ingestion import formats
from nightledger.ingestion.contract import ContractError, FileFormat
from nightledger.ingestion.drafts.profiling import is_number
from nightledger.ingestion.formats import json_records

MOST_BYTES = 8 << 20
MOST_RECORDS = 5_000
ENCODINGS = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp437", "shift_jis", "gb18030", "big5"]
"""What banks write when they do not write Unicode."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How marked UTF-16 begins."""
OF_BANKS = {
    "OFX": r"(?i)OFXHEADER|<OFX>",
    "MT940": r"(?m)^:20:[^\n]*\n(?::\d\d[A-Z]?:|[^\n]*\n){0,6}",
    "CAMT": r"urn:iso:std:iso:20022:tech:xsd:camt\.05[234]",
}
"""How statements in the banks' own formats begin."""
MARKS = ",;\t|"
"""Delimiters that are looked for."""
ROWS_THAT_AGREE = 200
BINARY = {".parquet": "parquet", ".xlsx": "excel", ".xls": "excel"}


@dataclass(frozen=True)
class Sample:
    """What was found: keys of `format`, names of columns, records, and what a person should look at."""

    form: dict[str, Any]
    header: tuple[str, ...]
    records: list[tuple[str | None, ...]]
    doubts: dict[str, str] = field(default_factory=dict)

    def texts(self, number: int, footer: int = 0) -> list[str | None]:
        """The values of a column, without those of the last records, which may be a footer."""
        return [record[number] for record in self.records[: len(self.records) - footer]]


def read(path: Path) -> Sample:
    """Look at the beginning of a file.

    Raises:
        ContractError: nothing in it looks like records.
    """
    kind = BINARY.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if kind:
        return _read_table(path, {"type": kind})
    data = _head(path)
    if _is_binary(data):
        raise ContractError(
            f"{path.name}: is no text; a sample is CSV, JSON, Parquet (name.parquet) or a workbook "
            "(name.xlsx, name.xls). Unpack an archive first; text in UTF-16 needs its byte order mark"
        )
    text, encoding = _decoded(data)
    if not text.strip():
        raise ContractError(f"{path.name}: is empty; give a sample with a few records")
    kind = next((name for name, begins in OF_BANKS.items() if re.search(begins, text[:2000])), None)
    if kind:
        raise ContractError(
            f"{path.name}: is {kind}, whose columns are the same for every bank: "
            f"begin with sources/examples/{kind.lower()}_statement.yml"
        )
    form: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    return _read_json(path, text, form) if text.lstrip()[0] in "[{" else _read_csv(path, text, form)


def _head(path: Path) -> bytes:
    """The first bytes, unpacked, up to the end of a line."""
    try:
        with formats.opened(path) as file:
            data = file.read(MOST_BYTES)
            return data if len(data) < MOST_BYTES else data[: data.rfind(b"\n") + 1] or data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ContractError(f"{path.name}: the gzip data are truncated or damaged") from error


def _is_binary(data: bytes) -> bool:
    return data.startswith(b"%PDF") or (b"\0" in data and data[:2] not in UTF_16)


def _decoded(data: bytes) -> tuple[str, str]:
    if data[:2] in UTF_16:
        return data.decode("utf-16", errors="replace"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        best = from_bytes(data, cp_isolation=ENCODINGS).best()
        alike = [best.encoding, *best.could_be_from_charset] if best else ENCODINGS
        encoding = next(name for name in (*ENCODINGS, *alike) if name in alike)
        return data.decode(encoding, errors="replace"), encoding


def _read_table(path: Path, form: dict[str, Any], doubts: dict[str, str] | None = None) -> Sample:
    """The first records as a night would read them."""
    try:
        table = formats.read(path, FileFormat(**form))
        records = [tuple(row) for row, _ in zip(table.rows, range(MOST_RECORDS), strict=False)]
    except formats.Unreadable as error:
        raise ContractError(f"{path.name}: {error.reason}; {error.next_action}") from error
    return Sample(form, table.header, records, doubts or {})


def _read_json(path: Path, text: str, form: dict[str, Any]) -> Sample:
    try:
        lines: list[Any] = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        lines = []
    if len(lines) > 1:
        return _read_lines(path, lines, {"type": "jsonl", **form})
    try:
        places = json_records.places(path, FileFormat(type="json", **form))
    except formats.Unreadable as error:
        raise ContractError(f"{path.name}: {error.reason}; {error.next_action}") from error
    if not places:
        return _read_lines(path, lines, {"type": "jsonl", **form})
    place = max(places, key=lambda name: places[name])
    others = [f"{name or 'the top'} ({places[name]:,})" for name in places if name != place]
    doubts = {"format": f"or the records are those at {', '.join(others)}"} if others else {}
    return _read_table(path, {"type": "json", **form} | ({"records": place} if place else {}), doubts)


def _read_lines(path: Path, lines: list[Any], form: dict[str, Any]) -> Sample:
    objects = [item for item in lines if isinstance(item, dict)][:MOST_RECORDS]
    if not objects:
        raise ContractError(f"{path.name}: holds no list of JSON objects")
    header = tuple(dict.fromkeys(name for item in objects for name in item))
    nested = [name for name in header if any(isinstance(item.get(name), dict | list) for item in objects)]
    doubts = {"format": f"nested, so read as text: {', '.join(nested)}"} if nested else {}
    records = [tuple(_text(item.get(name)) for name in header) for item in objects]
    return Sample(form, header, records, doubts)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _read_csv(path: Path, text: str, form: dict[str, Any]) -> Sample:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    delimiter, quote = _dialect(text)
    try:
        rows = _rows(text, delimiter, quote, MOST_RECORDS)
    except csv.Error as error:
        raise ContractError(f"{path.name}: cannot be read as CSV: {error}") from error
    width = _width(rows)[1]
    full = [number for number, row in rows.items() if len(row) == width]
    # A title above the names may have as many cells, nearly all of them blank.
    first = next((number for number in full if _is_filled(rows[number])), full[0])
    form = {"type": "csv", **form}
    form |= {"delimiter": delimiter} if delimiter != "," else {}
    form |= {"quote": quote} if quote and quote != '"' else {}
    doubts = {}
    records = [row for number, row in rows.items() if number > first]
    if _is_header(rows[first], records):
        header = tuple(rows[first])
        form |= {"header_row": first} if first > 1 else {}
    else:
        header = tuple(f"column_{n + 1}" for n in range(width))
        records = [row for number, row in rows.items() if number >= full[0]]
        form |= {"header_row": 0, "names": list(header)}
        doubts["format"] = "no header was found: give the columns names, the same ones below"
    odd = sum(len(row) != width for row in records)
    if odd:
        doubts["format"] = f"{odd} of the first {len(records)} records have more or fewer fields than {width}"
    return Sample(form, header, [tuple(row) for row in records if len(row) == width], doubts)


def _rows(text: str, delimiter: str, quote: str, most: int) -> dict[int, list[str]]:
    """The first rows that are not blank, by number; blank ones have a number too."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    return {number: row for number, row in zip(range(1, most + 1), reader, strict=False) if row}


def _width(rows: dict[int, list[str]]) -> tuple[int, int]:
    """How many rows have the most frequent number of cells, and that number."""
    width, times = Counter(len(row) for row in rows.values()).most_common(1)[0]
    return times, width


def _is_filled(row: list[str]) -> bool:
    return sum(bool(cell.strip()) for cell in row) * 2 > len(row)


def _dialect(text: str) -> tuple[str, str]:
    """Delimiter and quote: as the database's sniffer sees them, unless more rows agree on another delimiter.

    The sniffer takes a title above the names for a record, and then decimal commas for delimiters.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "sample.csv"
        copy.write_text(text, encoding="utf-8", newline="")
        try:
            row = duckdb.execute(
                "select Delimiter, Quote from sniff_csv(?, ignore_errors = true, sample_size = 2000)",
                [str(copy)],
            ).fetchone()
        except duckdb.Error:
            row = None
    if row is None or len(row[0]) != 1 or row[0] not in text:
        lines = text.splitlines()[:50]
        return max(MARKS, key=lambda mark: min((line.count(mark) for line in lines if line), default=0)), '"'
    quote = row[1] if row[1] in ("'", '"') else '"'
    return _most_agreed(text, row[0], quote), quote


def _most_agreed(text: str, sniffed: str, quote: str) -> str:
    """The delimiter by which most rows have one number of cells, above one; of equals, the sniffed."""
    agreed: dict[str, int] = {}
    for mark in (sniffed, *MARKS):
        try:
            times, width = _width(_rows(text, mark, quote, ROWS_THAT_AGREE))
        except csv.Error:
            continue
        agreed[mark] = times if width > 1 else 0
    return max(agreed, key=lambda mark: agreed[mark], default=sniffed)


def _is_header(row: list[str], records: list[list[str]]) -> bool:
    """Whether a row names columns: texts, none of them a number, a date, an address or a value of its column.

    Where in doubt it is none: names get into the proposed contract, and values must not.
    """
    names = [cell.strip() for cell in row]
    if any("@" in name for name in names):
        return False
    if any(
        name and name == cell.strip() for record in records for name, cell in zip(names, record, strict=False)
    ):
        return False
    is_value = [is_number(name, ".", ",") or name[:1].isdigit() for name in names if name]
    return _is_filled(names) and not any(is_value)
