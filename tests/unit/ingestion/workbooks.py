"""Writes small .xlsx workbooks, plain ones and hostile ones, without a library that would mend them."""

import datetime
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

EPOCH = datetime.datetime(1899, 12, 30)
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def letters(column: int) -> str:
    """Name of a column; A is 1."""
    name = ""
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def cell(row: int, column: int, value: Any) -> str:
    """A cell in XML; days and times are numbers with a style, as Excel keeps them."""
    place = f'r="{letters(column)}{row}"'
    if isinstance(value, bool):
        return f'<c {place} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.datetime):
        return f'<c {place} s="2"><v>{(value - EPOCH) / datetime.timedelta(days=1)!r}</v></c>'
    if isinstance(value, datetime.date):
        return f'<c {place} s="1"><v>{(value - EPOCH.date()).days}</v></c>'
    if isinstance(value, int | float):
        return f"<c {place}><v>{'1e999' if value == float('inf') else repr(value)}</v></c>"
    return f'<c {place} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def sheet(rows: Sequence[Sequence[Any]]) -> str:
    """A sheet in XML; None is an empty cell."""
    lines = [
        f'<row r="{number}">'
        + "".join(cell(number, place, value) for place, value in enumerate(row, 1) if value is not None)
        + "</row>"
        for number, row in enumerate(rows, 1)
    ]
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]] | str]) -> bytes:
    """A workbook of sheets by name, each of rows or of ready XML."""
    names = list(sheets)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_LINKS}"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
        + "".join(
            f'<sheet name="{escape(name)}" sheetId="{number}" r:id="r{number}"/>'
            for number, name in enumerate(names, 1)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_LINKS}">'
        + "".join(
            f'<Relationship Id="r{number}" Type="{_OFFICE}/worksheet" Target="worksheets/s{number}.xml"/>'
            for number in range(1, len(names) + 1)
        )
        + f'<Relationship Id="style" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="3"><xf numFmtId="0"/>'
        '<xf numFmtId="14"/><xf numFmtId="22"/></cellXfs></styleSheet>',
    }
    for number, name in enumerate(names, 1):
        given = sheets[name]
        parts[f"xl/worksheets/s{number}.xml"] = given if isinstance(given, str) else sheet(given)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return buffer.getvalue()
