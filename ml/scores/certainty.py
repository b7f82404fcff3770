"""How far a score can be trusted: its interval, its support in the training, and whether it reaches beyond.

- `score_lo`, `score_hi`: the calibrated probability at this margin, with `LEVEL` confidence. What is
  uncertain is the line of the calibration: (a, b) come from the outcomes of the calibration days alone, so
  the log-odds a * margin + b have the variance Vaa * margin² + 2 Vab * margin + Vbb (delta method). V is the
  sandwich of the maximum-likelihood fit with the scores added up by customer (Liang and Zeger 1986,
  "Longitudinal data analysis using generalized linear models", times G / (G - 1) for G customers): somebody
  who stands there on several days is one piece of evidence. That the trees might have grown otherwise, and
  that the world changes after the calibration days, is not in it.
- `support`: so many rows, of those that the trees were fitted on, have a calibrated score in that interval;
  from evenly spaced quantiles, so it is about right, and 0 beyond the lowest and highest of them.
- `is_out_of_range`: a feature that the model uses lies beyond the least or greatest value of the fitted rows.
  Trees give such a row the answer of the outermost ones. A missing value lies nowhere.
- `confidence`: share of the features with a value within the range of the fitted rows that counts as known
  ground (by default their 1 % to 99 % quantiles), of those that had a value in any fitted row: the others
  can decide nothing. It is not the chance that the score is right.

Features that time alone moves (`confidence.ages` of the YAML: how long somebody has been a customer) have no
end on the side to which they move, in either of the two: everybody gets there, and it says nothing new.

A forest's score is a rank, not a probability: it has no interval and no support. Neither has a version that
was registered before these were kept; it goes on scoring, and whether it reaches out is not known either.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.scores.matrix import Matrix

if TYPE_CHECKING:
    from ml.scores.model import Model

Vector = NDArray[np.float64]
LEVEL = 0.95
_DEVIATIONS = 1.959963984540054
"""Of the normal distribution, on either side of the interval."""
_STEPS = 1000
"""Quantiles of the fitted rows' margins that are kept."""
COLUMNS = pa.schema(
    [
        ("confidence", pa.float32()),
        ("score_lo", pa.float32()),
        ("score_hi", pa.float32()),
        ("support", pa.int64()),
        ("is_out_of_range", pa.bool_()),
    ]
)
"""What is said of every score."""


@dataclass(frozen=True)
class Ground:
    """What a model stands on."""

    rows: int
    """Rows that the estimator was fitted on."""
    margins: tuple[float, ...]
    """Their margins' evenly spaced quantiles, from the least to the greatest."""
    covariance: tuple[float, float, float] | None
    """(Vaa, Vab, Vbb) of the calibration; None: the score is no probability."""
    extents: Mapping[str, tuple[float, float]]
    """Least and greatest value of each feature that the estimator uses, where it has any."""

    @classmethod
    def of(
        cls,
        table: pa.Table,
        used: Collection[str],
        margins: Vector,
        covariance: tuple[float, float, float] | None,
    ) -> "Ground":
        """The ground of fitted rows.

        Args:
            table: the rows; their features by name.
            used: names of the features that the estimator uses.
            margins: of the rows.
            covariance: of the calibration.
        """
        extents = {}
        for name in table.column_names:
            known = table[name].drop_null().to_numpy() if name in used else np.zeros(0)
            if len(known):
                extents[name] = (float(known.min()), float(known.max()))
        quantiles = np.quantile(margins, np.linspace(0, 1, _STEPS + 1))
        # Rounded, so that the last bits of an interpolation cannot make another version.
        return cls(len(margins), tuple(round(float(q), 6) for q in quantiles), covariance, extents)

    def plain(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any] | None) -> "Ground | None":
        """Read what `plain` gave; None stays None."""
        if content is None:
            return None
        covariance = content["covariance"]
        return cls(
            rows=content["rows"],
            margins=tuple(content["margins"]),
            covariance=(covariance[0], covariance[1], covariance[2]) if covariance else None,
            extents={name: (low, high) for name, (low, high) in content["extents"].items()},
        )


