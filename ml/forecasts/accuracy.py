"""How far off forecasts were, and how wide an interval must be.

MASE is the mean absolute error over the mean absolute change from one month to the next (of days: from one
week's day to the next week's) of the history before the origin, after Hyndman & Koehler 2006; several series
are put together by the sums of both. WAPE is the sum of absolute errors over the sum of absolute outcomes,
bias the sum of errors over it (above 0: forecast too high). Coverage is the share of outcomes inside the
interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.forecasts.series import Vector

ENDS = (0.025, 0.1, 0.9, 0.975)
"""Quantiles of lo95, lo80, hi80, hi95."""
INTERVALS = ("lo95", "lo80", "hi80", "hi95")


@dataclass(frozen=True)
class Widths:
    """Quantiles (ENDS) of residuals in scales, by level and step; level "" holds all levels together."""

    of: dict[tuple[str, str, int], tuple[float, ...]]

    def at(self, grain: str, level: str, step: int) -> tuple[float, ...]:
        """Those of a level, or else of all levels; a step beyond the backtest's has those of the last."""
        for name in (level, ""):
            if (grain, name, step) in self.of:
                return self.of[grain, name, step]
        last = max((s for g, name, s in self.of if g == grain and name == ""), default=None)
        if last is None:
            return (float("-inf"), float("-inf"), float("inf"), float("inf"))
        return self.of[grain, "", last]


def scale(values: Vector, lag: int) -> float:
    """Mean absolute change over `lag` periods; of a series that never moves 1 % of its mean."""
    change = np.abs(values[lag:] - values[:-lag]).mean() if len(values) > lag else 0.0
    return float(max(change, np.abs(values).mean() * 0.01, 0.01))


def step_of(grain: str, step: int) -> int:
    """Days share a width by week, months have their own."""
    return step if grain == "month" else (step - 1) // 7 + 1


def widths(rows: pd.DataFrame, least: int) -> Widths:
    """Widths from residuals of forecasts.

    Args:
        rows: grain, level, step, yhat, actual, scale.
        least: residuals of a level, over all of its series and origins, below which it has no own widths.
    """
    of: dict[tuple[str, str, int], tuple[float, ...]] = {}
    residuals = rows.assign(
        residual=(rows.actual - rows.yhat) / rows.scale,
        at=[step_of(grain, step) for grain, step in zip(rows.grain, rows.step, strict=True)],
    )
    for name, by in (("", ["grain", "at"]), ("level", ["grain", "at", "level"])):
        for keys, group in residuals.groupby(by, sort=True):
            if name == "" or len(group) >= least:
                level = keys[2] if name else ""
                of[keys[0], level, int(keys[1])] = quantiles(group.residual.to_numpy())
    return Widths(of)


def quantiles(residuals: Vector) -> tuple[float, ...]:
    """ENDS of residuals, outwards to the next one that was seen."""
    low = np.quantile(residuals, ENDS[:2], method="lower")
    high = np.quantile(residuals, ENDS[2:], method="higher")
    return tuple(round(float(value), 6) for value in (*low, *high))


def with_intervals(rows: pd.DataFrame, known: Widths) -> pd.DataFrame:
    """Rows with `INTERVALS`, which hold the forecast, and are not below 0 where `is_positive`."""
    ends = np.array(
        [
            known.at(grain, level, step_of(grain, step))
            for grain, level, step in zip(rows.grain, rows.level, rows.step, strict=True)
        ]
    ).reshape(len(rows), len(ENDS))
    found = rows.copy()
    for place, name in enumerate(INTERVALS):
        value = found.yhat + ends[:, place] * found.scale
        value = value.where(~(found.is_positive & (value < 0)), 0.0)
        found[name] = np.minimum(value, found.yhat) if place < 2 else np.maximum(value, found.yhat)
    return found


def measure(rows: pd.DataFrame) -> dict[str, float]:
    """MASE, WAPE, bias and, where rows have intervals, coverage.

    Args:
        rows: yhat, actual, scale; `INTERVALS` or not.
    """
    error, size = rows.yhat - rows.actual, float(rows.actual.abs().sum())
    found = {"mase": float(error.abs().sum() / rows.scale.sum())}
    if size:
        found |= {"wape": float(error.abs().sum()) / size, "bias": float(error.sum()) / size}
    if set(INTERVALS) <= set(rows.columns):
        for name in ("80", "95"):
            inside = (rows.actual >= rows[f"lo{name}"]) & (rows.actual <= rows[f"hi{name}"])
            found[f"coverage_{name}"] = float(inside.mean())
    return found


def row(
    client: str, dataset: str, window: str, metric: str, value: float, n: int, baseline: str = ""
) -> dict[str, Any]:
    """A row as the table `ml.metrics` has it."""
    return {
        "client_id": client,
        "dataset": dataset,
        "window_label": window,
        "metric": metric,
        "baseline": baseline,
        "value": value if np.isfinite(value) else None,
        "lo": None,
        "hi": None,
        "n": n,
        "base_rate": None,
    }


def by_dataset(
    client: str, window: str, rows: pd.DataFrame, others: Sequence[tuple[str, pd.DataFrame]]
) -> list[dict[str, Any]]:
    """Metrics of the chosen forecasts and of others (name, rows) by level and grain."""
    found = []
    for baseline, given in (("", rows), *others):
        for (grain, level), group in given.groupby(["grain", "level"], sort=True):
            dataset = level if grain == "month" else f"{level} by day"
            found += [
                row(client, dataset, window, metric, value, len(group), baseline)
                for metric, value in measure(group).items()
            ]
    return found
