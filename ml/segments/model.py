"""A fitted segmentation: scaling, centres and names, as one JSON file whose hash is the version's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.artefacts import SIDECAR, ModelError
from ml.features import Feature
from ml.segments.scaling import Matrix, Scaling

KEPT, NEW = "kept", "new"
"""States: kept from the version before, or not there before."""


@dataclass(frozen=True)
class Segment:
    """A segment: who it is does not change while its id does not."""

    id: int
    """From 1; never used for another segment, not even after this one is retired."""
    name: str
    state: str
    since: date
    """As-of date of the version that had it first."""
    overlap: float | None = None
    """Customers in it and in its predecessor, of all in either; None: it has none."""


@dataclass(frozen=True)
class Segmentation:
    """Frozen centres; assigns any row to the nearest, on every night until the next version."""

    as_of: date
    """Of the publication that it was fitted on."""
    predecessor: str
    """Version whose names were carried over; empty: names begin here."""
    scaling: Scaling
    centres: tuple[tuple[float, ...], ...]
    """In the scaled space, segments × dimensions."""
    segments: tuple[Segment, ...]
    """In the order of the centres."""
    retired: tuple[Segment, ...]
    """Of all versions before: their ids and names are not given again."""
    shares: tuple[float, ...]
    """Of each segment among the fitted rows: what drift is measured from."""
    definitions: Mapping[str, str]
    definition_hash: str
    described: Mapping[str, Any]
    """The YAML's numbers: the same centres under other rules are another version."""

    def assign(self, raw: Matrix) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Nearest centre of each row.

        Args:
            raw: rows × `scaling.columns`; nan = missing.

        Returns:
            Place of the centre in `segments`, and the Euclidean distance to it in the scaled space. A tie
            goes to the first; each row is added up by itself, so threads and batches change nothing.
        """
        return nearest(self.scaling(raw), np.asarray(self.centres))

    def assigned(self, customers: pa.Table, raw: Matrix) -> pa.Table:
        """Who is where: client_id, customer_id, as_of_date, segment_id, name, state, distance.

        Args:
            customers: the first three, and more.
            raw: of the same rows; see `assign`.
        """
        places, distances = self.assign(raw)
        at = pa.array(places)
        return (
            customers.select(["client_id", "customer_id", "as_of_date"])
            .append_column("segment_id", pa.array([one.id for one in self.segments], pa.int32()).take(at))
            .append_column("name", pa.array([one.name for one in self.segments]).take(at))
            .append_column("state", pa.array([one.state for one in self.segments]).take(at))
            .append_column("distance", pa.array(distances))
        )

    def differences(self, features: Sequence[Feature], definition_hash: str | None) -> str:
        """How features differ from those of the training, in words; empty when they do not.

        Args:
            features: of a build's manifest.
            definition_hash: of its rows; None when there are none to tell.
        """
        now = {feature.name: feature.definition for feature in features}
        found = []
        if gone := sorted(set(self.definitions) - set(now)):
            found.append(f"gone: {', '.join(gone)}")
        if changed := sorted(name for name, was in self.definitions.items() if now.get(name, was) != was):
            found.append(f"defined differently: {', '.join(changed)}")
        if not found and definition_hash is not None and definition_hash != self.definition_hash:
            found.append(
                f"SQL of the feature table or of a model below it: {self.definition_hash} then, "
                f"{definition_hash} now"
            )
        return "; ".join(found)

    def files(self) -> dict[str, bytes]:
        """The artefact; the same segmentation gives the same bytes."""
        told = asdict(self) | {"scaling": self.scaling.as_dict(), "kind": "segments"}
        return {SIDECAR: json.dumps(told, indent=1, default=date.isoformat).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Segmentation":
        """Read what `files` gave; the registry has checked its hash.

        Raises:
            ModelError: the file is gone, or of another family.
        """
        if SIDECAR not in files:
            raise ModelError(f"{SIDECAR} is gone")
        told = json.loads(files[SIDECAR])
        if told.pop("kind", None) != "segments":
            raise ModelError(f"{SIDECAR} is not of segments")
        return cls(
            **{
                **told,
                "as_of": date.fromisoformat(told["as_of"]),
                "scaling": Scaling.from_dict(told["scaling"]),
                "centres": tuple(map(tuple, told["centres"])),
                "shares": tuple(told["shares"]),
                **{
                    name: tuple(
                        Segment(**{**segment, "since": date.fromisoformat(segment["since"])})
                        for segment in told[name]
                    )
                    for name in ("segments", "retired")
                },
            }
        )


def nearest(scaled: Matrix, centres: Matrix) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Place of the nearest centre of each row, and the distance to it; a tie goes to the first."""
    squares = np.empty((len(scaled), len(centres)))
    for at, centre in enumerate(centres):
        squares[:, at] = ((scaled - centre) ** 2).sum(axis=1)
    places = squares.argmin(axis=1)
    return places, np.sqrt(squares[np.arange(len(scaled)), places]).astype(np.float32)
