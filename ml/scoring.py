"""Score the customers of an open night with the pinned versions, and say why.

Features stream as Arrow batches from the build; scores, reasons and vectors go to the build's lake as one
Parquet file for each kind, model, version and as-of date. A repeated run writes the same bytes.

`confidence` is the share of the model's features that have a value within the range of the rows the model was
fitted on (by default its 1 % to 99 % quantiles). It tells how much of the score stands on known ground; it is
not the chance that the score is right.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml import config, reasons
from ml.config import UseCase
from ml.datasets import Feature, population_sql, read_features, register_dates
from ml.registry import Model, Registry
from nightledger import warehouse
from nightledger.settings import Settings

BATCH = 50_000
"""Rows scored at a time; also the row groups of the files."""


class ScoringRefused(RuntimeError):
    """A pinned model does not fit the build's features; the message names them."""


@dataclass(frozen=True)
class Pin:
    """A version that scores a date."""

    model: str
    as_of_date: date
    version: str
    role: str


def score_night(settings: Settings, build: Path) -> dict[str, Any]:
    """Score tonight's as-of dates with the versions pinned to them.

    Only the model's population gets a score: the same statement chose the rows it was trained on.

    Args:
        settings: registry, clients, threads.
        build: the open build; its warehouse is only read, its lake is written.

    Returns:
        `{"scored": rows, "pins": [...]}`, or `{"scored": 0, "why": ...}` when nothing is pinned.

    Raises:
        ScoringRefused: features differ from those of the training.
        ml.registry.RegistryError: the version is not there or its hash differs.
        ArithmeticError: contributions do not add up to the margin.
    """
    with warehouse.connect(build, settings=settings) as connection:
        pins = [
            Pin(*row)
            for row in connection.execute("""
                select distinct model, as_of_date, model_version, role from ops.model_pins
                where as_of_date in (select as_of_date from ops.as_of_dates where is_tonight)
                order by all
            """).fetchall()
        ]
        if not pins:
            return {"scored": 0, "why": "no model version is pinned to tonight's dates"}
        registry = Registry(settings)
        scored = []
        for pin in pins:
            use_case = config.load(pin.model)
            model = registry.load(pin.model, pin.version)
            features = read_features(build, use_case)
            _refuse_other_features(connection, use_case, features, model, pin)
            rows = _score(connection, settings, build, use_case, features, model, pin)
            scored.append(
                {
                    "model": pin.model,
                    "version": pin.version,
                    "as_of_date": pin.as_of_date.isoformat(),
                    "customers": rows,
                }
            )
    return {"scored": sum(row["customers"] for row in scored), "pins": scored}


def receipt(key: tuple[str, ...], version: str, vector: NDArray[np.float32]) -> str:
    """Hash of what a score was made from: key, model version and feature vector, and nothing else.

    Args:
        key: client, model, entity, id and as-of date.
        version: of the model; it fixes the features' names and order.
        vector: the features as used; every missing value counts alike, and so do 0.0 and -0.0.
    """
    plain = np.where(np.isnan(vector), np.float32("nan"), vector + np.float32(0)).astype("<f4")
    return hashlib.sha256(json.dumps([*key, version]).encode() + plain.tobytes()).hexdigest()


def _refuse_other_features(
    connection: duckdb.DuckDBPyConnection,
    use_case: UseCase,
    features: tuple[Feature, ...],
    model: Model,
    pin: Pin,
) -> None:
    found = connection.execute(
        f'select distinct _definition_hash from features."{use_case.features}"'  # noqa: S608 - from the manifest
        " where as_of_date = ? order by 1",
        [pin.as_of_date],
    ).fetchall()
    for definition_hash in [row[0] for row in found] or [None]:
        if differences := model.differences(features, definition_hash):
            raise ScoringRefused(
                f"{pin.model} {pin.version} was trained on other features than {use_case.features} has for "
                f"{pin.as_of_date}: {differences}. Run the DAG history for this date, which publishes the "
                "new features without scores, and then train."
            )