def covariance(
    margins: Vector, labels: Vector, scale: tuple[float, float], customers: NDArray[np.int64]
) -> tuple[float, float, float]:
    """(Vaa, Vab, Vbb) of the (a, b) of probability = 1 / (1 + exp(-(a * margin + b))).

    Args:
        margins: of the calibration rows.
        labels: 1 = the event.
        scale: (a, b), fitted or fixed: the curvature of the log-likelihood is taken there.
        customers: number of each row's customer.
    """
    a, b = scale
    p = 1 / (1 + np.exp(-np.clip(a * margins + b, -30, 30)))
    design = np.column_stack([margins, np.ones_like(margins)])
    curvature = design.T @ (design * np.maximum(p * (1 - p), 1e-9)[:, None])
    _, groups = np.unique(customers, return_inverse=True)
    n = int(groups.max()) + 1
    pulls = np.column_stack([np.bincount(groups, (p - labels) * of, n) for of in design.T])
    bread = np.linalg.pinv(curvature)
    found = bread @ (pulls.T @ pulls) @ bread * (n / max(n - 1, 1))
    return _few_digits(found[0, 0]), _few_digits(found[0, 1]), _few_digits(found[1, 1])


def columns(model: "Model", matrix: Matrix, margins: Vector) -> dict[str, pa.Array]:
    """`COLUMNS` of rows.

    Args:
        model: what scored them.
        matrix: rows × features in the model's order; missing is nan.
        margins: of the rows.
    """
    said: dict[str, Any] = {"confidence": known_ground(model, matrix)}
    ground = model.ground
    if ground is not None:
        low, high = _ends(model, ground.extents, (-np.inf, np.inf))
        said["is_out_of_range"] = ((matrix < low) | (matrix > high)).any(axis=1)
    if ground is not None and ground.covariance is not None:
        (a, b), (aa, ab, bb) = model.calibration, ground.covariance
        odds = a * margins + b
        away = _DEVIATIONS * np.sqrt(np.maximum((aa * margins + 2 * ab) * margins + bb, 0))
        fitted = np.sort(a * np.array(ground.margins) + b)
        shares = np.linspace(0, 1, len(fitted))
        within = np.interp(odds + away, fitted, shares) - np.interp(odds - away, fitted, shares)
        said["score_lo"] = (1 / (1 + np.exp(away - odds))).astype(np.float32)
        said["score_hi"] = (1 / (1 + np.exp(-away - odds))).astype(np.float32)
        said["support"] = np.rint(within * ground.rows).astype(np.int64)
    return {
        name: pa.array(said[name], kind) if name in said else pa.nulls(len(matrix), kind)
        for name, kind in zip(COLUMNS.names, COLUMNS.types, strict=True)
    }


def known_ground(model: "Model", matrix: Matrix) -> Matrix:
    """Share of the features with a value on known ground, of each row of rows × features in model order.

    Counted are the features that had a value in any fitted row; without such there is no known ground.
    """
    known = {name: ends for name, ends in model.ranges.items() if ends is not None}
    low, high = _ends(model, known, (np.nan, np.nan))
    within = ((matrix >= low) & (matrix <= high)).sum(axis=1)
    return np.asarray(within / max(len(known), 1), dtype=np.float32)


def _ends(model: "Model", of: Mapping[str, tuple[float, float]], without: tuple[float, float]) -> Matrix:
    """Lower and upper end of each feature, 2 × features; none where time alone moves it."""
    ages = model.use_case.get("confidence", {}).get("ages", {})
    found = []
    for name in model.features:
        low, high = of.get(name, without)
        towards = ages.get(name) if name in of else None
        found.append((-np.inf if towards == "down" else low, np.inf if towards == "up" else high))
    return np.array(found, dtype=np.float32).reshape(-1, 2).T


def _few_digits(number: float) -> float:
    """Six of them, so that the last bits of a sum cannot make another version."""
    return float(f"{number:.6g}") if math.isfinite(number) else 0.0
