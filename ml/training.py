"""Train a use case on a publication and decide what becomes of the result.

The steps: choose days, read rows, search, fit, calibrate, judge on days that the model has not seen,
register, decide. A model is refused when there is too little to learn from, when something simpler ranks as
well, or when a feature knows the answer.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import (
    admission,
    attributes,
    baselines,
    boosted,
    cards,
    config,
    evaluation,
    forest,
    promotion,
    registry,
)
from ml.adverse_action import mean_of_approved
from ml.config import Boosted, Forest, UseCase
from ml.datasets import KEY, Publication, Rows, read_publication, read_rows
from ml.dates import Split, matured_days, split
from ml.features import Feature, read_features
from ml.model import Model, sha256
from ml.promotion import ALIAS, REFUSED, UNCHANGED
from ml.registry import Registry
from nightledger import warehouse
from nightledger.settings import Settings


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training decided, why, and what it measured."""

    model: str
    version: str | None
    """None: refused before anything was fitted."""
    verdict: str
    """promoted, kept_as_challenger, refused or unchanged."""
    standing: str
    """What the version is, also when nothing changed: promoted, kept_as_challenger or refused."""
    reason: str
    publication_id: str
    trained_on_as_of: date
    """Last as-of date of the publication: a version scores later dates only."""
    known_at: str
    """ISO; in data time, the cutoff until which the publication knows."""
    artefact_sha256: str | None
    champion: str | None
    """The version it was compared with."""
    guardrails: tuple[str, ...]
    """Those it breaks, in words."""
    importances: tuple[dict[str, Any], ...]
    """By feature: `feature`, `feature_group`, `importance` (mean absolute contribution, log-odds)."""
    metrics: tuple[dict[str, Any], ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {
            "trained_on_as_of": self.trained_on_as_of.isoformat(),
            "guardrails": list(self.guardrails),
            "importances": list(self.importances),
            "metrics": list(self.metrics),
        }


@dataclass(frozen=True)
class Job:
    """One training: what is trained, on what."""

    settings: Settings
    name: str
    """As the registry calls it: the use case, or `<use case>.<member>` where the scope is not global."""
    use_case: UseCase
    publication: Publication
    features: tuple[Feature, ...]


def members(settings: Settings, publication_id: str | None = None) -> list[str]:
    """Every model that there is to train, as the registry calls it.

    A use case whose scope is the client, the vertical or the segment has one model for each that the
    publication holds: `churn.demo_wallet`.
    """
    publication = read_publication(settings, publication_id)
    found = []
    with warehouse.connect(publication.path, settings=settings) as connection:
        for model in config.names():
            use_case = config.load(model)
            if use_case.scope == "global":
                found.append(model)
                continue
            statement = {
                "client": "select distinct client_id from ops.as_of_dates order by 1",
                "vertical": "select distinct vertical from intermediate.int_customers"
                " where vertical is not null order by 1",
                "segment": "select distinct name from marts.fct_segments order by 1",
            }[use_case.scope]
            found += [f"{model}.{member}" for (member,) in connection.execute(statement).fetchall()]
    return found


def train(settings: Settings, model: str, publication_id: str | None = None) -> TrainingOutcome:
    """Train `model` on a publication (default: the current one), register the version and decide about it.

    Safe to repeat: the same publication and numbers give the same version. A version is judged once; after
    that its verdict is "unchanged" and the reason names the one it got.

    Args:
        settings: of the installation.
        model: a use case, or `<use case>.<member>` of its scope.
        publication_id: what to learn from.

    Raises:
        ml.config.ConfigError: no such model.
        ml.features.DatasetError: nothing to read from.
    """
    started = time.perf_counter()
    name, _, member = model.partition(".")
    use_case = config.load(name)
    check_scope(use_case, model)
    publication = read_publication(settings, publication_id)
    outcome = TrainingOutcome(
        model=model,
        version=None,
        verdict=REFUSED,
        standing=REFUSED,
        reason="",
        publication_id=publication.id,
        trained_on_as_of=publication.as_of_date,
        known_at=publication.known_at.isoformat(),
        artefact_sha256=None,
        champion=None,
        guardrails=(),
        importances=(),
        metrics=(),
        seconds=0.0,
    )
    job = Job(settings, model, use_case, publication, read_features(publication.path, use_case))
    try:
        rows, dates = training_rows(job, member)
        outcome = _judged(job, rows, dates, outcome)
    except TooLittle as refused:
        outcome = replace(outcome, reason=str(refused))
    return replace(outcome, seconds=time.perf_counter() - started)


def check_scope(use_case: UseCase, model: str) -> None:
    """Refuse a model that is asked for without, or with, a member of its scope.

    Raises:
        ml.config.ConfigError: says what to ask for.
    """
    name = use_case.name
    if ("." in model) != (use_case.scope != "global"):
        asked = f"{name}.<{use_case.scope}>" if use_case.scope != "global" else name
        raise config.ConfigError(f"{name}.yml: scope is {use_case.scope}; ask for {asked}, not for {model}")


class TooLittle(Exception):
    """There is not enough to learn from, or to judge by; the message says what is missing."""


def training_rows(job: Job, member: str = "") -> tuple[Rows, Split]:
    """The rows of the training and test days, and which are which.

    Raises:
        TooLittle: too few days or outcomes, or a feature that knows the answer.
    """
    use_case = job.use_case
    with warehouse.connect(job.publication.path, settings=job.settings) as connection:
        pairs = matured_days(connection, job.settings, use_case)
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
    if isinstance(use_case.estimator, Forest):
        estimator = forest.fit(use_case.estimator, rows.of(dates.training), use_case.seed)
    else:
        found = boosted.fit(use_case, fitted, rows.of(dates.calibration), threads)
        estimator = found.trees
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


def _judged(job: Job, rows: Rows, dates: Split, outcome: TrainingOutcome) -> TrainingOutcome:
    use_case, settings = job.use_case, job.settings
    model, found = search_and_fit(use_case, job.features, rows, dates, settings.threads)
    files = model.files()
    version = registry.version_id(job.publication.as_of_date, sha256(files))
    shelf = Registry(settings)
    champion = shelf.champion(job.name)
    if champion is not None and champion.version == version:
        champion = None
    test = rows.of(dates.test)
    scores = model.scores(test.table, settings.threads)
    champion_scores, incomparable = None, ""
    if champion is not None:
        rival = shelf.load(job.name, champion.version)
        incomparable = rival.differences(job.features, rows.definition_hash)
        if not incomparable:
            as_it_reads = attributes.recode(test.table, rows.categories, rival.categories)
            champion_scores = rival.scores(as_it_reads, settings.threads)
    window = " to ".join(sorted({dates.test[0].isoformat(), dates.test[-1].isoformat()}))
    named = evaluation.Named(job.name, version, window)
    if isinstance(use_case.estimator, Boosted):
        others = baselines.predict(
            use_case,
            rows.of(dates.fit),
            rows.of(dates.calibration),
            test,
            threads=settings.threads,
            monotone=use_case.estimator.monotone,
        )
        judged = evaluation.judge(use_case, named, test, scores, others, champion_scores)
    else:
        judged = evaluation.judge_unusual(use_case, named, model, rows.of(dates.training), test, scores)
    importances = cards.importance(model, rows.of(dates.test), settings.threads)
    registered = shelf.save(
        job.name,
        version,
        files,
        test.table.select(
            [c for c in (*KEY, "day", "customer_id", "label") if c in test.table.column_names]
        ).append_column("score", pa.array(scores.astype(np.float32))),
        params=_params(job, rows.of(dates.training), dates, model, found),
        metrics=judged.numbers(),
        documents={
            "model_card.md": cards.write(job, version, model, dates, rows, found, judged, importances),
            "features.json": json.dumps([asdict(feature) for feature in job.features], indent=1),
        },
    )
    if judged.unusual is not None:
        verdict, reason = promotion.unusual_verdict(use_case, judged.unusual, registered, champion)
    else:
        assert judged.evaluated is not None  # noqa: S101 - one of the two was measured
        verdict, reason = promotion.verdict(
            use_case,
            judged.evaluated,
            registered,
            champion,
            slope=model.calibration[0],
            incomparable=incomparable,
            broken=judged.broken,
        )
    if verdict != UNCHANGED:
        shelf.decide(registered, verdict, reason, ALIAS[verdict])
    return replace(
        outcome,
        version=version,
        verdict=verdict,
        standing=registered.verdict or verdict,
        reason=reason,
        artefact_sha256=sha256(files),
        champion=champion.version if champion else None,
        guardrails=judged.broken,
        metrics=judged.rows,
        importances=tuple(
            {"feature": feature.name, "feature_group": feature.group, "importance": importances[feature.name]}
            for feature in job.features
            if feature.name in importances
        ),
    )


def _params(
    job: Job, training: Rows, dates: Split, model: Model, found: boosted.Fitted | None
) -> dict[str, Any]:
    publication, use_case = job.publication, job.use_case
    return {
        "publication_id": publication.id,
        "content_hash": publication.content_hash,
        "code_revision": publication.code_revision,
        "data_fingerprint": fingerprint(training.table),
        "training_rows": len(training),
        "training_dates": f"{dates.training[0]} to {dates.training[-1]}, {len(dates.training)}",
        "test_dates": f"{dates.test[0]} to {dates.test[-1]}, {len(dates.test)}",
        "feature_count": len(model.features),
        "definition_hash": model.definition_hash,
        "calibration": json.dumps(model.calibration),
        "hyper_parameters": json.dumps(
            found.params if found else use_case.estimator.model_dump(), sort_keys=True
        ),
        "trials": len(found.trials) if found else 0,
        "trees": found.trees.booster.num_boosted_rounds() if found else 0,
        "use_case": use_case.model_dump_json(exclude={"reasons"}),
    }


def fingerprint(table: pa.Table) -> str:
    """Rows and the sum of their hashes, with the DuckDB that made it: the order of rows does not matter."""
    with duckdb.connect() as connection:
        columns = ", ".join(f'"{name}"' for name in table.column_names)
        connection.register("given", table)
        rows, total = connection.execute(
            f"select count(*), sum(hash({columns})::hugeint) from given"  # noqa: S608 - our own columns
        ).fetchone() or (0, 0)
    return f"{rows} rows, {total}, duckdb {duckdb.__version__}"
