"""How good a ranking and its probabilities are, with intervals.

Every metric is a function of labels (1 = the event), scores (higher = more likely) and row weights; the
weights are what the bootstrap draws. Rows with equal scores are one step: their order never matters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ml.config import Evaluation

Vector = NDArray[np.float64]
Metric = Callable[[Vector, Vector, Vector], float]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Evaluated:
    """Metrics of several scorers on the same rows and the same draws.

    `metrics` is by scorer and metric; `gains` by scorer: average precision of the first scorer minus its own.
    """

    n: int
    base_rate: float
    metrics: dict[str, dict[str, Estimate]]
    gains: dict[str, Estimate]


def _steps(what: Vector, score: Vector, weight: Vector) -> tuple[Vector, Vector]:
    """Cumulated weights, and weights times `what`, from the highest score down; one entry a score."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    return np.cumsum(weight[order])[ends], np.cumsum((weight * what)[order])[ends]


def average_precision(label: Vector, score: Vector, weight: Vector) -> float:
    """Mean precision over the events found, as scikit-learn defines it; nan without events."""
    total, hits = _steps(label, score, weight)
    if hits[-1] == 0:
        return float("nan")
    precision = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
    return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])


def roc_auc(label: Vector, score: Vector, weight: Vector) -> float:
    """Chance that an event scores higher than a non-event; nan without both."""
    total, hits = _steps(label, score, weight)
    misses = total - hits
    if hits[-1] == 0 or misses[-1] == 0:
        return float("nan")
    area = np.trapezoid(np.append(0.0, hits), np.append(0.0, misses))
    return float(area / (hits[-1] * misses[-1]))


def _hits_in_budget(label: Vector, score: Vector, weight: Vector, share: float) -> tuple[float, float, float]:
    """(events expected among the best `share`, size of that share, all events); ties are drawn by lot."""
    total, hits = _steps(label, score, weight)
    size = share * float(total[-1])
    found = float(np.interp(size, np.append(0.0, total), np.append(0.0, hits)))
    return found, size, float(hits[-1])


def precision_at_budget(label: Vector, score: Vector, weight: Vector, *, share: float) -> float:
    """Share of events among the best-scored `share` of rows."""
    found, size, _ = _hits_in_budget(label, score, weight, share)
    return found / size if size else float("nan")


def recall_at_budget(label: Vector, score: Vector, weight: Vector, *, share: float) -> float:
    """Share of the events that the best-scored `share` of rows holds; nan without events."""
    found, _, events = _hits_in_budget(label, score, weight, share)
    return found / events if events else float("nan")


def brier(label: Vector, score: Vector, weight: Vector) -> float:
    """Mean squared error of the probability; lower is better."""
    return float(np.average((score - label) ** 2, weights=weight))


def calibration_error(label: Vector, score: Vector, weight: Vector, *, bins: int) -> float:
    """Mean distance of predicted and observed rate over `bins` groups of equal size; lower is better."""
    total, excess = _steps(score - label, score, weight)
    middle = total - np.diff(total, prepend=0.0) / 2
    group = np.minimum((middle * bins / total[-1]).astype(np.int64), bins - 1)
    gaps = np.bincount(group, np.diff(excess, prepend=0.0), minlength=bins)
    return float(np.abs(gaps).sum() / total[-1])


def evaluate(
    label: Vector,
    scores: Mapping[str, Vector],
    customers: NDArray[np.int64],
    settings: Evaluation,
    seed: int,
) -> Evaluated:
    """Judge several scorers on the same rows.

    Intervals come from a bootstrap over customers, the same draws for every scorer. They are the quantiles of
    the draws, moved so that the draws' mean lies on the value: resampling alone raises the calibration error.

    Args:
        label: 1 = the event.
        scores: by scorer; the first is the one whose gains over the others are measured.
        customers: number of each row's customer, from 0.
        settings: budget, bins, draws, interval.
        seed: of the draws.
    """
    measures: dict[str, Metric] = {
        "average_precision": average_precision,
        "roc_auc": roc_auc,
        "precision_at_budget": partial(precision_at_budget, share=settings.budget_share),
        "recall_at_budget": partial(recall_at_budget, share=settings.budget_share),
        "brier": brier,
        "calibration_error": partial(calibration_error, bins=settings.calibration_bins),
    }

    # Sorted once: sorting rows that are in order already costs the draws next to nothing.
    orders = [np.argsort(-score, kind="stable") for score in scores.values()]
    ranked = [
        (label[order], score[order], order) for order, score in zip(orders, scores.values(), strict=True)
    ]

    def measure(weight: Vector) -> Vector:
        return np.array(
            [[m(y, score, weight[order]) for m in measures.values()] for y, score, order in ranked]
        )

    values = measure(np.ones(len(label)))
    rng = np.random.default_rng(seed)
    size = int(customers.max()) + 1
    draws = np.stack(
        [
            measure(np.bincount(rng.integers(size, size=size), minlength=size)[customers].astype(np.float64))
            for _ in range(settings.bootstrap_draws)
        ]
    )

    def estimate(value: float, drawn: Vector) -> Estimate:
        known = drawn[np.isfinite(drawn)]
        if not len(known):
            return Estimate(value, float("nan"), float("nan"))
        tail = (1 - settings.interval) / 2
        lo, hi = value + np.quantile(known, [tail, 1 - tail]) - known.mean()
        return Estimate(value, float(lo), float(hi))

    def bounded(found: Estimate) -> Estimate:
        return Estimate(found.value, max(found.lo, 0.0), min(found.hi, 1.0))

    return Evaluated(
        n=len(label),
        base_rate=float(label.mean()),
        metrics={
            scorer: {
                name: bounded(estimate(float(values[s, m]), draws[:, s, m]))
                for m, name in enumerate(measures)
            }
            for s, scorer in enumerate(scores)
        },
        gains={
            scorer: estimate(float(values[0, 0] - values[s, 0]), draws[:, 0, 0] - draws[:, s, 0])
            for s, scorer in enumerate(scores)
            if s
        },
    )
