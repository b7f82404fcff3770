"""A fitted model and all that scoring needs beside it, as files whose hash is the model's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.artefacts import SIDECAR, ModelError
from ml.features import Feature
from ml.scores.boosted import BoostedTrees
from ml.scores.certainty import Ground
from ml.scores.forest import Forest
from ml.scores.matrix import Matrix

_ESTIMATORS: dict[str, tuple[str, type[BoostedTrees] | type[Forest]]] = {
    "xgboost": ("model.ubj", BoostedTrees),
    "isolation_forest": ("model.skops", Forest),
}


@dataclass(frozen=True)
class Model:
    """A fitted model: estimator, calibration and what scoring needs to know of its training rows."""

    estimator: BoostedTrees | Forest
    calibration: tuple[float, float]
    """(a, b) of probability = 1 / (1 + exp(-(a * margin + b))); a > 0 keeps the ranking. Of boosted trees."""
    features: tuple[str, ...]
    definitions: dict[str, str]
    definition_hash: str
    medians: dict[str, float | None]
    """Median of each feature over the fitted rows: what is called typical. None: always missing."""
    ranges: dict[str, tuple[float, float] | None]
    """Range of each feature over the fitted rows that counts as known ground."""
    reference: dict[str, float]
    """Contribution of each feature that reasons are counted from: mean over the approved; empty: from 0."""
    use_case: dict[str, Any]
    """Numbers of the use case: the same estimator under other rules is another version."""
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each text among the features: the values that have a code, which is their place from 1."""
    ground: Ground | None = None
    """What tells how sure a score is; None: registered before it was kept."""

    @property
    def kind(self) -> str:
        """`xgboost` or `isolation_forest`."""
        return next(kind for kind, (_, cls) in _ESTIMATORS.items() if isinstance(self.estimator, cls))

    def margins(self, rows: pa.Table | Matrix, threads: int) -> NDArray[np.float64]:
        """What the estimator says of each row: log-odds before calibration, or how easily it is set apart.

        Args:
            rows: the features as columns in any order, which are taken by name; or rows × features in the
                model's order, missing as nan.
            threads: does not change the result.
        """
        return self.estimator.margins(rows, threads)

    def probabilities(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores from 0 to 1: calibrated probability of the event, or share of training rows less unusual."""
        if isinstance(self.estimator, Forest):
            return self.estimator.ranks(margins)
        a, b = self.calibration
        return np.asarray(1 / (1 + np.exp(-(a * margins + b))), dtype=np.float64)

    def scores(self, rows: pa.Table | Matrix, threads: int) -> NDArray[np.float64]:
        """`probabilities` of `margins`."""
        return self.probabilities(self.margins(rows, threads))

    def differences(self, features: tuple[Feature, ...], definition_hash: str | None) -> str:
        """What differs between the features the model was trained on and these; empty when nothing does.

        Args:
            features: of the build's manifest.
            definition_hash: of the build's rows; None when there are no rows to tell.
        """
        now = {feature.name: feature.definition for feature in features}
        found = []
        if gone := [name for name in self.features if name not in now]:
            found.append(f"gone: {', '.join(gone)}")
        if new := [name for name in now if name not in self.definitions]:
            found.append(f"new: {', '.join(new)}")
        if changed := [n for n in self.features if n in now and now[n] != self.definitions[n]]:
            found.append(f"defined differently: {', '.join(changed)}")
        if not found and tuple(now) != self.features:
            moved = [name for name, was in zip(now, self.features, strict=True) if name != was]
            found.append(f"in another order: {', '.join(moved)}")
        if not found and definition_hash is not None and definition_hash != self.definition_hash:
            found.append(
                f"SQL of the feature table or of a model below it: {self.definition_hash} then, "
                f"{definition_hash} now"
            )
        return "; ".join(found)

    def files(self) -> dict[str, bytes]:
        """The artefact's files by name; the same model gives the same bytes."""
        name, _ = _ESTIMATORS[self.kind]
        content = self.estimator.file()
        sidecar = {
            "kind": self.kind,
            "estimator_sha256": hashlib.sha256(content).hexdigest(),
            "calibration": self.calibration,
            "features": self.features,
            "definitions": self.definitions,
            "definition_hash": self.definition_hash,
            "medians": self.medians,
            "ranges": self.ranges,
            "reference": self.reference,
            "categories": dict(self.categories),
            "ground": self.ground.plain() if self.ground else None,
            "use_case": self.use_case,
        }
        return {name: content, SIDECAR: json.dumps(sidecar, indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Model":
        """Read what `files` gave; nothing in them is executed before its hash was checked.

        Raises:
            ModelError: a file is missing, or its hash is not the one in `model.json`.
        """
        if SIDECAR not in files:
            raise ModelError(f"{SIDECAR} is gone")
        sidecar = json.loads(files[SIDECAR])
        name, estimator = _ESTIMATORS[sidecar["kind"]]
        if name not in files:
            raise ModelError(f"{name} is gone")
        if hashlib.sha256(files[name]).hexdigest() != sidecar["estimator_sha256"]:
            raise ModelError(f"hash of {name} differs from the registered one")
        features = tuple(sidecar["features"])
        a, b = sidecar["calibration"]
        return cls(
            estimator=estimator.from_file(files[name], features),
            calibration=(a, b),
            features=features,
            definitions=sidecar["definitions"],
            definition_hash=sidecar["definition_hash"],
            medians=sidecar["medians"],
            ranges={name: tuple(ends) if ends else None for name, ends in sidecar["ranges"].items()},
            reference=sidecar["reference"],
            use_case=sidecar["use_case"],
            categories={name: tuple(values) for name, values in sidecar.get("categories", {}).items()},
            ground=Ground.from_plain(sidecar.get("ground")),
        )
