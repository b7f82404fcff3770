"""How good a ranking and its probabilities are, with intervals.

Every metric is a function of labels (1 = the event), scores (higher = more likely) and row weights; the
weights are what the bootstrap draws, and a row of weight 2 counts as two rows. Rows with equal scores are one
step: their order never matters. What a day's queue of alerts finds stands in `ml.scores.alerts`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from itertools import pairwise
from typing import Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from ml.intervals import Estimate as Estimate
from ml.intervals import Vector as Vector
from ml.intervals import bootstrap, estimate
from ml.scores import alerts
from ml.scores.alerts import Context as Context
from ml.scores.config import Evaluation

P = ParamSpec("P")

LOWER_IS_BETTER = frozenset({"brier", "calibration_error"})
OF_PROBABILITIES = frozenset({"brier", "calibration_error"})
"""Metrics that only a probability has; for other scores they are nan."""


@dataclass(frozen=True)
class Evaluated:
    """Metrics of several scorers on the same rows and the same draws.

    `metrics` is by scorer and metric. `gains` is by scorer: `primary` of the first scorer minus its own;
    positive means that the first one is better, also where the lower value of a metric is the better one.
    """

    n: int
    base_rate: float
    metrics: dict[str, dict[str, Estimate]]
    gains: dict[str, Estimate]
    primary: str = "average_precision"


class Sorted:
    """Rows from the highest score down, in steps of equal scores; sorted once, weighted often."""

    def __init__(self, label: Vector, score: Vector) -> None:
        if np.isnan(score).any():
            raise ValueError("a score is not a number")
        self.order = np.argsort(-score, kind="stable")
        label, self.score = label[self.order], score[self.order]
        self.ends = np.append(np.flatnonzero(self.score[1:] != self.score[:-1]), len(score) - 1)
        """Last row of each step."""
        self.excess, self.error = self.score - label, (self.score - label) ** 2
        self.events = np.flatnonzero(label)
        steps = np.searchsorted(self.ends, self.events)
        self.last_events = np.flatnonzero(np.append(steps[1:] != steps[:-1], True)[: len(steps)])
        self.steps = steps[self.last_events]
        """Steps that hold events. All that a ranking is worth is told by what lies above and below them."""


class Ranking:
    """Sorted rows with weights; what several metrics need is summed up once."""

    def __init__(self, rows: Sorted, weight: Vector) -> None:
        self.rows, self.weight = rows, weight[rows.order]
        total = np.cumsum(self.weight)
        self.total = total if len(rows.ends) == len(total) else total[rows.ends]
        """Weight down to each step."""
        self.all = float(total[-1])
        self.hits = np.cumsum(self.weight[rows.events])[rows.last_events]
        """Weight of the events down to each step that holds some; so are those that follow."""
        self.events = float(self.hits[-1]) if len(self.hits) else 0.0
        self.others = self.all - self.events
        self.new_hits = np.diff(self.hits, prepend=0.0)
        self.down = self.total[rows.steps]
        self.misses = self.down - self.hits
        above = np.where(rows.steps > 0, self.total[rows.steps - 1], 0.0)
        self.misses_above = above - (self.hits - self.new_hits)

    @cached_property
    def auc(self) -> float:
        """Area under the ROC curve; nan without both outcomes."""
        if self.events == 0 or self.others == 0:
            return float("nan")
        beaten = self.others - (self.misses + self.misses_above) / 2
        return float(np.dot(self.new_hits, beaten) / (self.events * self.others))

    def found(self, size: float) -> float:
        """Events expected among the best `size` rows; ties are drawn by lot."""
        step = int(np.searchsorted(self.total, min(size, self.all)))
        before = float(self.total[step - 1]) if step else 0.0
        share = (min(size, self.all) - before) / max(float(self.total[step]) - before, 1e-300)
        at = int(np.searchsorted(self.rows.steps, step))
        above = float(self.hits[at - 1]) if at else 0.0
        within = at < len(self.hits) and self.rows.steps[at] == step
        return above + (share * float(self.new_hits[at]) if within else 0.0)

    def bounds(self, bins: int) -> list[int]:
        """Ends of `bins` groups of equal weight, from the highest score down; equal scores stay together."""
        limits = self.all * np.arange(1, bins) / bins
        # A step lies in the bin of its middle: a bin begins with the step that crosses its limit, or the
        # next.
        step = np.minimum(np.searchsorted(self.total, limits), len(self.total) - 1)
        middle = (self.total[step] + np.where(step > 0, self.total[step - 1], 0.0)) / 2
        first = np.append(0, self.rows.ends + 1)[step + (middle < limits)]
        return [0, *first.tolist(), len(self.weight)]


_MEASURES: dict[str, Callable[..., float]] = {}


def _metric(
    measure: Callable[Concatenate[Ranking, P], float],
) -> Callable[Concatenate[Vector, Vector, Vector, P], float]:
    """A metric of arrays; `evaluate` calls what is inside, so that its metrics share one ranking."""
    _MEASURES[measure.__name__] = measure

    @wraps(measure)
    def of_arrays(
        label: Vector, score: Vector, weight: Vector, /, *args: P.args, **kwargs: P.kwargs
    ) -> float:
        return measure(Ranking(Sorted(label, score), weight), *args, **kwargs)

    return of_arrays


@_metric
def average_precision(rows: Ranking) -> float:
    """Mean precision over the events found, as scikit-learn defines it; nan without events."""
    if rows.events == 0:
        return float("nan")
    precision = np.divide(rows.hits, rows.down, out=np.zeros_like(rows.hits), where=rows.down > 0)
    return float(np.dot(rows.new_hits, precision) / rows.events)


@_metric
def roc_auc(rows: Ranking) -> float:
    """Chance that an event scores higher than a non-event; nan without both."""
    return rows.auc


@_metric
def gini(rows: Ranking) -> float:
    """2 × AUC − 1, also called accuracy ratio or Somers' D: 0 = no ranking, 1 = perfect, −1 = reversed."""
    return 2 * rows.auc - 1


