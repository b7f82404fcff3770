"""Score an open night with the pinned versions, and say why.

Features stream as Arrow batches from the build; scores, reasons, what-ifs and vectors go to the build's lake
as one Parquet file for each kind, model, version and as-of date. A repeated run writes the same bytes. What
is said of how sure a score is stands in `ml.scores.certainty`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml import attributes, config, families, outcomes, profiles, scopes
from ml.artefacts import ModelError, sha256
from ml.dates import register_dates
from ml.features import Feature, read_features
from ml.partitions import BATCH, Pin, folder, partition
from ml.registry import CHALLENGER, Registry, RegistryError
from ml.scores import certainty, explanation
from ml.scores.config import UseCase
from ml.scores.deviations import USUAL
from ml.scores.forest import Forest
from ml.scores.matrix import matrix_of
from ml.scores.model import Model
from ml.scores.receipts import Circumstances, receipts
from ml.statements import chosen_sql, module_sql, vectors_sql
from nightledger import warehouse
from nightledger.clients import load_clients
from nightledger.settings import Settings

_OF_VECTORS = ("client_id", "model", "model_version", "entity_id", "as_of_date", "receipt_id")
"""Columns that the archived vectors have besides their features."""


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
        `{"scored": rows, "pins": [...], "judged": outcomes of scores}`, or `{"scored": 0, "why": ...}` when
        nothing is pinned.

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
            outcomes.write(connection, settings, build)
            return {"scored": 0, "why": "no model version is pinned to tonight's dates"}
        registry = Registry(settings)
        scored = []
        for pin in pins:
            described = scopes.named(settings, config.read(pin.name), pin.member)
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
        judged = outcomes.write(connection, settings, build)
    return {"scored": sum(row["rows"] for row in scored), "pins": scored, "judged": judged}


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
    choose_rows(connection, settings, scorer)
    explain = explanation.of(connection, scorer.use_case, scorer.features, scorer.model)
    Circumstances(
        pin.model,
        pin.version,
        pin.as_of_date,
        scorer.artefact_sha256,
        use_case,
        scorer.features,
        explain.catalogue,
    ).write(folder(build / "lake", "vectors", pin))
    rows = _write(connection, build / "lake", scorer, explain)
    profile = Registry(settings).document(pin.model, pin.version, profiles.DOCUMENT, optional=True)
    if rows and profile:
        profiles.write(connection, settings, build, pin, use_case, features, profile)
    connection.execute("drop view _rows; drop table _chosen; drop table if exists _kept")
    return rows


def choose_rows(connection: duckdb.DuckDBPyConnection, settings: Settings, scorer: Scorer) -> None:
    """Make the relation `_rows`: who is scored, with features and the money at stake."""
    pin, use_case = scorer.pin, scorer.use_case
    register_dates(connection, settings, use_case, _dates(connection, pin))
    population = module_sql(use_case, "POPULATION")
    chosen, parameters = chosen_sql(connection, use_case, population)
    chosen, parameters = f"from ({chosen}) where scope = $_member", parameters | {"_member": pin.member}
    for scope, own in scopes.of_their_own(connection, settings, use_case, pin).items():
        theirs, _ = chosen_sql(connection, use_case.model_copy(update={"scope": scope}), population)
        chosen = f"""
            select * from ({chosen}) where (client_id, entity_id, as_of_date) not in (
                select (client_id, entity_id, as_of_date) from ({theirs}) where scope in $_own_{scope})
        """  # noqa: S608 - our own SQL, a closed set of scopes
        parameters[f"_own_{scope}"] = own
    peers, segments = _peers(connection, scorer)
    left_out = "exclude (scope, age_band, region, gender)"
    chosen = f"select * {left_out}{peers} from ({chosen}) as chosen {segments}"  # noqa: S608 - our own SQL
    connection.execute(f"create or replace temp table _chosen as {chosen}", parameters)
    names = ", ".join(f'vectors."{name}"' for name in scorer.model.features)
    # The rows are read for the medians of peers and again to be scored. One feature table is cheap to read
    # twice, and wide rows dear to write down; what several tables are joined to is kept. A forest reads more.
    is_plain = len(use_case.features) == 1 and attributes.source_of(use_case.features[0]) is None
    rows = f"""
        select chosen.*, {names}
        from ({vectors_sql(use_case, scorer.features)}) as vectors
        inner join _chosen as chosen using (client_id, entity_id, as_of_date)
    """  # noqa: S608 - names were compared with the manifest
    if isinstance(scorer.model.estimator, Forest) or not is_plain:
        connection.execute(f"create or replace temp table _kept as {rows}")
        rows = "from _kept"
    connection.execute(f"create or replace temp view _rows as {rows}")


def _dates(connection: duckdb.DuckDBPyConnection, pin: Pin) -> list[tuple[str, date]]:
    """Clients that the date is asked of, but for those that had switched the model off by then."""
    off = "from ops.as_of_dates where false"
    if connection.execute(
        "select 1 from information_schema.tables where table_schema = 'ops' and table_name = 'models_off'"
    ).fetchone():
        off = "from ops.models_off where model = $model and as_of_date = $day"
    return connection.execute(
        "select client_id, as_of_date from ops.as_of_dates where is_tonight and as_of_date = $day"  # noqa: S608
        f" and client_id not in (select client_id {off}) order by all",
        {"day": pin.as_of_date} | ({"model": pin.name} if "$" in off else {}),
    ).fetchall()


def _peers(connection: duckdb.DuckDBPyConnection, scorer: Scorer) -> tuple[str, str]:
    """A column `peers` and the join that it needs: the segment of the night before, else the vertical.

    Nothing where rows are no customers, where they are compared otherwise, and before there are segments.
    """
    is_there = connection.execute(
        "select 1 from information_schema.tables where table_schema = 'marts' and table_name = 'fct_segments'"
    ).fetchone()
    is_asked = scorer.use_case.entity == "customer" and not isinstance(scorer.model.estimator, Forest)
    if not (is_there and is_asked):
        return "", ""
    before = f"model = 'segments_rfm' and as_of_date < date '{scorer.pin.as_of_date}'"
    join = f"""
        left join (
            select client_id, customer_id as entity_id, name from marts.fct_segments
            where {before} and (client_id, as_of_date) in (
                select (client_id, max(as_of_date)) from marts.fct_segments where {before} group by client_id)
        ) as segments using (client_id, entity_id)
    """  # noqa: S608 - our own date
    return ", coalesce(segments.name, chosen.vertical) as peers", join


def _write(
    connection: duckdb.DuckDBPyConnection, lake: Path, scorer: Scorer, explain: explanation.Explainer
) -> int:
    """Score the rows in key order, write all kinds of files, and return how many rows there were."""
    columns = ", ".join(f'"{name}"' for name in (explain.group, *scorer.model.features))
    found = connection.execute(
        f"select client_id, entity_id, as_of_date, exposure::double as exposure, {columns} from _rows"  # noqa: S608
        " order by client_id, entity_id"
    )
    rows = 0
    with ExitStack() as stack:
        writers = {
            kind: stack.enter_context(partition(lake, kind, scorer.pin, schema))
            for kind, schema in _schemas(scorer.model).items()
        }
        for scored in score_batches(scorer, explain, found.to_arrow_reader(BATCH)):
            for kind, table in scored.items():
                writers[kind].write_table(table)
            rows += scored["scores"].num_rows
    return rows


def _schemas(model: Model) -> dict[str, pa.Schema]:
    """Of every kind of file that a model's scores have."""
    names = warehouse.LAKE_SCHEMAS["scores"].names
    key = pa.schema([warehouse.LAKE_SCHEMAS["scores"].field(name) for name in names if name in _OF_VECTORS])
    schemas = {kind: warehouse.LAKE_SCHEMAS[kind] for kind in warehouse.SCORE_KINDS}
    schemas["vectors"] = pa.schema([*key, *((name, pa.float32()) for name in model.features)])
    if isinstance(model.estimator, Forest):
        schemas["usual"] = USUAL
    return schemas


