"""The steps of the path for models that give scores; see `ml.families`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console

from ml import attributes, profiles, promotion, scoring
from ml.config import Described
from ml.datasets import KEY, Rows
from ml.dates import Split
from ml.families import Job, Trained
from ml.features import published_hash, read_features
from ml.partitions import Pin
from ml.registry import Registered, Registry
from ml.scores import baselines, boosted, cards, evaluation, shadow
from ml.scores.config import Boosted, UseCase
from ml.scores.fitting import fingerprint, search_and_fit, training_rows
from ml.scores.model import Model
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked


_JUDGED_BY = ("day", "customer_id", "card", "exposure", "label")
"""Columns of the rows beside the scores: with them others can be judged on the same rows (`ceiling`)."""


def train(job: Job[UseCase], member: str, champion: Registered | None) -> Trained:
    """Choose days, read rows, search, fit, calibrate, and judge on days that the model has not seen."""
    rows, dates = training_rows(job, member)
    use_case, settings = job.described, job.settings
    model, found = search_and_fit(use_case, job.features, rows, dates, settings.threads)
    files = model.files()
    version = job.version(files)
    if champion is not None and champion.version == version:
        champion = None
    test = rows.of(dates.test)
    scores = model.scores(test.table, settings.threads)
    champion_scores, incomparable = None, ""
    if champion is not None:
        rival = Registry(settings).load(job.name, champion.version)
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
        costs = evaluation.alert_rules(settings)
        judged = evaluation.judge(use_case, named, test, scores, others, champion_scores, costs)
    else:
        judged = evaluation.judge_unusual(use_case, named, model, rows.of(dates.training), test, scores)
    importances = cards.importance(model, rows.of(dates.test), settings.threads)

    if judged.unusual is not None:
        verdict, reason = promotion.unusual_verdict(use_case, judged.unusual, champion)
    else:
        assert judged.evaluated is not None  # noqa: S101 - one of the two was measured
        verdict, reason = promotion.verdict(
            use_case,
            judged.evaluated,
            champion,
            slope=model.calibration[0],
            incomparable=incomparable,
            broken=judged.broken,
        )
    nights = []
    if champion is not None:
        with warehouse.connect(job.publication.path, settings=settings) as connection:
            looked_back = shadow.look_back(connection, settings, use_case, champion.version)
        if looked_back is not None:
            reason, nights = f"{reason} {looked_back.words()}", looked_back.rows()
    if warning := attributes.warning(job.features):
        reason = f"{reason} To be looked at: {warning}"
    kept = [c for c in (*KEY, *_JUDGED_BY) if c in test.table.column_names]
    return Trained(
        files=files,
        heldout=test.table.select(kept).append_column("score", pa.array(scores.astype(np.float32))),
        params=_params(job, rows.of(dates.training), dates, model, found),
        metrics=(*judged.rows, *nights),
        documents={
            "model_card.md": cards.write(job, version, model, dates, rows, found, judged, importances),
            "features.json": json.dumps([asdict(feature) for feature in job.features], indent=1),
            profiles.DOCUMENT: profiles.reference(
                rows.of(dates.training).table,
                model.features,
                model.categories,
                test.table.append_column("score", pa.array(scores.astype(np.float32))),
                use_case.confidence.ages,
            ),
        },
        verdict=verdict,
        reason=reason,
        importances=tuple(
            {"feature": feature.name, "feature_group": feature.group, "importance": importances[feature.name]}
            for feature in job.features
            if feature.name in importances
        ),
        guardrails=judged.broken,
    )


def why_not(
    connection: duckdb.DuckDBPyConnection,
    build: Path,
    described: Described,
    as_of_date: date,
    files: Mapping[str, bytes],
) -> str:
    """How the features of a date differ from those that a version was trained on; empty when they do not."""
    use_case = cast(UseCase, described)
    model = Model.from_files(files)
    features = attributes.coded(read_features(build, use_case), model.categories)
    return model.differences(features, published_hash(connection, use_case, as_of_date))


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    build: Path,
    pin: Pin,
    described: Described,
    files: Mapping[str, bytes],
) -> int:
    """Scores, reasons, what-ifs and vectors of a date's population."""
    return scoring.score(connection, settings, build, pin, cast(UseCase, described), files)


def evaluate(settings: Settings, asked: "Asked", console: Console) -> None:
    """Metrics of the model and its baselines on the days asked for."""
    from ml import evaluate
    from ml.scores import evaluation_files

    evaluation_files.show(evaluate.evaluate(settings, asked), console)


def _params(
    job: Job[UseCase], training: Rows, dates: Split, model: Model, found: boosted.Fitted | None
) -> dict[str, Any]:
    use_case = job.described
    return {
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
