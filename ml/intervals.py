"""Intervals by a bootstrap over customers: whoever is drawn comes with all rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float
    lo: float
    hi: float


def bootstrap(customers: NDArray[np.int64], draws: int, seed: int) -> Iterator[Vector]:
    """Row weights of each draw: how often the row's customer was drawn, with replacement.

    Args:
        customers: number of each row's customer, from 0.
        draws: how many.
        seed: the same seed gives the same draws.
    """
    rng = np.random.default_rng(seed)
    size = int(customers.max()) + 1
    for _ in range(draws):
        yield np.bincount(rng.integers(size, size=size), minlength=size)[customers].astype(np.float64)


def estimate(
    value: float, drawn: Vector, interval: float, least: float = -np.inf, most: float = np.inf
) -> Estimate:
    """A value with the interval of its draws, moved so that their mean lies on the value.

    Args:
        value: on the rows themselves.
        drawn: on each draw; those that are not finite are left out.
        interval: share of the draws inside it.
        least: what the interval cannot fall below.
        most: what it cannot exceed.
    """
    known = drawn[np.isfinite(drawn)]
    if not len(known) or not np.isfinite(value):
        return Estimate(float(value), float("nan"), float("nan"))
    tail = (1 - interval) / 2
    lo, hi = value + np.quantile(known, [tail, 1 - tail]) - known.mean()
    return Estimate(float(value), max(float(lo), least), min(float(hi), most))
