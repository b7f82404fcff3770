"""A points scorecard that anybody can add up by hand: weight of evidence and a logistic regression.

After Siddiqi 2006, "Credit risk scorecards". Evidence is for the row to be safe: more of it, fewer events.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.intervals import Vector
from ml.scores.points import Scale

_FINEST = 1000
"""Groups of a feature that the tree chooses its cuts from, each of about as many rows."""


@dataclass(frozen=True)
class Bin:
    """Values above `low` up to `high`, that one included (None = no end); or the missing ones."""

    low: float | None
    high: float | None
    is_missing: bool
    count: int
    events: int
    woe: float
    """Weight of evidence: log of the share of others over the share of events; 0 = says nothing."""


@dataclass(frozen=True)
class Scorecard:
    """A fitted scorecard.

    `bins` and `coefficients` are of the features used; the last bin of a feature is that of missing values.
    `information_values` is of all features that were looked at, `left_out` says why those not used are not.
    """

    bins: dict[str, tuple[Bin, ...]]
    coefficients: dict[str, float]
    intercept: float
    """Log-odds of the event where all evidence is 0."""
    information_values: dict[str, float]
    left_out: dict[str, str]
    scale: Scale

    def margins(self, columns: Mapping[str, NDArray[np.floating[Any]]]) -> Vector:
        """Log-odds of the event for each row; columns by name, nan = missing."""
        total = np.full(len(next(iter(columns.values()))), self.intercept)
        for name, coefficient in self.coefficients.items():
            total += coefficient * _evidence(self.bins[name], np.asarray(columns[name]))
        return total

    def predict(self, columns: Mapping[str, NDArray[np.floating[Any]]]) -> Vector:
        """Probability of the event for each row."""
        return np.asarray(1 / (1 + np.exp(-self.margins(columns))))

    def points(self, columns: Mapping[str, NDArray[np.floating[Any]]]) -> Vector:
        """Points of each row on the exact scale: more points, less risk."""
        return self.scale.score(self.margins(columns))

    def table(self) -> list[dict[str, Any]]:
        """One row for each bin of the features used, with its points.

        Points are whole, so that a sum is off the exact scale by up to half a point a feature.
        """
        each = (self.scale.offset - self.scale.factor * self.intercept) / max(len(self.coefficients), 1)
        return [
            {
                "feature": name,
                "from": part.low,
                "to": part.high,
                "is_missing": part.is_missing,
                "count": part.count,
                "events": part.events,
                "woe": part.woe,
                "points": round(each - self.scale.factor * coefficient * part.woe),
            }
            for name, coefficient in self.coefficients.items()
            for part in self.bins[name]
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Scorecard":
        """Read what `to_dict` gave."""
        bins = {name: tuple(Bin(**part) for part in parts) for name, parts in values["bins"].items()}
        return cls(**{**values, "bins": bins, "scale": Scale(**values["scale"])})


def fit(
    columns: Mapping[str, NDArray[np.floating[Any]]],
    label: Vector,
    *,
    monotone: Mapping[str, int] | None = None,
    least_share: float = 0.05,
    most_bins: int = 8,
    least_information: float = 0.02,
    base_points: float = 600,
    base_odds: float = 50,
    points_to_double_odds: float = 20,
) -> Scorecard:
    """Bin each feature, weigh the evidence, and fit.

    A tree on one feature cuts it; neighbouring bins are pooled until evidence rises or falls throughout.
    Features that say next to nothing are left out. So are, one at a time, those whose coefficient has the
    wrong sign: of two bins of theirs, the one with more events would earn more points.

    Args:
        columns: values by feature, nan = missing, which is a bin of its own.
        label: 1 = the event.
        monotone: by feature, 1 where more means more risk, -1 where less does; else whichever tells more.
        least_share: of all rows in a bin; only missing values may be fewer.
        most_bins: of a feature, without that of missing values.
        least_information: lowest information value of a feature that is used; less is noise.
        base_points: points at `base_odds`.
        base_odds: others to one event.
        points_to_double_odds: points by which the odds double.

    Raises:
        ValueError: the rows do not have both outcomes.
    """
    from sklearn.linear_model import LogisticRegression

    events, others = int(label.sum()), int(len(label) - label.sum())
    if not events or not others:
        raise ValueError("a scorecard needs rows with the event and rows without")
    bins = {
        name: _bins(values, label, (monotone or {}).get(name), least_share, most_bins)
        for name, values in columns.items()
    }
    information = {name: round(_information(parts, events, others), 6) for name, parts in bins.items()}
    left_out = {
        name: f"information value {value:.3f}, below {least_information:g}"
        for name, value in information.items()
        if value < least_information or len(bins[name]) == 1
    }
    used = [name for name in columns if name not in left_out]
    evidence = np.empty((len(label), len(used)))
    for position, name in enumerate(used):
        evidence[:, position] = _evidence(bins[name], np.asarray(columns[name]))
    intercept, found = math.log(events / others), np.array([])
    while used:
        # Hardly a penalty: it only keeps coefficients finite where a feature parts the outcomes.
        model = LogisticRegression(C=1000, solver="newton-cholesky").fit(evidence, label)
        intercept, found = float(model.intercept_[0]), model.coef_[0]
        worst = int(np.argmax(found))
        if found[worst] < 0:
            break
        left_out[used[worst]] = f"coefficient {found[worst]:+.3f} beside the others, its sign is wrong"
        evidence, used = np.delete(evidence, worst, axis=1), used[:worst] + used[worst + 1 :]
        intercept, found = math.log(events / others), np.array([])
    return Scorecard(
        bins={name: bins[name] for name in used},
        # Rounded, so that the last bits of a sum cannot make another scorecard.
        coefficients={name: round(float(value), 6) for name, value in zip(used, found, strict=True)},
        intercept=round(intercept, 6),
        information_values=information,
        left_out=left_out,
        scale=Scale(base_points, base_odds, points_to_double_odds),
    )


def weight_of_evidence(count: float, event_count: float, events: float, others: float) -> float:
    """ln((others in the bin / all others) / (events in the bin / all events)).

    Half a row of the rarer outcome is added to the bin, with as much of the other one as keeps the overall
    odds: so a bin without events has a finite weight, and a bin with few rows says little.
    """
    half = 0.5 / min(events, others)
    other_count = count - event_count
    return math.log((other_count + half * others) * events / ((event_count + half * events) * others))


def _bins(
    values: NDArray[np.floating[Any]], label: Vector, direction: int | None, least_share: float, most: int
) -> tuple[Bin, ...]:
    known = ~np.isnan(values)
    events, others = float(label.sum()), float(len(label) - label.sum())
    cuts = _cuts(values[known], label[known], least_share * len(label), most)
    position = np.searchsorted(cuts, values[known], side="left")
    counts = np.bincount(position, minlength=len(cuts) + 1).tolist()
    event_counts = np.bincount(position, label[known], minlength=len(cuts) + 1).tolist()

    def pooled(rising: int) -> list[Bin]:
        parts: list[Bin] = []
        ends = [None, *cuts.tolist(), None]
        for low, high, count, event_count in zip(ends[:-1], ends[1:], counts, event_counts, strict=True):
            part = _bin(low, high, False, count, event_count, events, others)
            while parts and rising * (part.woe - parts[-1].woe) >= 0:  # more risk is less evidence
                last = parts.pop()
                count, event_count = last.count + part.count, last.events + part.events
                part = _bin(last.low, high, False, count, event_count, events, others)
            parts.append(part)
        return parts

    options = [pooled(rising) for rising in ([direction] if direction else [1, -1])]
    best = max(options, key=lambda parts: _information(parts, events, others))
    count, event_count = int((~known).sum()), float(label[~known].sum())
    missing = _bin(None, None, True, count, event_count, events, others)
    return (*(best if known.any() else []), missing)


def _bin(
    low: float | None,
    high: float | None,
    is_missing: bool,
    count: int,
    event_count: float,
    events: float,
    others: float,
) -> Bin:
    woe = round(weight_of_evidence(count, event_count, events, others), 6)
    return Bin(low, high, is_missing, count, int(event_count), woe)


def _cuts(values: NDArray[np.floating[Any]], label: Vector, least_rows: float, most: int) -> Vector:
    """Where a tree cuts known values: upper ends of all bins but the last."""
    from sklearn.tree import DecisionTreeClassifier

    if len(values) < 2 * least_rows:
        return np.array([])
    groups = np.unique(values)
    if len(groups) > _FINEST:
        quantiles = np.quantile(values, np.arange(1, _FINEST + 1) / _FINEST, method="inverted_cdf")
        groups = np.unique(quantiles)
    number = np.searchsorted(groups, values, side="left")
    count = np.bincount(number, minlength=len(groups))
    hit = np.bincount(number, label, minlength=len(groups))
    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(most, 2), min_weight_fraction_leaf=least_rows / len(values), random_state=0
    )
    numbers = np.arange(len(groups), dtype=np.float64)
    tree.fit(
        np.tile(numbers, 2)[:, None],
        np.repeat([0, 1], len(groups)),
        sample_weight=np.concatenate([count - hit, hit]),
    )
    # It cuts half-way between two numbers of groups.
    cuts = np.floor(np.sort(tree.tree_.threshold[tree.tree_.feature >= 0])).astype(np.intp)
    return np.asarray(groups[cuts], dtype=np.float64)


def _information(bins: Sequence[Bin], events: float, others: float) -> float:
    """Information value: Σ (share of others − share of events) × weight of evidence."""
    return sum(((b.count - b.events) / others - b.events / events) * b.woe for b in bins)


def _evidence(bins: Sequence[Bin], values: NDArray[np.floating[Any]]) -> Vector:
    upper = np.array([part.high for part in bins if part.high is not None])
    position = np.searchsorted(upper, values, side="left")
    position[np.isnan(values)] = len(bins) - 1
    return np.array([part.woe for part in bins])[position]
