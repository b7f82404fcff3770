"""What the scores of one model, version and date were made with, kept beside their vectors for a replay.

A receipt id is the hash of who was scored, by which version, and of the feature vector
(`receipts`). What all the receipts of a partition share lies here: the artefact's hash, the
features with the hashes of their definitions, and the rules and words of that night, which may change later
without another version. Publication and git revision follow when the partition is archived; nothing of them
is in this file, so that a night that is run again writes the same bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from ml.features import Feature
from ml.scores.adverse_action import Catalogue
from ml.scores.config import UseCase
from ml.scores.matrix import Matrix
from nightledger.settings import Settings

FILE = "receipt.json"
KEY = ("client_id", "model", "model_version", "entity", "entity_id", "as_of_date")
SAID = ("score", "margin", "band", "confidence", "score_lo", "score_hi", "support", "is_out_of_range")
"""Columns of a score that can be computed again; the expected value needs money that is not archived."""
REASON = ("rank", "feature", "reason_code", "value", "contribution", "text")
WHAT_IF = ("rank", "feature", "value", "typical", "score", "score_without")


class ReceiptError(RuntimeError):
    """What belongs to a receipt is missing or cannot be read; the message says what to do."""


def features_from(rows: Iterable[Mapping[str, Any]]) -> tuple[Feature, ...]:
    """Features from JSON of their fields."""
    fields: list[dict[str, Any]] = [
        {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        for row in rows
    ]
    return tuple(Feature(**row) for row in fields)


@dataclass(frozen=True)
class Circumstances:
    """What a partition of scores was made with."""

    model: str
    """As the registry calls it."""
    version: str
    as_of_date: date
    artefact_sha256: str
    use_case: UseCase
    """As its YAML was that night."""
    features: tuple[Feature, ...]
    catalogue: Catalogue | None
    """Reasons that may be given, where the use case has a catalogue."""

    def write(self, folder: Path) -> None:
        """Write the file beside the vectors; the same circumstances give the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "model": self.model,
            "version": self.version,
            "as_of_date": self.as_of_date.isoformat(),
            "artefact_sha256": self.artefact_sha256,
            "use_case": self.use_case.model_dump(mode="json"),
            "features": [asdict(feature) for feature in self.features],
            "catalogue": self.catalogue.rows() if self.catalogue else None,
        }
        part = folder / f"{FILE}.part"
        part.write_text(json.dumps(content, indent=1))
        part.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> "Circumstances":
        """Read what `write` wrote.

        Raises:
            ReceiptError: the file is gone, or was written by code that described use cases otherwise.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text())
            return cls(
                model=content["model"],
                version=content["version"],
                as_of_date=date.fromisoformat(content["as_of_date"]),
                artefact_sha256=content["artefact_sha256"],
                use_case=UseCase(**content["use_case"]),
                features=features_from(content["features"]),
                catalogue=Catalogue.from_rows(content["catalogue"]) if content["catalogue"] else None,
            )
        except FileNotFoundError as error:
            raise ReceiptError(
                f"{path} is not there: these scores were archived before receipts held what they were made of"
            ) from error
        except (ValidationError, TypeError, KeyError, ValueError) as error:
            raise ReceiptError(
                f"{path} cannot be read by this code ({type(error).__name__}). Check out the git revision "
                "that wrote it, which the publication.json of its archive names, and replay there"
            ) from error


@dataclass(frozen=True)
class Record:
    """What one place says of a score."""

    place: str
    role: str
    said: dict[str, Any]
    """By `SAID`."""
    reasons: list[dict[str, Any]]
    """By `REASON`, in the order of their ranks."""
    what_ifs: list[dict[str, Any]]
    """By `WHAT_IF`, likewise."""

    @classmethod
    def of(
        cls,
        place: str,
        score: Mapping[str, Any],
        reasons: Iterable[Mapping[str, Any]],
        what_ifs: Iterable[Mapping[str, Any]],
    ) -> "Record":
        """From rows of scores, reasons and what-ifs; a column that was not kept yet says nothing."""
        said = {name: score.get(name) for name in SAID}
        return cls(
            place,
            score["role"],
            said,
            [part(row, *REASON) for row in reasons],
            [part(row, *WHAT_IF) for row in what_ifs],
        )


@dataclass(frozen=True)
class Scored:
    """An archived score and what it was made from."""

    circumstances: Circumstances
    publication: dict[str, Any]
    """What the archive keeps of `publication.json`."""
    key: dict[str, Any]
    """By `KEY`."""
    vector: pa.Table
    """One row: `KEY` without entity, receipt_id, the features."""
    usual: pa.Table | None
    """What an unusual row was compared with (`ml.scores.deviations.USUAL`)."""
    record: Record


def receipts(clients: pa.Array, entities: pa.Array, about: Sequence[str], matrix: Matrix) -> pa.StringArray:
    """Hash of what each score was made from: key, model version and feature vector, and nothing else.

    SHA-256 of the texts, each followed by the separator 0x1f, and of the vector as little-endian floats.

    Args:
        clients: of each row.
        entities: id of each row.
        about: use case, entity, as-of date and version; the version fixes the features' names and order.
        matrix: the features as used, rows × features; missing values count alike, and so do 0.0 and -0.0.
    """
    plain = (matrix + np.float32(0)).astype("<f4", copy=False)
    missing = np.isnan(plain)
    if missing.any():
        plain[missing] = np.float32("nan")
    rows, width = len(plain), plain.shape[1] * plain.itemsize
    vectors = pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(plain)]).cast(pa.binary())
    end = "".join(f"{text}\x1f" for text in about)
    texts = pc.binary_join_element_wise(clients, entities, end, "\x1f")
    hashed = pc.binary_join_element_wise(texts.cast(pa.binary()), vectors, b"")
    if isinstance(hashed, pa.ChunkedArray):
        hashed = hashed.combine_chunks()
    _, places, content = hashed.buffers()
    ends = np.frombuffer(places, np.int32, rows + 1).tolist()
    whole, sha256_of = memoryview(content), hashlib.sha256
    digests = b"".join([sha256_of(whole[at:to]).digest() for at, to in pairwise(ends)])
    # As text in one go: a Python text for each row would cost as much as its hash.
    letters = pa.py_buffer(digests.hex().encode())
    return pa.StringArray.from_buffers(rows, pa.py_buffer(np.arange(rows + 1, dtype=np.int32) * 64), letters)


def part(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some of the columns of a row."""
    return {name: row[name] for name in names}


