"""How a model treats groups of customers: whom it approves or selects, and whether its probabilities hold.

Groups are never features. Small ones are shown and never flagged, and a flag needs an interval that leaves
the limit out, so that chance alone raises few of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.intervals import Vector, bootstrap, estimate

UNKNOWN = "unknown"
"""Rows whose group is not given: shown, never compared with, never flagged."""

Outcome = Literal["approved", "selected"]


@dataclass(frozen=True)
class GroupMetric:
    """One metric of one group. `base_rate` is the group's share of rows with the event."""

    attribute: str
    group: str
    metric: str
    value: float
    lo: float
    hi: float
    n: int
    base_rate: float


@dataclass(frozen=True)
class Fairness:
    """What was measured, and what a person must look at."""

    rows: tuple[GroupMetric, ...]
    flags: tuple[str, ...]
    """In words."""


def measure(
    groups: Mapping[str, Sequence[str | None]],
    label: Vector,
    score: Vector,
    customers: NDArray[np.int64],
    *,
    threshold: float,
    outcome: Outcome,
    min_rows: int,
    draws: int,
    interval: float,
    seed: int,
    least_impact_ratio: float = 0.8,
) -> Fairness:
    """Measure each group of each attribute, with intervals from a bootstrap over customers.

    The metrics are, by group:
        approval_rate, or selection_rate: share of rows approved (score below the threshold), or selected
            (score at the threshold or above).
        adverse_impact_ratio: that rate divided by the rate of the attribute's largest group.
        true_positive_rate: of "approved", the share approved of the rows without the event (good payers); of
            "selected", the share selected of the rows with it.
        mean_score: mean probability of the event; the base rate stands beside it.
        calibration_gap: mean probability minus base rate; positive = the group's risk is overstated.

    Approvals are flagged by the four-fifths rule (29 CFR 1607.4 D): an impact ratio whose whole interval lies
    below the limit. To be selected may be good or bad for the customer (an offer, a blocked card), so that is
    flagged on either side: below the limit, or above 1 / limit.

    Args:
        groups: by attribute, the group of each row; None = not given.
        label: 1 = the event.
        score: probability of the event.
        customers: number of each row's customer, from 0.
        threshold: from this score on, a row is not approved, or is selected.
        outcome: what follows from the score.
        min_rows: smaller groups are never flagged, and nothing is compared with them.
        draws: of the bootstrap.
        interval: share of the draws inside it.
        seed: of the draws.
        least_impact_ratio: the limit.
    """
    chosen = score < threshold if outcome == "approved" else score >= threshold
    deserving = label == (0 if outcome == "approved" else 1)
    columns = np.column_stack([np.ones(len(label)), label, score, chosen, deserving, deserving & chosen])
    cells = {attribute: _Cells(names, customers, columns) for attribute, names in groups.items()}
    drawn: dict[str, list[Vector]] = {attribute: [] for attribute in cells}
    for weight in bootstrap(np.arange(int(customers.max()) + 1), draws, seed):
        for attribute, part in cells.items():
            drawn[attribute].append(part.sums(weight))

    rows: list[GroupMetric] = []
    flags: list[str] = []
    for attribute, part in cells.items():
        sums = part.sums(np.ones(int(customers.max()) + 1))
        size = np.where(part.names == UNKNOWN, 0, sums[:, 0])
        largest = int(np.argmax(size))
        values = _metrics(sums, largest, outcome)
        spread = _metrics(np.stack(drawn[attribute], axis=1), largest, outcome)
        for g, name in enumerate(part.names.tolist()):
            found = {
                metric: estimate(float(value[g]), spread[metric][g], interval, *_RANGES[metric])
                for metric, value in values.items()
            }
            n, base_rate = int(sums[g, 0]), float(sums[g, 1] / sums[g, 0])
            rows += [
                GroupMetric(attribute, name, metric, value.value, value.lo, value.hi, n, base_rate)
                for metric, value in found.items()
            ]
            if g == largest or min(size[g], size[largest]) < min_rows:
                continue
            ratio = found["adverse_impact_ratio"]
            if ratio.hi < least_impact_ratio:
                limit = f"below {least_impact_ratio:.2f}"
            elif outcome == "selected" and ratio.lo > 1 / least_impact_ratio:
                limit = f"above {1 / least_impact_ratio:.2f}"
            else:
                continue
            rate = values[_RATE[outcome]]
            flags.append(
                f"{attribute} {name}: {rate[g]:.1%} of {n:,} rows are {outcome}, against "
                f"{rate[largest]:.1%} of the largest group, {part.names[largest]}: an impact ratio of "
                f"{ratio.value:.2f} ({ratio.lo:.2f} to {ratio.hi:.2f}), {limit}"
            )
    return Fairness(tuple(rows), tuple(flags))


_RATE = {"approved": "approval_rate", "selected": "selection_rate"}
_RANGES = {
    "approval_rate": (0.0, 1.0),
    "selection_rate": (0.0, 1.0),
    "adverse_impact_ratio": (0.0, np.inf),
    "true_positive_rate": (0.0, 1.0),
    "mean_score": (0.0, 1.0),
    "calibration_gap": (-1.0, 1.0),
}


class _Cells:
    """Sums by group and customer, so that a draw costs as much as there are customers."""

    def __init__(self, groups: Sequence[str | None], customers: NDArray[np.int64], columns: Vector) -> None:
        given = np.array([UNKNOWN if name is None else name for name in groups])
        self.names, group = np.unique(given, return_inverse=True)
        size = int(customers.max()) + 1
        cell, number = np.unique(group * size + customers, return_inverse=True)
        self.values = np.column_stack([np.bincount(number, column, len(cell)) for column in columns.T])
        self.customer = cell % size
        ends = np.searchsorted(cell // size, np.arange(len(self.names) + 1))
        self.slices = [slice(a, b) for a, b in pairwise(ends)]

    def sums(self, weight: Vector) -> Vector:
        """Groups × columns, under a weight of each customer."""
        drawn = weight[self.customer]
        return np.stack([drawn[part] @ self.values[part] for part in self.slices])


def _metrics(sums: Vector, largest: int, outcome: Outcome) -> dict[str, Vector]:
    """By metric: groups, or groups × draws."""
    n, events, score, chosen, deserving, both = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = chosen / n
        return {
            _RATE[outcome]: rate,
            "adverse_impact_ratio": rate / rate[largest],
            "true_positive_rate": both / deserving,
            "mean_score": score / n,
            "calibration_gap": (score - events) / n,
        }