def _score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    use_case: UseCase,
    features: tuple[Feature, ...],
    model: Model,
    pin: Pin,
) -> int:
    clients = connection.execute(
        "select client_id, as_of_date from ops.as_of_dates where is_tonight and as_of_date = ? order by all",
        [pin.as_of_date],
    ).fetchall()
    register_dates(connection, settings, use_case, clients)
    columns = ", ".join(f'features."{name}"::float as "{name}"' for name in model.features)
    reader = connection.execute(
        f"""
        select features.client_id, features.customer_id, {columns}
        from features."{use_case.features}" as features
        inner join ({population_sql(use_case)}) as population using (client_id, customer_id, as_of_date)
        order by features.client_id, features.customer_id
        """,  # noqa: S608 - names were compared with the manifest
        {"active_days": use_case.label.active_days},
    ).to_arrow_reader(BATCH)
    vectors = pa.schema(
        [
            *(warehouse.LAKE_SCHEMAS["scores"].field(n) for n in ("client_id", "model", "model_version")),
            *(warehouse.LAKE_SCHEMAS["scores"].field(n) for n in ("entity_id", "as_of_date", "receipt_id")),
            *((name, pa.float32()) for name in model.features),
        ]
    )
    rows = 0
    with ExitStack() as stack:
        writers = {
            kind: stack.enter_context(_partition(build / "lake", kind, pin, schema))
            for kind, schema in {**warehouse.LAKE_SCHEMAS, "vectors": vectors}.items()
        }
        for batch in reader:
            for kind, columns_of in _explained(
                use_case, features, model, pin, batch, settings.threads
            ).items():
                writers[kind].write_table(pa.table(columns_of, schema=writers[kind].schema))
            rows += batch.num_rows
    return rows


def _explained(
    use_case: UseCase,
    features: tuple[Feature, ...],
    model: Model,
    pin: Pin,
    batch: pa.RecordBatch,
    threads: int,
) -> dict[str, dict[str, Any]]:
    """Columns of scores, reasons and vectors for one batch."""
    table = pa.Table.from_batches([batch])
    clients, entities = table["client_id"].to_pylist(), table["customer_id"].to_pylist()
    matrix = np.column_stack([table[name].to_pandas().to_numpy(dtype=np.float32) for name in model.features])
    contributions, margins = model.contributions(table, threads)
    scores = model.probabilities(margins).astype(np.float32)
    names, thresholds = list(use_case.bands), list(use_case.bands.values())
    bands = [names[i] for i in np.searchsorted(thresholds, scores, side="right") - 1]
    low, high = (
        np.array([ends[side] if ends else np.nan for ends in map(model.ranges.get, model.features)])
        for side in (0, 1)
    )
    n, day = len(clients), pin.as_of_date
    receipts = [
        receipt((client, pin.model, use_case.entity, entity, day.isoformat()), pin.version, vector)
        for client, entity, vector in zip(clients, entities, matrix, strict=True)
    ]
    common = {"client_id": clients, "model": [pin.model] * n, "model_version": [pin.version] * n}
    top = np.argsort(-contributions, axis=1, kind="stable")[:, : use_case.reasons.top]
    told: dict[str, list[Any]] = {name: [] for name in warehouse.LAKE_SCHEMAS["reasons"].names}
    for row, rank in np.argwhere(np.take_along_axis(contributions, top, axis=1) > 0):
        feature = features[top[row, rank]]
        value = float(matrix[row, top[row, rank]])
        code, text = reasons.words(use_case, feature, value, model.medians[feature.name])
        said = {
            "client_id": clients[row],
            "model": pin.model,
            "model_version": pin.version,
            "entity": use_case.entity,
            "entity_id": entities[row],
            "as_of_date": day,
            "rank": rank + 1,
            "feature": feature.name,
            "reason_code": code,
            "value": None if np.isnan(value) else value,
            "contribution": contributions[row, top[row, rank]],
            "text": text,
        }
        for name, cell in said.items():
            told[name].append(cell)
    return {
        "scores": {
            **common,
            "entity": [use_case.entity] * n,
            "entity_id": entities,
            "as_of_date": [day] * n,
            "role": [pin.role] * n,
            "score": scores,
            "margin": margins.astype(np.float32),
            "band": bands,
            "confidence": ((matrix >= low) & (matrix <= high)).mean(axis=1).astype(np.float32),
            "expected_value": [None] * n,
            "receipt_id": receipts,
        },
        "reasons": told,
        "vectors": {
            **common,
            "entity_id": entities,
            "as_of_date": [day] * n,
            "receipt_id": receipts,
            **{name: table[name] for name in model.features},
        },
    }


@contextmanager
def _partition(lake: Path, kind: str, pin: Pin, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Writer of one partition, which replaces the old file only when all was written."""
    folder = lake / kind / f"model={pin.model}" / f"version={pin.version}" / f"as_of={pin.as_of_date}"
    folder.mkdir(parents=True, exist_ok=True)
    # One name for every try: what a killed one left is overwritten, and never gets into the archive.
    part = folder / "part.parquet.part"
    try:
        with pq.ParquetWriter(part, schema) as writer:
            yield writer
        part.replace(folder / "part.parquet")
    finally:
        part.unlink(missing_ok=True)