@_metric
def ks(rows: Ranking) -> float:
    """Kolmogorov-Smirnov: greatest distance between the events' and the others' distribution of scores."""
    if rows.events == 0 or rows.others == 0:
        return float("nan")
    # The distance turns only where a step with events begins or ends.
    below = rows.hits / rows.events - rows.misses / rows.others
    above = (rows.hits - rows.new_hits) / rows.events - rows.misses_above / rows.others
    return float(max(np.abs(below).max(), np.abs(above).max()))


@_metric
def precision_at_budget(rows: Ranking, *, share: float) -> float:
    """Share of events among the best-scored `share` of rows."""
    size = share * rows.all
    return rows.found(size) / size if size else float("nan")


@_metric
def recall_at_budget(rows: Ranking, *, share: float) -> float:
    """Share of the events that the best-scored `share` of rows holds; nan without events."""
    return rows.found(share * rows.all) / rows.events if rows.events else float("nan")


@_metric
def precision_at_k(rows: Ranking, *, k: int) -> float:
    """Share of events among the `k` best-scored rows; of all rows where there are fewer."""
    size = min(float(k), rows.all)
    return rows.found(size) / size if size else float("nan")


@_metric
def brier(rows: Ranking) -> float:
    """Mean squared error of the probability; lower is better."""
    return float(np.dot(rows.weight, rows.rows.error) / rows.all)


@_metric
def calibration_error(rows: Ranking, *, bins: int) -> float:
    """Mean distance of predicted and observed rate over `bins` groups of equal size; lower is better.

    The expected calibration error of Naeini et al. 2015 ("Obtaining well calibrated probabilities using
    Bayesian binning") with bins of equal frequency, which Roelofs et al. 2022 ("Mitigating bias in
    calibration error estimation") found less biased than bins of equal width. Equal scores are never parted,
    so a bin may be larger than the others, or empty. In a finite sample a perfect model has more than 0.
    """
    bounds = rows.bounds(bins)
    gaps = [abs(np.dot(rows.weight[a:b], rows.rows.excess[a:b])) for a, b in pairwise(bounds)]
    return float(sum(gaps) / rows.all)


