"""Score an open night with the pinned versions, and say why.

Features stream as Arrow batches from the build; scores, reasons, what-ifs and vectors go to the build's lake
as one Parquet file for each kind, model, version and as-of date. A repeated run writes the same bytes.

`confidence` is the share of the model's features that have a value within the range of the rows the model was
fitted on (by default its 1 % to 99 % quantiles). It tells how much of the score stands on known ground; it is
not the chance that the score is right.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml import attributes, config, explanation, families
from ml.config import UseCase
from ml.dates import register_dates
from ml.deviations import USUAL
from ml.features import Feature, read_features
from ml.forest import Forest
from ml.model import Model, ModelError, sha256
from ml.partitions import BATCH, Pin, folder, partition
from ml.receipts import Circumstances
from ml.registry import CHALLENGER, Registry, RegistryError
from ml.statements import module_sql, rows_sql
from nightledger import warehouse
from nightledger.clients import load_clients
from nightledger.settings import Settings


class ScoringRefused(RuntimeError):
    """A pinned model does not fit the build's features; the message names them."""


@dataclass(frozen=True)
class Scorer:
    """A loaded version and what it is asked with."""

    use_case: UseCase
    features: tuple[Feature, ...]
    model: Model
    artefact_sha256: str
    pin: Pin
    threads: int


def score_night(settings: Settings, build: Path) -> dict[str, Any]:
    """Score tonight's as-of dates with the versions pinned to them, champions and their challengers.

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
            described = config.read(pin.name)
            steps = families.of(described)
            files = registry.files(pin.model, pin.version)
            said = {
                "model": pin.model,
                "version": pin.version,
                "role": pin.role,
                "as_of_date": pin.as_of_date.isoformat(),
            }
            try:
                differences = steps.why_not(connection, build, described, pin.as_of_date, files)
            except ModelError as error:
                raise RegistryError(f"model {pin.model} {pin.version}: {error}") from error
            if differences:
                refusal = (
                    f"{pin.model} {pin.version} was trained on other features than "
                    f"{', '.join(described.features) or 'the build'} has for {pin.as_of_date}: "
                    f"{differences}. Run the DAG history for this date, which publishes the new features "
                    "without scores, and then train."
                )
                # A night fails rather than go out with scores of other features. A shadow only stays away.
                if pin.role != CHALLENGER:
                    raise ScoringRefused(refusal)
                scored.append(said | {"rows": 0, "why": refusal})
                continue
            rows = steps.score(connection, settings, build, pin, described, files)
            scored.append(said | {"rows": rows})
    return {"scored": sum(row["rows"] for row in scored), "pins": scored}


def receipts(
    clients: Sequence[str], entities: Sequence[str], about: Sequence[str], matrix: NDArray[np.float32]
) -> list[str]:
    """Hash of what each score was made from: key, model version and feature vector, and nothing else.

    SHA-256 of the texts, each followed by the separator 0x1f, and of the vector as little-endian floats.

    Args:
        clients: of each row.
        entities: id of each row.
        about: use case, entity, as-of date and version; the version fixes the features' names and order.
        matrix: the features as used, rows × features; missing values count alike, and so do 0.0 and -0.0.
    """
    plain = np.where(np.isnan(matrix), np.float32("nan"), matrix + np.float32(0)).astype("<f4")
    vectors, width = memoryview(plain.tobytes()), plain.shape[1] * 4
    end = "".join(f"{text}\x1f" for text in about)
    starts = range(0, len(plain) * width, width)
    return [
        hashlib.sha256(f"{client}\x1f{entity}\x1f{end}".encode() + vectors[at : at + width]).hexdigest()
        for client, entity, at in zip(clients, entities, starts, strict=True)
    ]


def matrix_of(table: pa.Table, features: Sequence[str]) -> NDArray[np.float32]:
    """Features of a table, rows × features in this order; missing is nan."""
    return np.column_stack([np.asarray(table[name].to_pandas(), dtype=np.float32) for name in features])


def confidence(model: Model, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the features with a value on known ground, of each row of rows × features in model order."""
    low, high = (
        np.array(
            [ends[side] if ends else np.nan for ends in map(model.ranges.get, model.features)], np.float32
        )
        for side in (0, 1)
    )
    return np.asarray(((matrix >= low) & (matrix <= high)).mean(axis=1), dtype=np.float32)


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    use_case: UseCase,
    files: Mapping[str, bytes],
) -> int:
    """Write scores, reasons, what-ifs and vectors of a date's population; see `ml.families.Steps`."""
    use_case = use_case.with_bands_of(
        {
            name: client.bands[pin.name]
            for name, client in load_clients(settings).items()
            if pin.name in client.bands
        }
    )
    model = Model.from_files(files)
    features = attributes.coded(read_features(build, use_case), model.categories)
    scorer = Scorer(use_case, features, model, sha256(files), pin, settings.threads)
    clients = connection.execute(
        "select client_id, as_of_date from ops.as_of_dates where is_tonight and as_of_date = ? order by all",
        [pin.as_of_date],
    ).fetchall()
    register_dates(connection, settings, use_case, clients)
    statement, parameters = rows_sql(
        connection, use_case, scorer.features, module_sql(use_case, "POPULATION")
    )
    if pin.member:
        statement, parameters = (
            f"from ({statement}) where scope = $_member",
            parameters | {"_member": pin.member},
        )
    # Kept, because batches and medians of peers read it: a second reading could cost as much again.
    connection.execute(f"create or replace temp table _rows as {statement}", parameters)
    explain = explanation.of(connection, scorer.use_case, scorer.features, scorer.model)
    vectors = pa.schema(
        [
            *(warehouse.LAKE_SCHEMAS["scores"].field(n) for n in ("client_id", "model", "model_version")),
            *(warehouse.LAKE_SCHEMAS["scores"].field(n) for n in ("entity_id", "as_of_date", "receipt_id")),
            *((name, pa.float32()) for name in scorer.model.features),
        ]
    )
    Circumstances(
        pin.model,
        pin.version,
        pin.as_of_date,
        scorer.artefact_sha256,
        use_case,
        scorer.features,
        explain.catalogue,
    ).write(folder(build / "lake", "vectors", pin))
    rows = 0
    with ExitStack() as stack:
        schemas = {**warehouse.LAKE_SCHEMAS, "vectors": vectors}
        if isinstance(scorer.model.estimator, Forest):
            schemas["usual"] = USUAL
        writers = {
            kind: stack.enter_context(partition(build / "lake", kind, pin, schema))
            for kind, schema in schemas.items()
        }
        for batch in connection.execute("from _rows order by client_id, entity_id").to_arrow_reader(BATCH):
            table = pa.Table.from_batches([batch])
            for kind, columns in _of_batch(scorer, explain, table).items():
                writers[kind].write_table(pa.table(columns, schema=writers[kind].schema))
            rows += batch.num_rows
    connection.execute("drop table _rows")
    return rows


