"""Three lists of what to talk about next, compared by what really happened.

Who asks looks at the first three events. **Popularity**: how often each event happens in the customer's
segment. **Rules**: strength of the evidence; where they are silent, popularity. **Ranker**: learnt
(LambdaMART, `rank:ndcg` of XGBoost), sees both. Metrics are NDCG@3 and hit@3 (Järvelin and Kekäläinen 2002).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.goals.cases import AFTER, BEFORE, NO_SEGMENT, Cases, GoalsError
from ml.intervals import Estimate, Vector, bootstrap, estimate

AT = 3
"""Length of the list that somebody looks at."""
TEST_SHARE = 1 / 3
"""Share of the dates, the latest, that the lists are judged on."""
LEAST = 100
"""Customers and dates with an event that are needed to learn from, and to judge by."""
PRIOR = 20
"""Rows that an event's frequency everywhere weighs as, in the frequency within a segment."""
DRAWS, INTERVAL, SEED = 500, 0.95, 7
PARAMS = {
    "objective": "rank:ndcg",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.05,
    "subsample": 0.8,
    "min_child_weight": 5,
    "seed": SEED,
    "nthread": 1,
}
ROUNDS = 150
LISTS = ("popularity", "rules", "ranker")


@dataclass(frozen=True)
class Comparison:
    """What the lists reach.

    Attributes:
        found: by list and metric: `NDCG@3`, which tells how high the right event stands, and `hit@3`.
        gained: by pair of lists and metric, how much the first is better than the second, on the same cases.
        learnt, judged: numbers of cases.
        by_segment: share of the judged cases whose segment was known; popularity goes by age in the others.
        several: share of the judged cases with evidence in which it speaks for two events or more: only there
            is there an order to be changed.
    """

    found: Mapping[tuple[str, str], Estimate]
    gained: Mapping[tuple[str, str, str], Estimate]
    learnt: int
    judged: int
    by_segment: float
    several: float

    @property
    def ranker_wins(self) -> bool:
        """Whether the ranker is better than popularity and the rules in both metrics, beyond doubt."""
        return all(gain.lo > 0 for (better, _, _), gain in self.gained.items() if better == "ranker")


def compare(cases: Cases) -> Comparison:
    """Learn on the earlier dates, judge on the later ones; no event counts for both.

    Raises:
        GoalsError: too few customers to whom something happened, on either side.
    """
    days = sorted(set(cases.day))
    first = days[-max(1, round(len(days) * TEST_SHARE))]
    until = first - timedelta(days=BEFORE + AFTER)
    earlier = cases.where(np.array([day < until for day in cases.day], dtype=np.bool_))
    later = cases.where(np.array([day >= first for day in cases.day], dtype=np.bool_))
    learnt = earlier.where(_any(earlier))
    judged = later.where(_any(later))
    if min(len(learnt), len(judged)) < LEAST:
        raise GoalsError(
            f"something happened in {len(learnt)} cases to learn from and {len(judged)} to judge by, from"
            f" {first} on; {LEAST} of each are needed: take a longer history or more customers"
        )
    lists = rank(earlier, learnt, judged)
    scores = {name: _judge(order, judged.happened) for name, order in lists.items()}
    draws = list(bootstrap(np.unique(judged.customer, return_inverse=True)[1], DRAWS, SEED))

    def told(values: Vector, least: float) -> Estimate:
        drawn = np.array([np.average(values, weights=weights) for weights in draws])
        return estimate(float(values.mean()), drawn, INTERVAL, least, 1.0)

    found = {
        (name, metric): told(values, 0.0) for name, of in scores.items() for metric, values in of.items()
    }
    gained = {
        (better, than, metric): told(scores[better][metric] - scores[than][metric], -1.0)
        for better, than in (("rules", "popularity"), ("ranker", "popularity"), ("ranker", "rules"))
        for metric in scores[better]
    }
    by_segment = float(np.mean([not NO_SEGMENT.match(name) for name in judged.segment]))
    shown = (judged.strength > 0).sum(axis=1)
    several = float((shown > 1).sum() / max(1, int((shown > 0).sum())))
    return Comparison(found, gained, len(learnt), len(judged), by_segment, several)


def rank(earlier: Cases, learnt: Cases, judged: Cases) -> dict[str, Vector]:
    """Scores of the three lists for the judged cases, cases × events; the greatest stands first.

    Args:
        earlier: all cases before, with and without an event: how popular each is.
        learnt: those of them that the ranker learns from.
        judged: those to rank.
    """
    popular = {name: _popularity(earlier, cases) for name, cases in (("learnt", learnt), ("judged", judged))}
    groups = np.full(len(learnt), len(learnt.events))
    matrix = xgb.DMatrix(_described(learnt, popular["learnt"]), label=learnt.happened.ravel())
    matrix.set_group(groups)
    booster = xgb.train(PARAMS, matrix, ROUNDS)
    predicted = booster.predict(xgb.DMatrix(_described(judged, popular["judged"])))
    return {
        "popularity": popular["judged"],
        # Two events with equal evidence, none above all, stand in the order of their popularity.
        "rules": judged.strength + popular["judged"] / 1000,
        "ranker": predicted.reshape(judged.happened.shape).astype(np.float64),
    }


def _any(cases: Cases) -> NDArray[np.bool_]:
    """Whether anything happened, by case."""
    found: NDArray[np.bool_] = cases.happened.max(axis=1, initial=0.0) > 0
    return found


def _popularity(earlier: Cases, cases: Cases) -> Vector:
    """How often each event happened in a case's segment, drawn towards how often it did everywhere."""
    everywhere = earlier.happened.mean(axis=0)
    of_segment = {}
    for segment in set(cases.segment):
        rows = earlier.happened[earlier.segment == segment]
        of_segment[segment] = (rows.sum(axis=0) + PRIOR * everywhere) / (len(rows) + PRIOR)
    return np.array([of_segment[segment] for segment in cases.segment])


def _described(cases: Cases, popularity: Vector) -> Vector:
    """What the ranker sees of each case and event: its evidence, its popularity, which one, the others'."""
    count = len(cases.events)
    each = np.stack([cases.strength, cases.evidence, popularity], axis=-1).reshape(-1, 3)
    which = np.tile(np.eye(count), (len(cases), 1))
    return np.hstack([each, which, np.repeat(cases.strength, count, axis=0)])


def _judge(score: Vector, happened: Vector) -> dict[str, Vector]:
    """By case, NDCG of the first three, and whether one of them happened."""
    order = np.argsort(-score, axis=1, kind="stable")[:, :AT]
    hits = np.take_along_axis(happened, order, axis=1)
    discount = 1 / np.log2(np.arange(2, AT + 2))
    best = np.sort(happened, axis=1)[:, ::-1][:, :AT] @ discount
    return {f"NDCG@{AT}": hits @ discount / best, f"hit@{AT}": hits.max(axis=1)}
