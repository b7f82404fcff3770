"""Putting files into the inbox: whole from the moment they have their name, never written twice."""

import json
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

GZIP_LEVEL = 1
GZIP_WINDOW = 31
"""zlib's code for a gzip container. It leaves the time stamp 0, so equal text gives equal bytes."""


@dataclass
class Written:
    """What one call of `make` has written.

    Attributes:
        days: business dates added.
        files: data files added, manifests not counted.
        transactions: records in the added transaction files; likewise `events`, `customers`.
    """

    days: int = 0
    files: int = 0
    transactions: int = 0
    events: int = 0
    customers: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True)
class DataFile:
    """One data file before compression (of names that end in .gz).

    `total` is the sum of its amounts where it has any; `feed` what `Written` counts its rows as.
    """

    name: str
    text: bytes
    rows: int
    total: str | None = None
    feed: str = ""


def put_file(folder: Path, file: DataFile, known_at: str, written: Written | None = None) -> None:
    """Write a file and, before it, its manifest; what is there is left alone."""
    manifest: dict[str, Any] = {"rows": file.rows, "known_at": known_at}
    if file.total is not None:
        manifest["sum"] = file.total
    target = folder / file.name
    if target.exists():
        return
    content = file.text
    if target.suffix == ".gz":
        compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
        content = compressor.compress(file.text) + compressor.flush()
    _put(target.with_name(f"{file.name}.manifest.json"), json.dumps(manifest).encode())
    _put(target, content)
    if written is not None:
        written.files += 1
        if file.feed:
            setattr(written, file.feed, getattr(written, file.feed) + file.rows)


def _put(target: Path, content: bytes) -> None:
    """Write a file that is whole from the moment it has its name; one that is there is left alone."""
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(content)
    temporary.replace(target)


def known_at(day: date, timezone: str) -> str:
    """Instant (ISO 8601, UTC) when the files of a business date are known: 01:00 local time of the next."""
    local = datetime.combine(day + timedelta(days=1), time(1, 0), ZoneInfo(timezone))
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
