"""What a probability is worth, group by group: mean score beside observed rate, for a reliability diagram."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.intervals import Estimate, Vector, bootstrap, estimate
from ml.scores.metrics import Ranking, Sorted

DATASET = "score_bin: "
"""In `ml.metrics` the number of the bin follows, from 01, the lowest scores first."""


@dataclass(frozen=True)
class Bin:
    """Rows with scores beside each other."""

    number: int
    """From 1, the lowest scores first."""
    n: int
    mean_score: float
    observed: Estimate
    """Share of the rows with the event."""


def measure(
    label: Vector,
    score: Vector,
    customers: NDArray[np.int64],
    *,
    bins: int,
    draws: int,
    interval: float,
    seed: int,
) -> list[Bin]:
    """The bins whose distances `metrics.calibration_error` sums up; empty ones are left out.

    Args:
        label: 1 = the event.
        score: probability of the event, 0 to 1.
        customers: number of each row's customer, from 0; the intervals come from a bootstrap over them.
        bins: groups of equal size; equal scores are never parted.
        draws: of the bootstrap.
        interval: share of the draws inside it.
        seed: of the draws.
    """
    rows = Sorted(label, score)
    bounds = np.array(Ranking(rows, np.ones(len(label))).bounds(bins))
    number = np.empty(len(label), dtype=np.int64)
    number[rows.order] = bins - np.searchsorted(bounds, np.arange(len(label)), side="right")

    def sums(value: Vector) -> Vector:
        return np.bincount(number, value, bins).astype(np.float64)

    n, events, scores = sums(np.ones(len(label))), sums(label), sums(score)
    drawn = np.full((draws, bins), np.nan)
    for draw, weight in enumerate(bootstrap(customers, draws, seed)):
        total = sums(weight)
        np.divide(sums(weight * label), total, out=drawn[draw], where=total > 0)
    return [
        Bin(
            number=b + 1,
            n=int(n[b]),
            mean_score=float(scores[b] / n[b]),
            observed=estimate(float(events[b] / n[b]), drawn[:, b], interval, 0.0, 1.0),
        )
        for b in range(bins)
        if n[b]
    ]
