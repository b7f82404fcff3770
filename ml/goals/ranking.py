"""Lists of what to talk about next, compared by what really happened.

Who asks looks at the first few events. **Popularity**: how often each event happens in the customer's
segment. **Rules**: strength of the evidence; where they are silent, popularity. **Ranker**: learnt
(LambdaMART, `rank:ndcg` of XGBoost), sees both. Metrics are NDCG and hits of the first events (Järvelin and
Kekäläinen 2002).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.families import TooLittle
from ml.goals.cases import NO_SEGMENT, Cases
from ml.goals.config import Goals
from ml.intervals import Estimate, Vector, bootstrap, estimate

POPULARITY, RULES, RANKER, CHAMPION = "popularity", "rules", "ranker", "champion"


@dataclass(frozen=True)
class Ranker:
    """What was learnt from cases with an event: popularity by segment, and trees that see it."""

    events: tuple[str, ...]
    everywhere: tuple[float, ...]
    """How often each event happened, whatever the segment; also of segments that were not seen."""
    popular: Mapping[str, tuple[float, ...]]
    """By segment."""
    booster: bytes

    def popularity(self, cases: Cases) -> Vector:
        """How often each event happens in a case's segment, cases × events."""
        found = [self.popular.get(segment, self.everywhere) for segment in cases.segment]
        return np.asarray(found, dtype=np.float64).reshape(len(cases), len(self.events))

    def scores(self, cases: Cases) -> Vector:
        """What the trees say of a case's events, cases × events; the greatest stands first."""
        if not len(cases):
            return np.zeros((0, len(self.events)))
        trees = xgb.Booster(model_file=bytearray(self.booster))
        trees.set_param({"nthread": 1})
        predicted = trees.predict(xgb.DMatrix(_described(cases, self.popularity(cases)), nthread=1))
        return np.asarray(predicted, dtype=np.float64).reshape(len(cases), len(self.events))


@dataclass(frozen=True)
class Comparison:
    """What the lists reach.

    Attributes:
        ranker: what was learnt.
        lists: scores of each list for the judged cases, cases × events.
        found: by list and metric (`Goals.metrics`).
        gained: by pair of lists and metric, how much the first is better than the second, on the same cases.
        learnt: number of cases with an event.
        judged: the cases with an event that the lists are judged by.
        by_segment: share of the judged cases whose segment was known; popularity goes by age in the others.
        several: share of the judged cases with evidence in which it speaks for two events or more: only there
            is there an order to be changed.
    """

    ranker: Ranker
    lists: Mapping[str, Vector]
    found: Mapping[tuple[str, str], Estimate]
    gained: Mapping[tuple[str, str, str], Estimate]
    learnt: int
    judged: Cases
    by_segment: float
    several: float

    def wins(self, rules: Goals, ranker: str = RANKER) -> bool:
        """Whether a ranker is better than the lists that it must beat, in both metrics, beyond doubt."""
        return all(
            self.gained[ranker, name, metric].lo > margin
            for name, margin in rules.promotion.over_lists.items()
            for metric in rules.metrics
        )


def judged_from(rules: Goals, days: list[date]) -> date:
    """First of the dates, in order, that the lists are judged by."""
    return days[-max(1, round(len(days) * rules.test_share))]


def learnt_until(rules: Goals, first: date) -> date:
    """First date too late to be learnt from: no event counts for both sides, and all was told by then."""
    return first - timedelta(days=max(rules.before_days, rules.delay_days) + rules.after_days)


