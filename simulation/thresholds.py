"""How far a threshold on one feature gets: the recall that it reaches when only so many alerts may be
raised."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reach:
    """What one feature reaches by its best threshold.

    Attributes:
        feature: name.
        direction: `high` or `low`: which end is alerted; `none`: rows without a value come first.
        recall: share of the positive rows among the alerted.
        share: `recall` as a share of the reachable recall.
    """

    feature: str
    direction: str
    recall: float
    share: float


def recall_at(score: Floats, label: npt.NDArray[np.bool_], budget: float) -> float:
    """Recall when the `budget` share of rows with the highest score is alerted.

    Rows of equal score at the edge are taken in proportion: what a random choice among them gives on average.
    """
    allowed = budget * len(score)
    order = np.sort(score)[::-1]
    edge = order[min(int(allowed), len(order) - 1)]
    above, at = score > edge, score == edge
    part = (allowed - above.sum()) / max(int(at.sum()), 1)
    return float((label[above].sum() + part * label[at].sum()) / max(int(label.sum()), 1))


def reach_of(feature: str, values: Floats, label: npt.NDArray[np.bool_], budget: float, top: float) -> Reach:
    """The better of both directions, with rows without a value first or last.

    Args:
        feature: name.
        values: one number a row, NaN where there is none.
        label: what is to be found.
        budget: share of rows that may be alerted.
        top: the reachable recall at that budget.
    """
    missing = np.isnan(values)
    best = Reach(feature, "high", 0.0, 0.0)
    for direction, signed in (("high", values), ("low", -values)):
        for first in (False, True) if missing.any() else (False,):
            score = np.where(missing, np.inf if first else -np.inf, signed)
            recall = recall_at(score, label, budget)
            if recall > best.recall:
                name = f"{direction}, none first" if first else direction
                best = Reach(feature, name, recall, recall / top)
    return best