def evaluate(
    label: Vector,
    scores: Mapping[str, Vector],
    customers: NDArray[np.int64],
    settings: Evaluation,
    seed: int,
    *,
    context: Context | None = None,
    measures: Sequence[str] | None = None,
    primary: str = "average_precision",
    fired: Mapping[str, NDArray[np.bool_]] | None = None,
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
        context: days, cards and amounts, for the metrics of `alerts`; which of these there are depends on
            what it holds.
        measures: names of the metrics wanted; default: all that can be measured.
        primary: metric of the gains.
        fired: by scorer that is a rule and not a probability, the rows that it fires on. Such a scorer has no
            metrics of probabilities, and it saves money by alerting on what it fires on, highest score first.

    Raises:
        ValueError: a metric is not known or cannot be measured without more context; a score is not a number.
    """
    context, fired = context or Context(), fired or {}
    ranked: dict[str, Callable[[Ranking], float]] = {
        "average_precision": _MEASURES["average_precision"],
        "roc_auc": _MEASURES["roc_auc"],
        "gini": _MEASURES["gini"],
        "ks": _MEASURES["ks"],
        "precision_at_budget": partial(_MEASURES["precision_at_budget"], share=settings.budget_share),
        "recall_at_budget": partial(_MEASURES["recall_at_budget"], share=settings.budget_share),
        "brier": _MEASURES["brier"],
        "calibration_error": partial(_MEASURES["calibration_error"], bins=settings.calibration_bins),
    }
    if context.k is not None:
        ranked["precision_at_k"] = partial(_MEASURES["precision_at_k"], k=context.k)
    queued = alerts.available(context)
    names = list(measures) if measures is not None else [*ranked, *queued]
    if unknown := sorted({*names, primary} - {*ranked, *queued}):
        raise ValueError(
            f"cannot measure {', '.join(unknown)}; what is given allows {', '.join([*ranked, *queued])}"
        )
    names += [primary] * (primary not in names)

    def scorer(name: str, score: Vector) -> Callable[[Vector], list[float]]:
        rows = Sorted(label, score)
        probability = name not in fired and bool(score.min() >= 0 and score.max() <= 1)
        queues = alerts.queues(label, score, context, fired.get(name), probability, names)

        def measure(weight: Vector) -> list[float]:
            drawn = Ranking(rows, weight)
            found = {key: value for queue in queues for key, value in queue(weight).items()}
            for key in names:
                if key in ranked:
                    known = probability or key not in OF_PROBABILITIES
                    found[key] = ranked[key](drawn) if known else float("nan")
            return [found.get(key, float("nan")) for key in names]

        return measure

    scorers = [scorer(name, score) for name, score in scores.items()]
    values = np.array([measure(np.ones(len(label))) for measure in scorers])
    draws = np.array(
        [
            [measure(weight) for measure in scorers]
            for weight in bootstrap(customers, settings.bootstrap_draws, seed)
        ]
    )
    sign, at = -1 if primary in LOWER_IS_BETTER else 1, names.index(primary)
    return Evaluated(
        n=len(label),
        base_rate=float(label.mean()),
        metrics={
            name: {
                key: estimate(values[s, m], draws[:, s, m], settings.interval, *_RANGES.get(key, (0.0, 1.0)))
                for m, key in enumerate(names)
            }
            for s, name in enumerate(scores)
        },
        gains={
            name: estimate(
                sign * (values[0, at] - values[s, at]),
                sign * (draws[:, 0, at] - draws[:, s, at]),
                settings.interval,
            )
            for s, name in enumerate(scores)
            if s
        },
        primary=primary,
    )


_RANGES: dict[str, tuple[float, float]] = {
    "gini": (-1.0, 1.0),
    "savings": (-np.inf, np.inf),
    "savings_share": (-np.inf, 1.0),
    "savings_of_greatest": (-np.inf, 1.0),
}
