"""What people who look at a few alerts a day would find, and what that saves.

A queue is sorted once and weighted often, as in `ml.metrics`: a row of weight 2 counts as two rows. Where the
budget of a day ends within equal scores, each of them is alerted with the same chance, and what is found is
the expected number. So neither the order of rows nor luck matters.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ml.intervals import Vector


@dataclass(frozen=True)
class Context:
    """What else is known of the rows; each metric needs some of it.

    Attributes:
        day: number of each row's day, ascending in time. Where each client has a budget of its own, number
            the pairs of client and day.
        card: number of each row's card, account or customer, from 0; a card belongs to one customer.
        amount: money that is lost when the row is an event and nobody is alerted.
        daily_budget: alerts a day.
        cost: of one alert, in the currency of `amount`.
        k: of precision at k, over all rows.
    """

    day: NDArray[np.int64] | None = None
    card: NDArray[np.int64] | None = None
    amount: Vector | None = None
    daily_budget: int | None = None
    cost: float | None = None
    k: int | None = None


_DAILY = ("precision_at_daily_budget", "recall_at_daily_budget")
_CARDS = ("card_precision_at_k", "card_precision_greatest")
_MONEY = ("savings", "savings_share", "savings_of_greatest")


def available(context: Context) -> list[str]:
    """The metrics that a context allows."""
    daily = context.day is not None and context.daily_budget is not None
    return [
        *(_DAILY if daily else ()),
        *(_CARDS if daily and context.card is not None else ()),
        *(_MONEY if context.amount is not None and context.cost is not None else ()),
    ]


def queues(
    label: Vector,
    score: Vector,
    context: Context,
    fired: NDArray[np.bool_] | None,
    probability: bool,
    names: Collection[str],
) -> list[Callable[[Vector], dict[str, float]]]:
    """What to call with the row weights, for those of the metrics `names` that the context allows.

    Args:
        label: 1 = the event.
        score: higher = more likely.
        context: of the rows.
        fired: rows that a rule fires on; None: the scorer is no rule.
        probability: the scores are probabilities; without, and without `fired`, no money can be saved.
        names: wanted metrics.
    """
    found: list[Callable[[Vector], dict[str, float]]] = []
    wanted = set(names).intersection(available(context))
    if wanted.intersection(_DAILY):
        found.append(DailyAlerts(label, score, context))
    if wanted.intersection(_CARDS):
        found.append(Cards(label, score, context))
    if wanted.intersection(_MONEY) and (probability or fired is not None):
        found.append(Savings(label, score, context, fired))
    return found


class _Queue:
    """Some of the rows by day, and in a day by priority."""

    def __init__(self, day: NDArray[np.int64], priority: Vector, rows: NDArray[np.intp]) -> None:
        self.order = rows[np.lexsort((-priority[rows], day[rows]))]
        day, priority = day[self.order], priority[self.order]
        new_day = np.append(True, day[1:] != day[:-1])
        new_step = new_day | np.append(True, priority[1:] != priority[:-1])
        self.starts = np.flatnonzero(new_step)
        """First row of each run of equal priority on one day."""
        steps_of_days = np.append(np.flatnonzero(new_day[self.starts]), len(self.starts))
        self.first_step = np.repeat(steps_of_days[:-1], np.diff(steps_of_days))

    def alerted(self, weight: Vector, budget: float, *values: Vector) -> list[float]:
        """Number of alerts within the budget of each day, and the sum of each of `values` over them."""
        if not len(self.order):
            return [0.0] * (1 + len(values))
        drawn = weight[self.order]
        size = np.add.reduceat(drawn, self.starts)
        before = np.append(0.0, np.cumsum(size))
        room = np.clip(budget - (before[:-1] - before[self.first_step]), 0, size)
        share = np.divide(room, size, out=np.zeros_like(size), where=size > 0)
        sums = [np.add.reduceat(drawn * value[self.order], self.starts) for value in values]
        return [float(room.sum()), *(float(np.dot(share, part)) for part in sums)]


class DailyAlerts:
    """Precision and recall of the `daily_budget` best-scored rows of each day, over all days together."""

    def __init__(self, label: Vector, score: Vector, context: Context) -> None:
        day, self.budget = _days(context)
        self.label = label
        self.queue = _Queue(day, score, np.arange(len(label)))

    def __call__(self, weight: Vector) -> dict[str, float]:
        """The metrics under these row weights."""
        raised, hits = self.queue.alerted(weight, self.budget, self.label)
        return {
            "precision_at_daily_budget": _ratio(hits, raised),
            "recall_at_daily_budget": _ratio(hits, float(np.dot(weight, self.label))),
        }


class Cards:
    """Card precision at k, k being the daily budget: what share of each day's k most suspicious cards is
    compromised, as a mean over days.

    As in Le Borgne et al., "Reproducible machine learning for credit card fraud detection: practical
    handbook", chapter 4: a card has the highest score of its rows of the day; it is compromised when one of
    them is an event; a card that was alerted and is compromised is taken out of the days after; days with
    fewer than k cards are divided by k too.

    Beside it stands what nobody can exceed: the most compromised cards that k alerts a day can find, each of
    them once (the greatest flow from cards to the days on which they are compromised), by the same number.
    """

    def __init__(self, label: Vector, score: Vector, context: Context) -> None:
        day, self.k = _days(context)
        if context.card is None:
            raise ValueError("no cards are given")
        # One entry for each card and day, by day and then by score.
        order = np.lexsort((-score, context.card, day))
        new = _changes(day[order]) | _changes(context.card[order])
        first = np.flatnonzero(new)
        hit = np.maximum.reduceat(label[order], first) > 0
        best = order[first]
        again = np.lexsort((-score[best], day[best]))
        self.row, self.hit = best[again], hit[again]
        self.card = context.card[self.row]
        days, top = day[self.row], score[self.row]
        bounds = np.append(np.flatnonzero(_changes(days)), len(days))
        self.days = list(pairwise(bounds))
        ends = _changes(days) | _changes(top)
        self.ends = [
            np.append(np.flatnonzero(ends[start + 1 : stop]), stop - start - 1) for start, stop in self.days
        ]
        self.number_of_day = np.repeat(np.arange(len(self.days)), np.diff(bounds))
        self.cards = int(context.card.max()) + 1

    def __call__(self, weight: Vector) -> dict[str, float]:
        """The metrics under these row weights, which are whole numbers and equal on all rows of a card."""
        left = np.zeros(self.cards)
        left[self.card] = weight[self.row]
        greatest = self._greatest(left)
        found = 0.0
        for (start, stop), ends in zip(self.days, self.ends, strict=True):
            card, hit = self.card[start:stop], self.hit[start:stop]
            open_cards = left[card]
            total = np.cumsum(open_cards)[ends]
            size = np.diff(total, prepend=0.0)
            share = np.divide(
                np.clip(self.k - (total - size), 0, size), size, out=np.zeros_like(size), where=size > 0
            )
            alerted = open_cards * np.repeat(share, np.diff(ends, prepend=-1))
            found += float(alerted[hit].sum())
            left[card[hit]] -= alerted[hit]
        alerts = self.k * len(self.days)
        return {"card_precision_at_k": found / alerts, "card_precision_greatest": greatest / alerts}

    def _greatest(self, weight: Vector) -> float:
        """Most compromised cards, by weight, that `k` alerts a day can find."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import maximum_flow

        day, card = self.number_of_day[self.hit], self.card[self.hit]
        if not len(card):
            return 0.0
        if np.bincount(day, weight[card]).max() <= self.k:  # no day is too full: each of them is found
            return float(weight[np.unique(card)].sum())
        cards, card = np.unique(card, return_inverse=True)
        source, sink, first_day = 0, 1, 2 + len(cards)
        tail = np.concatenate([np.full(len(cards), source), 2 + card, first_day + np.arange(len(self.days))])
        head = np.concatenate([2 + np.arange(len(cards)), first_day + day, np.full(len(self.days), sink)])
        capacity = np.concatenate([weight[cards], weight[cards][card], np.full(len(self.days), self.k)])
        nodes = first_day + len(self.days)
        graph = coo_array((np.rint(capacity).astype(np.int32), (tail, head)), shape=(nodes, nodes)).tocsr()
        return float(maximum_flow(graph, source, sink).flow_value)


