"""Rows, search and fit of a model that gives scores."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import attributes
from ml.config import ConfigError
from ml.datasets import Rows, read_rows
from ml.dates import Split, matured_days, split
from ml.families import Job, TooLittle
from ml.features import Feature
from ml.scores import admission, boosted, forest
from ml.scores.adverse_action import mean_of_approved
from ml.scores.certainty import Ground
from ml.scores.config import Forest, UseCase
from ml.scores.model import Model
from ml.statements import lacking
from nightledger import warehouse
from nightledger.clients import load_clients


def training_rows(job: Job[UseCase], member: str = "") -> tuple[Rows, Split]:
    """The rows of the training and test days, and which are which.

    Raises:
        TooLittle: too few days or outcomes, or a feature that knows the answer.
    """
    use_case = job.described
    with warehouse.connect(job.publication.path, settings=job.settings) as connection:
        if reason := lacking(connection, use_case):
            raise TooLittle(reason)
        off = {
            client for client, of in load_clients(job.settings).items() if use_case.name in of.switched_off
        }
        pairs = [pair for pair in matured_days(connection, job.settings, use_case) if pair[0] not in off]
        dates = split([day for _, day in pairs], use_case)
        if dates is None:
            raise TooLittle(admission.too_few_dates([day for _, day in pairs], use_case))
        wanted = {*dates.training, *dates.test}
        rows = read_rows(
            connection, job.settings, use_case, job.features, [pair for pair in pairs if pair[1] in wanted]
        )
    if member:
        rows = rows.where(pc.equal(rows.table["scope"], member))
    try:
        known = attributes.categories(rows.of(dates.fit), job.features, use_case.attributes.most_values)
    except attributes.AttributesError as error:
        raise TooLittle(str(error)) from error
    rows = attributes.code(rows, known)
    if reason := admission.too_few_outcomes(rows, dates, use_case) or admission.leak(
        rows.of(dates.fit), use_case
    ):
        raise TooLittle(reason)
    return rows, dates


def fit(use_case: UseCase, features: Sequence[Feature], rows: Rows, dates: Split, threads: int) -> Model:
    """Fit and calibrate. The same rows and numbers give the same model, whatever the number of threads."""
    return search_and_fit(use_case, features, rows, dates, threads)[0]


def search_and_fit(
    use_case: UseCase, features: Sequence[Feature], rows: Rows, dates: Split, threads: int
) -> tuple[Model, boosted.Fitted | None]:
    """As `fit`; also what the search found, of boosted trees."""
    fitted = rows.of(dates.fit)
    found: boosted.Fitted | None = None
    estimator: boosted.BoostedTrees | forest.Forest
    if unknown := sorted(set(use_case.confidence.ages) - set(rows.features)):
        raise ConfigError(f"confidence.ages names {', '.join(unknown)}, which the model does not have")
    if isinstance(use_case.estimator, Forest):
        # Without labels nothing is calibrated: a forest is grown on all training days and stands on them.
        fitted = rows.of(dates.training)
        estimator = forest.fit(use_case.estimator, fitted, use_case.seed)
        ground = Ground.of(fitted.matrix(), rows.features, estimator.margins(fitted.table, threads), None)
    else:
        found = boosted.fit(use_case, fitted, rows.of(dates.calibration), threads)
        estimator, ground = found.trees, found.ground
    medians: dict[str, float | None] = {}
    ranges: dict[str, tuple[float, float] | None] = {}
    ends = [use_case.confidence.lower_quantile, 0.5, use_case.confidence.upper_quantile]
    for name in rows.features:
        known = fitted.table[name].drop_null().to_numpy()
        low, middle, high = map(float, np.quantile(known, ends)) if len(known) else (None, None, None)
        medians[name] = middle
        ranges[name] = (low, high) if low is not None and high is not None else None
    model = Model(
        estimator=estimator,
        calibration=found.calibration if found else (1.0, 0.0),
        features=rows.features,
        definitions={feature.name: feature.definition for feature in features},
        definition_hash=rows.definition_hash,
        medians=medians,
        ranges=ranges,
        reference={},
        categories=rows.categories,
        use_case=use_case.model_dump(mode="json", exclude={"description", "reasons"}),
        ground=ground,
    )
    if use_case.reasons.relative_to == "approved":
        model = replace(model, reference=_mean_of_approved(use_case, model, fitted, threads))
    return model, found


def _mean_of_approved(use_case: UseCase, model: Model, fitted: Rows, threads: int) -> dict[str, float]:
    """Mean contribution of each feature over the fitted rows that would have been approved."""
    assert isinstance(model.estimator, boosted.BoostedTrees)  # noqa: S101 - only such explain themselves
    assert use_case.fairness is not None  # noqa: S101 - the use case was checked
    parts, margins = model.estimator.contributions(fitted.table, threads)
    approved = model.probabilities(margins) < use_case.bands[use_case.fairness.band]
    return mean_of_approved(parts, model.features, approved)


def fingerprint(table: pa.Table) -> str:
    """Rows and the sum of their hashes, with the DuckDB that made it: the order of rows does not matter."""
    with duckdb.connect() as connection:
        columns = ", ".join(f'"{name}"' for name in table.column_names)
        connection.register("given", table)
        rows, total = connection.execute(
            f"select count(*), sum(hash({columns})::hugeint) from given"  # noqa: S608 - our own columns
        ).fetchone() or (0, 0)
    return f"{rows} rows, {total}, duckdb {duckdb.__version__}"