def find(settings: Settings, receipt_id: str) -> list[Scored]:
    """The archived scores that have a receipt, by publication; several where a night was run again.

    Raises:
        ReceiptError: something that belongs to them is gone from the archive.
    """
    files = [
        path
        for path in settings.archive.glob("*/vectors/*/*/*/part.parquet")
        if not _root(path).name.endswith(".part")
    ]
    if not files:
        return []
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set threads = {settings.threads:d}")
        connection.execute("set memory_limit = ?", [settings.memory_limit])
        rows = connection.execute(
            "select distinct filename from read_parquet($files, filename = true, hive_partitioning = false)"
            " where receipt_id = $receipt",
            {"files": sorted(map(str, files)), "receipt": receipt_id},
        ).fetchall()
        return [_read(connection, Path(name), receipt_id) for (name,) in sorted(rows)]


def described(path: Path) -> dict[str, Any]:
    """What a `publication.json` says.

    Raises:
        ReceiptError: it is gone, or no such file.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ReceiptError(f"{path} cannot be read ({type(error).__name__})") from error
    return content


def _root(vectors: Path) -> Path:
    """Archive of the publication that a file of vectors belongs to."""
    return vectors.parents[4]


def _read(connection: duckdb.DuckDBPyConnection, vectors: Path, receipt_id: str) -> Scored:
    root = _root(vectors)
    partition = vectors.parent.relative_to(root / "vectors")
    circumstances = Circumstances.read(vectors.parent)
    publication = described(root / "publication.json")

    def rows(kind: str, where: str, values: Mapping[str, Any]) -> pa.Table:
        path = root / kind / partition / "part.parquet"
        if not path.exists():
            raise ReceiptError(f"{path} is gone from the archive")
        return connection.execute(
            f"select * from read_parquet($path, hive_partitioning = false) where {where}",  # noqa: S608
            {"path": str(path), **values},
        ).to_arrow_table()

    vector, scores = (
        rows(kind, "receipt_id = $receipt", {"receipt": receipt_id}) for kind in ("vectors", "scores")
    )
    if (vector.num_rows, scores.num_rows) != (1, 1):
        raise ReceiptError(
            f"the archive of {root.name} has {vector.num_rows} vectors and {scores.num_rows} scores with the "
            "receipt, not 1 and 1"
        )
    score = scores.to_pylist()[0]
    of_row = "client_id = $client_id and entity_id = $entity_id"
    key = part(score, "client_id", "entity_id")
    return Scored(
        circumstances=circumstances,
        publication=publication,
        key=part(score, *KEY),
        vector=vector,
        usual=rows("usual", of_row, key) if (root / "usual" / partition).is_dir() else None,
        record=Record.of(
            f"archive of {root.name}",
            score,
            *(rows(kind, f"{of_row} order by rank", key).to_pylist() for kind in ("reasons", "what_if")),
        ),
    )
