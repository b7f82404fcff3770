"""Which columns feed a model, by the definitions that a build was made with."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ml.config import UseCase


class DatasetError(RuntimeError):
    """The warehouse cannot be read for a use case; the message says what is missing."""


@dataclass(frozen=True)
class Feature:
    """One column of a feature table as its manifest defines it."""

    name: str
    label: str
    unit: str
    definition: str
    """Hash of name, type and meta."""
    table: str = "features_customers"
    group: str = ""


def read_features(build: Path, use_case: UseCase) -> tuple[Feature, ...]:
    """The features that the use case may use, in the tables' order, by the build's dbt manifest.

    Args:
        build: a publication, or an open build, whose manifest still lies in dbt's target directory.
        use_case: names the feature tables; a column's `allowed_in` names the use cases.

    Raises:
        DatasetError: the manifest has no such model, or no column of it is allowed.
    """
    open_manifest = build / "target" / "manifest.json"
    manifest = open_manifest if open_manifest.exists() else build / "manifest.json"
    nodes = json.loads(manifest.read_text())["nodes"].values()
    models = {node["name"]: node for node in nodes if node["resource_type"] == "model"}
    features = []
    for table in use_case.features:
        if table not in models:
            raise DatasetError(f"the dbt manifest has no model {table}")
        found = []
        for column in models[table]["columns"].values():
            meta = column.get("config", {}).get("meta") or column.get("meta") or {}
            if use_case.name not in meta.get("allowed_in", ()):
                continue
            definition = json.dumps([column["name"], column.get("data_type"), meta], sort_keys=True)
            found.append(
                Feature(
                    name=column["name"],
                    label=meta["label"],
                    unit=meta["unit"],
                    definition=hashlib.sha256(definition.encode()).hexdigest(),
                    table=table,
                    group=meta.get("group", ""),
                )
            )
        if not found:
            raise DatasetError(f"no column of {table} is allowed in {use_case.name}")
        features += found
    twice = sorted({f.name for f in features if sum(f.name == other.name for other in features) > 1})
    if twice:
        raise DatasetError(f"{use_case.name}: two feature tables have a column {', '.join(twice)}")
    return tuple(features)