def _of_batch(scorer: Scorer, explain: explanation.Explainer, table: pa.Table) -> dict[str, dict[str, Any]]:
    """Columns of every kind of file for one batch."""
    pin, use_case, model = scorer.pin, scorer.use_case, scorer.model
    n = table.num_rows
    matrix = matrix_of(table, model.features)
    told = explain(table, matrix, scorer.threads)
    common = {
        "client_id": table["client_id"],
        "model": pa.repeat(pin.name, n),
        "model_version": pa.repeat(pin.version, n),
        "entity": pa.repeat(use_case.entity, n),
        "entity_id": table["entity_id"],
        "as_of_date": table["as_of_date"],
    }
    about = (pin.name, use_case.entity, pin.as_of_date.isoformat(), pin.version)
    receipt_ids = receipts(table["client_id"].to_pylist(), table["entity_id"].to_pylist(), about, matrix)
    exposure = np.asarray(table["exposure"].to_pandas(), dtype=np.float64)
    expected = pa.array(np.round(told.scores.astype(np.float64) * exposure, 4), from_pandas=True)
    return {
        "scores": {
            **common,
            "role": pa.repeat(pin.role, n),
            "score": told.scores,
            "margin": told.margins.astype(np.float32),
            "band": told.bands,
            "confidence": confidence(model, matrix),
            "expected_value": expected.cast(pa.decimal128(18, 4)),
            "receipt_id": receipt_ids,
        },
        "reasons": told.reasons(common),
        **({"usual": usual} if (usual := explain.usual(table, told)) is not None else {}),
        "what_if": told.what_ifs(common),
        "vectors": {
            **{
                name: common[name]
                for name in ("client_id", "model", "model_version", "entity_id", "as_of_date")
            },
            "receipt_id": receipt_ids,
            **{name: table[name] for name in model.features},
        },
    }
