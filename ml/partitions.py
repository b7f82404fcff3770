"""Where the night's models leave their rows for dbt: one Parquet file a kind, model, version and date."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 50_000
"""Rows worked on at a time; also the row groups of the files."""


@dataclass(frozen=True)
class Pin:
    """A version that works on a date."""

    model: str
    """As the registry calls it: the model's file, or `<file>.<member>` of its scope."""
    as_of_date: date
    version: str
    role: str
    """champion or challenger."""

    @property
    def name(self) -> str:
        """Name of the model's file."""
        return self.model.partition(".")[0]

    @property
    def member(self) -> str:
        """Which client, vertical or segment it works on; empty: all."""
        return self.model.partition(".")[2]


def folder(lake: Path, kind: str, pin: Pin) -> Path:
    """Where the rows of a kind lie."""
    return lake / kind / f"model={pin.model}" / f"version={pin.version}" / f"as_of={pin.as_of_date}"


@contextmanager
def partition(lake: Path, kind: str, pin: Pin, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Writer of one partition, which replaces the old file only when all was written."""
    place = folder(lake, kind, pin)
    place.mkdir(parents=True, exist_ok=True)
    # One name for every try: what a killed one left is overwritten, and never gets into the archive.
    part = place / "part.parquet.part"
    try:
        # Ids and hashes do not repeat, and numbers hardly: dictionaries of them would be given up after the
        # first page, and hexadecimal digits cannot be packed either.
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        repeated = [name for name in texts if not name.endswith("_id") or name == "client_id"]
        packed = {name: "NONE" if name == "receipt_id" else "SNAPPY" for name in schema.names}
        with pq.ParquetWriter(
            part, schema, use_dictionary=repeated, write_statistics=texts, compression=packed
        ) as writer:
            yield writer
        part.replace(place / "part.parquet")
    finally:
        part.unlink(missing_ok=True)
