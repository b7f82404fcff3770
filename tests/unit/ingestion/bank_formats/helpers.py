"""Where the files of banks lie, and what their readers give."""

from pathlib import Path
from typing import Any

import pytest

from nightledger.ingestion.contract import FileFormat
from nightledger.ingestion.formats import Unreadable, read
from nightledger.settings import PROJECT
from tests.helpers.real_files import SHARED
from tests.unit.ingestion.conftest import Bank

EXAMPLES = PROJECT / "sources" / "examples"
EXCERPTS = PROJECT / "tests" / "data" / "bank_formats"
FORMATS = SHARED / "formats"
Row = dict[str, str | None]


def files(folder: str, pattern: str, without: tuple[str, ...] = ()) -> list[Any]:
    """Parameters: the files of a folder of others; one that fails in CI where the folder is not there."""
    found = sorted(path for path in (FORMATS / folder).rglob(pattern) if path.name not in without)
    return [pytest.param(path, id=path.name) for path in found] or [FORMATS / folder / pattern]


def rows(path: Path, **form: Any) -> list[Row]:
    """The records of a file as its reader gives them."""
    table = read(path, FileFormat(**form))
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def loaded(bank: Bank) -> list[tuple[Any, ...]]:
    """What came into the warehouse, in the order of the file."""
    return bank.rows("select amount, business_date, currency from raw.transactions order by _record")


def written(folder: Path, content: bytes | str, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusals(paths: list[Path], **form: Any) -> str:
    """Why each of the files cannot be read, one a line."""
    lines = []
    for path in paths:
        with pytest.raises(Unreadable) as refused:
            rows(path, **form)
        error = refused.value
        lines.append(
            f"{path.name} · record {error.record or '–'} · column {error.column or '–'} · {error.reason} · "
            f"next: {error.next_action}"
        )
    return "\n".join(lines)