def score_batches(
    scorer: Scorer, explain: explanation.Explainer, batches: Iterable[pa.RecordBatch]
) -> Iterator[dict[str, pa.Table]]:
    """What every kind of file gets of each batch, in the order of the batches.

    Each batch is one thread's: what stands between the trees, NumPy and hashes, would otherwise leave all
    cores but one idle. A few batches more than there are threads are held. A single batch has all threads.
    """
    given = iter(batches)
    first = list(islice(given, 2))
    each = scorer.threads if len(first) == 1 else 1
    schemas = _schemas(scorer.model)

    def work(batch: pa.RecordBatch) -> dict[str, pa.Table]:
        said = _of_batch(scorer, explain, pa.Table.from_batches([batch]), each)
        return {kind: pa.table(values, schema=schemas[kind]) for kind, values in said.items()}

    # A forest swaps the filters of warnings of the whole process while it works: two would mix them up.
    workers = 1 if isinstance(scorer.model.estimator, Forest) else scorer.threads
    waiting: deque[Future[dict[str, pa.Table]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for batch in chain(first, given):
            waiting.append(pool.submit(work, batch))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _of_batch(
    scorer: Scorer, explain: explanation.Explainer, table: pa.Table, threads: int
) -> dict[str, dict[str, Any]]:
    """Columns of every kind of file for one batch."""
    pin, use_case, model = scorer.pin, scorer.use_case, scorer.model
    n = table.num_rows
    matrix = matrix_of(table, model.features)
    told = explain(table, matrix, threads)
    common = {
        "client_id": table["client_id"],
        "model": pa.repeat(pin.name, n),
        "model_version": pa.repeat(pin.version, n),
        "entity": pa.repeat(use_case.entity, n),
        "entity_id": table["entity_id"],
        "as_of_date": table["as_of_date"],
    }
    about = (pin.name, use_case.entity, pin.as_of_date.isoformat(), pin.version)
    receipt_ids = receipts(table["client_id"], table["entity_id"], about, matrix)
    exposure = table["exposure"].to_numpy()
    expected = told.scores.astype(np.float64) * exposure
    return {
        "scores": {
            **common,
            "role": pa.repeat(pin.role, n),
            "score": told.scores,
            "margin": told.margins.astype(np.float32),
            "band": told.bands,
            **certainty.columns(model, matrix, told.margins),
            "exposure": _money(exposure),
            "expected_value": _money(expected),
            "receipt_id": receipt_ids,
        },
        "reasons": told.reasons(common),
        **({"usual": usual} if (usual := explain.usual(table, told)) is not None else {}),
        "what_if": told.what_ifs(common),
        "vectors": {
            **{name: common[name] for name in _OF_VECTORS[:-1]},
            "receipt_id": receipt_ids,
            **{name: table[name] for name in model.features},
        },
    }


def _money(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(np.round(values, 4), from_pandas=True).cast(pa.decimal128(18, 4))