def compare(rules: Goals, earlier: Cases, later: Cases, champion: Ranker | None = None) -> Comparison:
    """Learn from earlier cases, judge by later ones.

    Args:
        rules: how the ranker is fitted and judged.
        earlier: all cases to learn from, with and without an event, as their time knew them.
        later: all cases to judge by.
        champion: another ranker of the same events, to be judged beside it.

    Raises:
        TooLittle: too few customers to whom something happened, on either side.
    """
    learnt, judged = earlier.with_event(), later.with_event()
    if min(len(learnt), len(judged)) < rules.least_cases:
        raise TooLittle(
            f"Something happened in {len(learnt):,} cases to learn from and {len(judged):,} to judge by; "
            f"{rules.least_cases:,} of each are needed: take a longer history or more customers."
        )
    ranker = fit(rules, earlier)
    popularity = ranker.popularity(judged)
    lists = {
        POPULARITY: popularity,
        # Two events with equal evidence, none above all, stand in the order of their popularity.
        RULES: judged.strength + popularity / 1000,
        RANKER: ranker.scores(judged),
        **({CHAMPION: champion.scores(judged)} if champion else {}),
    }
    scores = {name: judge(rules, order, judged.happened) for name, order in lists.items()}
    told = rules.evaluation
    draws = list(bootstrap(judged.customer, told.bootstrap_draws, rules.seed))

    def estimated(values: Vector, least: float) -> Estimate:
        drawn = np.array([np.average(values, weights=weights) for weights in draws])
        return estimate(float(values.mean()), drawn, told.interval, least, 1.0)

    pairs = [(RULES, POPULARITY), (RANKER, POPULARITY), (RANKER, RULES)]
    if champion:
        pairs += [(RANKER, CHAMPION), (CHAMPION, POPULARITY), (CHAMPION, RULES)]
    shown = (judged.strength > 0).sum(axis=1)
    return Comparison(
        ranker=ranker,
        lists=lists,
        found={
            (name, metric): estimated(values, 0.0)
            for name, of in scores.items()
            for metric, values in of.items()
        },
        gained={
            (better, than, metric): estimated(scores[better][metric] - scores[than][metric], -1.0)
            for better, than in pairs
            for metric in rules.metrics
        },
        learnt=len(learnt),
        judged=judged,
        by_segment=float(np.mean([not NO_SEGMENT.match(name) for name in judged.segment])),
        several=float((shown > 1).sum() / max(1, int((shown > 0).sum()))),
    )


def fit(rules: Goals, earlier: Cases) -> Ranker:
    """Learn from all earlier cases how popular each event is, and from those with an event their order."""
    everywhere = earlier.happened.mean(axis=0)
    popular = {}
    for segment in sorted(set(earlier.segment)):
        rows = earlier.happened[earlier.segment == segment]
        popular[segment] = tuple((rows.sum(axis=0) + rules.prior * everywhere) / (len(rows) + rules.prior))
    ranker = Ranker(earlier.events, tuple(everywhere), popular, b"")
    learnt = earlier.with_event()
    matrix = xgb.DMatrix(
        _described(learnt, ranker.popularity(learnt)), label=learnt.happened.ravel(), nthread=1
    )
    matrix.set_group(np.full(len(learnt), len(earlier.events)))
    params = {**rules.ranker.params, "seed": rules.seed, "nthread": 1}
    trees = xgb.train(params, matrix, rules.ranker.rounds)
    return Ranker(earlier.events, tuple(everywhere), popular, bytes(trees.save_raw("ubj")))


def judge(rules: Goals, score: Vector, happened: Vector) -> dict[str, Vector]:
    """By case, NDCG of the first events, and whether one of them happened."""
    ndcg, hit = rules.metrics
    order = places(score)[:, : rules.list_length]
    hits = np.take_along_axis(happened, order, axis=1)
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.sort(happened, axis=1)[:, ::-1][:, : rules.list_length] @ discount
    return {ndcg: hits @ discount / best, hit: hits.max(axis=1)}


def places(score: Vector) -> NDArray[np.int64]:
    """Numbers of the events by case, the one with the greatest score first; equal ones as they come."""
    return np.asarray(np.argsort(-score, axis=1, kind="stable"), dtype=np.int64)


def _described(cases: Cases, popularity: Vector) -> Vector:
    """What the ranker sees of each case and event: its evidence, its popularity, which one, the others'."""
    count = len(cases.events)
    each = np.stack([cases.strength, cases.evidence, popularity], axis=-1).reshape(-1, 3)
    which = np.tile(np.eye(count), (len(cases), 1))
    return np.hstack([each, which, np.repeat(cases.strength, count, axis=0)])