class Savings:
    """Money that alerts save: alert when probability × amount exceeds the cost of an alert, then the greatest
    expected loss first, within the budget of each day.

    An alert on an event saves its amount, and each alert costs. `savings` is the net sum; doing nothing
    saves 0. `savings_share` is that sum as a share of all that is lost when nothing is done (Bahnsen et al.
    2014, "Example-dependent cost-sensitive logistic regression for credit scoring"), `savings_of_greatest` as
    a share of what perfect knowledge saves within the same budget.
    """

    def __init__(
        self, label: Vector, score: Vector, context: Context, fired: NDArray[np.bool_] | None = None
    ) -> None:
        if context.amount is None or context.cost is None:
            raise ValueError("savings need amounts and the cost of an alert")
        budget = context.daily_budget
        self.budget = float("inf") if budget is None or context.day is None else float(budget)
        day = np.zeros(len(label), dtype=np.int64) if context.day is None else context.day
        loss = score if fired is not None else score * context.amount
        alerted = fired if fired is not None else loss > context.cost
        self.lost = label * context.amount
        self.cost = context.cost
        self.queue = _Queue(day, loss, np.flatnonzero(alerted))
        self.perfect = _Queue(day, self.lost, np.flatnonzero(self.lost > self.cost))

    def __call__(self, weight: Vector) -> dict[str, float]:
        """The metrics under these row weights."""
        raised, saved = self.queue.alerted(weight, self.budget, self.lost)
        most_raised, most_saved = self.perfect.alerted(weight, self.budget, self.lost)
        net = saved - self.cost * raised
        return {
            "savings": net,
            "savings_share": _ratio(net, float(np.dot(weight, self.lost))),
            "savings_of_greatest": _ratio(net, most_saved - self.cost * most_raised),
        }


def _days(context: Context) -> tuple[NDArray[np.int64], int]:
    if context.day is None or context.daily_budget is None:
        raise ValueError("alerts of a day need days and the budget of a day")
    return context.day, context.daily_budget


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.append(True, values[1:] != values[:-1])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
