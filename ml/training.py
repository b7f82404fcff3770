"""Train a use case on the current publication and decide what becomes of the result.

The steps: choose dates, read rows, fit, calibrate, judge on dates the model has not seen, register, decide. A
model is refused when there is too little to learn from, or when something simpler ranks as well.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb
from numpy.typing import NDArray

from ml import baselines, config, metrics, registry
from ml.config import UseCase
from ml.datasets import (
    KEY,
    Feature,
    Publication,
    Rows,
    Split,
    matured_month_ends,
    read_features,
    read_publication,
    read_rows,
    split,
)
from ml.registry import Model, Registered, Registry
from nightledger import warehouse
from nightledger.settings import Settings

PROMOTED, KEPT, REFUSED, UNCHANGED = "promoted", "kept_as_challenger", "refused", "unchanged"
_ALIAS = {PROMOTED: registry.CHAMPION, KEPT: registry.CHALLENGER, REFUSED: None}


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
    metrics: tuple[dict[str, Any], ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {
            "trained_on_as_of": self.trained_on_as_of.isoformat(),
            "metrics": list(self.metrics),
        }


def train(settings: Settings, model: str, publication_id: str | None = None) -> TrainingOutcome:
    """Train `model` on a publication (default: the current one), register the version and decide about it.

    Safe to repeat: the same publication and numbers give the same version. A version is judged once; after
    that its verdict is "unchanged" and the reason names the one it got.

    Raises:
        ml.config.ConfigError: no such model.
        ml.datasets.DatasetError: nothing to read from.
    """
    started = time.perf_counter()
    use_case = config.load(model)
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
        metrics=(),
        seconds=0.0,
    )
    features = read_features(publication.path, use_case)
    with warehouse.connect(publication.path, settings=settings) as connection:
        pairs = matured_month_ends(connection, settings, use_case)
        dates = split([day for _, day in pairs], use_case)
        if dates is None:
            outcome = replace(outcome, reason=_too_few_dates([day for _, day in pairs], use_case))
            return replace(outcome, seconds=time.perf_counter() - started)
        wanted = {*dates.training, *dates.test}
        rows = read_rows(connection, settings, use_case, features, [p for p in pairs if p[1] in wanted])
    if reason := _too_few_outcomes(rows, dates, use_case):
        return replace(outcome, reason=reason, seconds=time.perf_counter() - started)
    outcome = _fit_and_decide(settings, use_case, publication, features, rows, dates, outcome)
    return replace(outcome, seconds=time.perf_counter() - started)


def fit(use_case: UseCase, features: Sequence[Feature], rows: Rows, dates: Split, threads: int) -> Model:
    """Fit and calibrate. The same rows and numbers give the same model, whatever the number of threads.

    Early stopping and calibration use the calibration date only, which the trees never see.
    """
    fitted, calibrated = rows.of(dates.fit), rows.of([dates.calibration])
    matrix = xgb.DMatrix(fitted.matrix(), label=fitted.labels(), nthread=threads)
    held_out = xgb.DMatrix(calibrated.matrix(), label=calibrated.labels(), nthread=threads)
    booster = xgb.train(
        {**use_case.xgboost, "seed": use_case.seed, "nthread": threads, "verbosity": 0},
        matrix,
        num_boost_round=use_case.rounds,
        evals=[(held_out, "calibration")],
        early_stopping_rounds=use_case.early_stopping_rounds,
        verbose_eval=False,
    )
    # The file would keep, and predict would use, the rounds after the best one.
    booster = booster[: booster.best_iteration + 1]
    booster.set_attr(best_iteration=None, best_score=None)
    margins = np.asarray(booster.predict(held_out, output_margin=True), dtype=np.float64)
    calibration = platt(margins, calibrated.labels()) if use_case.calibration == "platt" else (1.0, 0.0)
    medians: dict[str, float | None] = {}
    ranges: dict[str, tuple[float, float] | None] = {}
    ends = [use_case.confidence.lower_quantile, 0.5, use_case.confidence.upper_quantile]
    for name in rows.features:
        known = fitted.table[name].drop_null().to_numpy()
        low, middle, high = map(float, np.quantile(known, ends)) if len(known) else (None, None, None)
        medians[name] = middle
        ranges[name] = (low, high) if low is not None and high is not None else None
    return Model(
        booster=booster,
        calibration=calibration,
        features=rows.features,
        definitions={feature.name: feature.definition for feature in features},
        definition_hash=rows.definition_hash,
        medians=medians,
        ranges=ranges,
        use_case=use_case.model_dump(mode="json", exclude={"description", "reasons"}),
    )


def platt(margins: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[float, float]:
    """(a, b) of the probability 1 / (1 + exp(-(a * margin + b))) that fits the labels best.

    Newton's method on the log-loss with Platt's smoothed targets (Platt 1999, "Probabilistic outputs for
    support vector machines"). Rounded, so that the last bits of a sum cannot make another version.
    """
    events = labels.sum()
    target = np.where(labels == 1, (events + 1) / (events + 2), 1 / (len(labels) - events + 2))
    a, b = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(a * margins + b, -30, 30)))
        error, weight = p - target, np.maximum(p * (1 - p), 1e-9)
        gradient = np.array([np.sum(error * margins), np.sum(error)])
        cross = np.sum(weight * margins)
        hessian = np.array([[np.sum(weight * margins**2) + 1e-9, cross], [cross, np.sum(weight) + 1e-9]])
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / float(np.abs(step).max() or 1.0))
        a, b = a - float(step[0]), b - float(step[1])
        if np.abs(step).max() < 1e-10:
            break
    return round(a, 6), round(b, 6)


def _fit_and_decide(
    settings: Settings,
    use_case: UseCase,
    publication: Publication,
    features: tuple[Feature, ...],
    rows: Rows,
    dates: Split,
    outcome: TrainingOutcome,
) -> TrainingOutcome:
    model = fit(use_case, features, rows, dates, settings.threads)
    files = model.files()
    digest = registry.sha256(files)
    version = registry.version_id(publication.as_of_date, digest)
    training, test = rows.of(dates.training), rows.of(dates.test)
    probabilities = model.probabilities(model.margins(test.table, settings.threads))
    scores = {"": probabilities, **baselines.predict(use_case, training, test)}

    shelf = Registry(settings)
    champion = shelf.champion(use_case.name)
    if champion is not None and champion.version == version:
        champion = None
    incomparable = ""
    if champion is not None:
        champion_model = shelf.load(use_case.name, champion.version)
        incomparable = champion_model.differences(features, rows.definition_hash)
        if not incomparable:
            scores["champion"] = champion_model.probabilities(
                champion_model.margins(test.table, settings.threads)
            )

    evaluated = _evaluate(use_case, test, scores)
    overall = evaluated[""]
    window = " to ".join(sorted({dates.test[0].isoformat(), dates.test[-1].isoformat()}))
    metric_rows = _metric_rows(use_case, version, window, evaluated)
    predictions = test.table.select([*KEY, "label"]).append_column(
        "score", pa.array(probabilities.astype(np.float32))
    )
    registered = shelf.save(
        use_case.name,
        version,
        files,
        predictions,
        params=_params(use_case, publication, training, dates, model),
        metrics={
            ".".join(filter(None, (row["baseline"], row["client_id"], row["metric"], end))): row[
                end or "value"
            ]
            for row in metric_rows
            for end in ("", "lo", "hi")
            if row[end or "value"] is not None
        },
    )
    verdict, reason = _verdict(use_case, model, overall, champion, registered, incomparable)
    if verdict != UNCHANGED:
        shelf.decide(registered, verdict, reason, _ALIAS[verdict])
    return replace(
        outcome,
        version=version,
        verdict=verdict,
        standing=registered.verdict or verdict,
        reason=reason,
        artefact_sha256=digest,
        metrics=tuple(metric_rows),
    )


def _verdict(
    use_case: UseCase,
    model: Model,
    evaluated: metrics.Evaluated,
    champion: Registered | None,
    registered: Registered,
    incomparable: str,
) -> tuple[str, str]:
    own = evaluated.metrics[""]["average_precision"]
    rival = max(use_case.baselines, key=lambda name: evaluated.metrics[name]["average_precision"].value)
    found = (
        f"Average precision {own.value:.3f} ({own.lo:.3f} to {own.hi:.3f}) at a base rate of "
        f"{evaluated.base_rate:.1%}"
    )
    against = (
        f"the best baseline, {rival.replace('_', ' ')}, has {_value(evaluated, rival)}, a difference of "
        f"{_interval(evaluated.gains[rival])}"
    )
    if registered.verdict:
        return UNCHANGED, f"The same version was judged before ({registered.verdict}): {registered.reason}"
    if model.calibration[0] <= 0:
        return REFUSED, (
            f"On the calibration date the model ranks the wrong way round (slope {model.calibration[0]:.2f})."
        )
    if unbeaten := [
        f"{name.replace('_', ' ')} has {_value(evaluated, name)}, a difference of "
        f"{_interval(evaluated.gains[name])} that must be positive with a lower bound above {margin:g}"
        for name, margin in use_case.promotion.over_baselines.items()
        if not _better(evaluated.gains[name], margin)
    ]:
        return REFUSED, f"{found}; no better than its baselines: {'; '.join(unbeaten)}."
    if champion is None:
        return PROMOTED, f"{found}; {against}. It is the first champion."
    if incomparable:
        return PROMOTED, (
            f"{found}; {against}. Champion {champion.version} can no longer score, its features differ: "
            f"{incomparable}."
        )
    gain = evaluated.gains["champion"]
    better = _better(gain, use_case.promotion.over_champion)
    return PROMOTED if better else KEPT, (
        f"{found}; champion {champion.version} has {_value(evaluated, 'champion')} on the same rows. The "
        f"difference is {_interval(gain)}: it {'is' if better else 'must be'} positive with a lower "
        f"bound above {use_case.promotion.over_champion:g}."
    )


def _better(gain: metrics.Estimate, margin: float) -> bool:
    return gain.value > 0 and gain.lo > margin


def _value(evaluated: metrics.Evaluated, scorer: str) -> str:
    return f"{evaluated.metrics[scorer]['average_precision'].value:.3f}"


def _interval(estimate: metrics.Estimate) -> str:
    return f"{estimate.value:+.3f} ({estimate.lo:+.3f} to {estimate.hi:+.3f})"


def _too_few_dates(month_ends: Sequence[date], use_case: UseCase) -> str:
    have = sorted(set(month_ends))
    label = use_case.label
    span = f" ({have[0]} to {have[-1]})" if have else ""
    return (
        f"Too few matured dates: {len(have)} month-ends have known labels{span} and no hole of more "
        f"than {label.max_silent_days} days in the data of their outcome. Needed are "
        f"{use_case.dates.test} to test on and {use_case.dates.training} to train on, each of these at least "
        f"{label.matures_after} days before the test ({label.horizon_days} days of outcome, "
        f"{label.delay_days} of delay)."
    )


def _too_few_outcomes(rows: Rows, dates: Split, use_case: UseCase) -> str:
    parts = {
        "fitted": rows.of(dates.fit),
        "calibration": rows.of([dates.calibration]),
        "out-of-time": rows.of(dates.test),
    }
    counts = {name: (part.labels().sum(), len(part.table)) for name, part in parts.items()}
    needed = {"leavers": use_case.minimums.leavers, "stayers": use_case.minimums.stayers}
    short = [
        f"{int(have)} {who} in the {name} rows"
        for name, (leavers, n) in counts.items()
        for who, have in (("leavers", leavers), ("stayers", n - leavers))
        if have < needed[who]
    ]
    if not short:
        return ""
    return (
        f"Too few outcomes to learn from or to judge by: {', '.join(short)}; needed are "
        f"{needed['leavers']} leavers and {needed['stayers']} stayers in each part."
    )


def _evaluate(
    use_case: UseCase, test: Rows, scores: dict[str, NDArray[np.float64]]
) -> dict[str, metrics.Evaluated]:
    """By client; "" is all of them. Single clients only where there are several."""
    label, customers = test.labels(), test.customers()
    of = np.array(test.table["client_id"].to_pylist(), dtype=object)
    clients = sorted(set(of)) if len(set(of)) > 1 else []
    masks = {"": np.ones(len(label), dtype=bool)} | {client: of == client for client in clients}
    return {
        client: metrics.evaluate(
            label[mask],
            {name: score[mask] for name, score in scores.items()},
            np.unique(customers[mask], return_inverse=True)[1],
            use_case.evaluation,
            use_case.seed,
        )
        for client, mask in masks.items()
    }


def _metric_rows(
    use_case: UseCase, version: str, window: str, evaluated: dict[str, metrics.Evaluated]
) -> list[dict[str, Any]]:
    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return [
        {
            "model": use_case.name,
            "version": version,
            "client_id": client,
            "dataset": "out_of_time",
            "window_label": window,
            "metric": metric,
            "baseline": scorer,
            "value": finite(estimate.value),
            "lo": finite(estimate.lo),
            "hi": finite(estimate.hi),
            "n": found.n,
            "base_rate": found.base_rate,
        }
        for client, found in evaluated.items()
        for scorer, by_metric in found.metrics.items()
        for metric, estimate in by_metric.items()
    ]


def _params(
    use_case: UseCase, publication: Publication, training: Rows, dates: Split, model: Model
) -> dict[str, Any]:
    return {
        "publication_id": publication.id,
        "content_hash": publication.content_hash,
        "code_revision": publication.code_revision,
        "training_rows": len(training.table),
        "training_dates": ", ".join(map(str, dates.training)),
        "test_dates": ", ".join(map(str, dates.test)),
        "feature_count": len(model.features),
        "definition_hash": model.definition_hash,
        "trees": model.booster.num_boosted_rounds(),
        "calibration": json.dumps(model.calibration),
        "use_case": use_case.model_dump_json(exclude={"reasons"}),
    }
