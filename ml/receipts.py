"""What the scores of one model, version and date were made with, kept beside their vectors for a replay.

A receipt id is the hash of who was scored, by which version, and of the feature vector
(`ml.scoring.receipts`). What all the receipts of a partition share lies here: the artefact's hash, the
features with the hashes of their definitions, and the rules and words of that night, which may change later
without another version. Publication and git revision follow when the partition is archived; nothing of them
is in this file, so that a night that is run again writes the same bytes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import ValidationError

from ml.adverse_action import Catalogue
from ml.config import UseCase
from ml.features import Feature
from nightledger.settings import Settings

FILE = "receipt.json"
KEY = ("client_id", "model", "model_version", "entity", "entity_id", "as_of_date")
SAID = ("score", "margin", "band", "confidence")
"""Columns of a score that can be computed again; the expected value needs money that is not archived."""
REASON = ("rank", "feature", "reason_code", "value", "contribution", "text")


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

    @classmethod
    def of(cls, place: str, score: Mapping[str, Any], reasons: Iterable[Mapping[str, Any]]) -> "Record":
        """From rows of scores and reasons."""
        return cls(place, score["role"], part(score, *SAID), [part(row, *REASON) for row in reasons])


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
    """What an unusual row was compared with (`ml.deviations.USUAL`)."""
    record: Record


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
            f"archive of {root.name}", score, rows("reasons", f"{of_row} order by rank", key).to_pylist()
        ),
    )
