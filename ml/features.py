"""Which columns feed a model, by the definitions that a build was made with."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from ml import attributes
from ml.config import Described


class DatasetError(RuntimeError):
    """The warehouse cannot be read for a use case; the message says what is missing."""


@dataclass(frozen=True)
class Feature:
    """One column of a feature table as its manifest defines it."""

    name: str
    label: str
    unit: str
    definition: str
    """Hash of name, type and meta, without the models that may use it and the words for its codes."""
    table: str = "features_customers"
    group: str = ""
    type: str = ""
    """Of a column of attributes: DuckDB's name of its type."""
    values: tuple[str, ...] | None = None
    """Of a text or code: those that a model knows, in the order of their codes, which begin at 1."""

    @property
    def is_text(self) -> bool:
        """Whether its numbers are codes of texts."""
        return self.type == "VARCHAR"


def read_features(build: Path, described: Described) -> tuple[Feature, ...]:
    """The features that the use case may use, in the tables' order, by the build's dbt manifest.

    Args:
        build: a publication, or an open build, whose manifest still lies in dbt's target directory.
        described: names the feature tables; a column's `allowed_in` names the use cases, or what they are
            `allowed_as`.

    Raises:
        DatasetError: the manifest has no such model, or no column of it is allowed, or not one that is named.
    """
    open_manifest = build / "target" / "manifest.json"
    manifest = open_manifest if open_manifest.exists() else build / "manifest.json"
    nodes = json.loads(manifest.read_text())["nodes"].values()
    models = {node["name"]: node for node in nodes if node["resource_type"] == "model"}
    name = described.allowed_as or described.name
    features: list[Feature] = []
    for table in described.features:
        if attributes.source_of(table) is not None:
            features += _of_attributes(build, described, table)
            continue
        if table not in models:
            raise DatasetError(f"the dbt manifest has no model {table}")
        found = []
        for column in models[table]["columns"].values():
            meta = column.get("config", {}).get("meta") or column.get("meta") or {}
            if name not in meta.get("allowed_in", ()):
                continue
            told = {key: value for key, value in meta.items() if key not in ("allowed_in", "values")}
            definition = json.dumps([column["name"], column.get("data_type"), told], sort_keys=True)
            found.append(
                Feature(
                    name=column["name"],
                    label=meta["label"],
                    unit=meta["unit"],
                    definition=hashlib.sha256(definition.encode()).hexdigest(),
                    table=table,
                    group=meta.get("group", ""),
                    values=tuple(meta["values"]) if "values" in meta else None,
                )
            )
        if not found:
            raise DatasetError(f"no column of {table} is allowed in {name}")
        features += found
    twice = sorted({f.name for f in features if sum(f.name == other.name for other in features) > 1})
    if twice:
        raise DatasetError(f"{described.name}: two feature tables have a column {', '.join(twice)}")
    if lacking := sorted(set(described.only) - {feature.name for feature in features}):
        raise DatasetError(
            f"no column {', '.join(lacking)} of {', '.join(described.features)} is allowed in {name}"
        )
    return tuple(feature for feature in features if not described.only or feature.name in described.only)


def published_hash(
    connection: duckdb.DuckDBPyConnection, described: Described, as_of_date: date
) -> str | None:
    """`_definition_hash` of the vectors of an as-of date, as `ml.statements.vectors_sql` puts it together.

    Returns:
        None when a table has no rows of the date, or rows of several definitions.
    """
    hashes = []
    for table in described.features:
        if attributes.source_of(table) is not None:
            hashes.append(attributes.definition_hash(table))
            continue
        found = connection.execute(
            f'select distinct _definition_hash from features."{table}" where as_of_date = ?',  # noqa: S608
            [as_of_date],
        ).fetchall()
        if len(found) != 1:
            return None
        hashes.append(found[0][0])
    return " ".join(hashes)


def _of_attributes(build: Path, described: Described, table: str) -> list[Feature]:
    try:
        found = attributes.columns(build, described, table)
    except attributes.AttributesError as error:
        raise DatasetError(str(error)) from error
    return [
        Feature(
            name=name,
            label=name.replace("_", " "),
            unit="code" if data_type == "VARCHAR" else "number",
            definition=attributes.definition(name, data_type),
            table=table,
            group=table,
            type=data_type,
        )
        for name, data_type in found
    ]
