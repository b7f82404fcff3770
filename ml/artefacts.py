"""What every version's artefact has: files by name, one of which holds the hashes of the others."""

import hashlib
from collections.abc import Mapping

SIDECAR = "model.json"
"""Holds the hashes of the other files; its own is the artefact's."""


class ModelError(RuntimeError):
    """Files are not those of a model, or were changed."""


def sha256(files: Mapping[str, bytes]) -> str:
    """Hash of an artefact: that of its `model.json`."""
    return hashlib.sha256(files[SIDECAR]).hexdigest()
