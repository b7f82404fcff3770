"""Has a distribution moved? Population stability index and rank correlation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.intervals import Vector

LEAST_SHARE = 1e-4
"""Smaller shares count as this one: the logarithm of an empty bin has no end."""


@dataclass(frozen=True)
class Shift:
    """How far a distribution moved from its baseline."""

    psi: float
    """By the usual reading, below .10 is no shift worth a look and .25 and more is a large one."""
    noise: float
    """What the index is on average when both are drawn from the same distribution."""
    bins: int
    """Bins that hold rows of either."""


def edges(baseline: Vector, bins: int = 10) -> Vector:
    """Upper ends of all bins but the last, ascending: quantiles of the baseline that are values of it.

    A bin holds the values above the edge before it up to its own edge, that one included. Where many values
    are equal, quantiles coincide and there are fewer bins.

    Args:
        baseline: nan = missing; left out.
        bins: 10 = deciles.
    """
    known = baseline[~np.isnan(baseline)]
    if not len(known):
        return np.array([])
    quantiles = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.asarray(np.unique(quantiles), dtype=np.float64)


def counts(values: Vector, upper: Vector) -> NDArray[np.int64]:
    """Rows in each bin of `edges`, missing values last: one more than there are bins."""
    bins = np.searchsorted(upper, values, side="left")
    bins[np.isnan(values)] = len(upper) + 1
    return np.bincount(bins, minlength=len(upper) + 2)


def psi(baseline: Vector, current: Vector, bins: int = 10) -> Shift:
    """Population stability index: Σ (current − baseline) × ln(current / baseline) over shares of bins.

    Bins are quantiles of the baseline, missing values are a bin of their own. Without any shift, the index
    divided by 1/n + 1/m is about chi-squared with bins − 1 degrees of freedom (Yurdakul 2018, "Statistical
    properties of population stability index"), whence the noise.

    Args:
        baseline: n values; nan = missing.
        current: m values.
        bins: 10 = deciles.

    Raises:
        ValueError: either has no rows.
    """
    n, m = len(baseline), len(current)
    if not n or not m:
        raise ValueError("a stability index needs rows on both sides")
    upper = edges(baseline, bins)
    before, after = counts(baseline, upper), counts(current, upper)
    was, is_now = np.maximum(before / n, LEAST_SHARE), np.maximum(after / m, LEAST_SHARE)
    used = int(((before > 0) | (after > 0)).sum())
    return Shift(
        psi=float(np.sum((is_now - was) * np.log(is_now / was))),
        noise=(used - 1) * (1 / n + 1 / m),
        bins=used,
    )


def rank_correlation(one: Vector, other: Vector) -> float:
    """Spearman's rho of two scores of the same rows; nan when one of them is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (one, other)]
    spread = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(np.dot(ranks[0], ranks[1])) / spread if spread else float("nan")
