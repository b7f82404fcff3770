"""A learnt order of life events as two files: the trees, and what they are asked with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ml.artefacts import SIDECAR, ModelError
from ml.goals.ranking import Ranker
from ml.segments.model import Segmentation

FILE = "model.ubj"
KIND = "life_events"


@dataclass(frozen=True)
class LifeEvents:
    """What a version ranks with, on every night until the next one."""

    as_of: date
    """Of the publication that it learnt from."""
    ranker: Ranker
    segmentation: Segmentation | None
    """The latest of those that popularity goes by; None: it goes by age alone."""
    described: Mapping[str, Any]
    """The YAML's numbers: the same trees under other rules are another version."""

    def files(self) -> dict[str, bytes]:
        """The artefact; the same version gives the same bytes."""
        told = {
            "kind": KIND,
            "as_of": self.as_of.isoformat(),
            "events": self.ranker.events,
            "everywhere": self.ranker.everywhere,
            "popular": dict(self.ranker.popular),
            "trees_sha256": hashlib.sha256(self.ranker.booster).hexdigest(),
            "segmentation": self.segmentation.files()[SIDECAR].decode() if self.segmentation else None,
            "described": self.described,
        }
        return {FILE: self.ranker.booster, SIDECAR: json.dumps(told, indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "LifeEvents":
        """Read what `files` gave; the registry has checked the hash of `model.json`.

        Raises:
            ModelError: a file is gone, of another family, or not the one that was registered.
        """
        for name in (SIDECAR, FILE):
            if name not in files:
                raise ModelError(f"{name} is gone")
        told = json.loads(files[SIDECAR])
        if told.get("kind") != KIND:
            raise ModelError(f"{SIDECAR} does not rank life events")
        if hashlib.sha256(files[FILE]).hexdigest() != told["trees_sha256"]:
            raise ModelError(f"hash of {FILE} differs from the registered one")
        popular = {name: tuple(values) for name, values in told["popular"].items()}
        own = told["segmentation"]
        return cls(
            as_of=date.fromisoformat(told["as_of"]),
            ranker=Ranker(tuple(told["events"]), tuple(told["everywhere"]), popular, files[FILE]),
            segmentation=Segmentation.from_files({SIDECAR: own.encode()}) if own else None,
            described=told["described"],
        )
