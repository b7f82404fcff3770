"""What people who look at a few alerts a day would find, and what that saves.

A queue is sorted once and weighted often, as in `metrics`: a row of weight 2 counts as two rows. Where the
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
        daily_budget: alerts a day; the same on all, or by number of the day.
        cost: of an alert on the row, in the currency of `amount`; the same for all, or of each row.
        k: of precision at k, over all rows.
    """

    day: NDArray[np.int64] | None = None
    card: NDArray[np.int64] | None = None
    amount: Vector | None = None
    daily_budget: int | NDArray[np.int64] | None = None
    cost: float | Vector | None = None
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
    """Some of the rows by day, in a day by priority, and in steps of equal priority."""

    def __init__(
        self, day: NDArray[np.int64], priority: Vector, rows: NDArray[np.intp], value: Vector
    ) -> None:
        self.order = rows[np.lexsort((-priority[rows], day[rows]))]
        new_day = _changes(day[self.order])
        self.days = np.append(np.flatnonzero(new_day), len(self.order))
        """Rows at which days begin, and the end."""
        self.day = day[self.order[self.days[:-1]]]
        self.steps = np.append(np.flatnonzero(new_day | _changes(priority[self.order])), len(self.order))
        self.worth = np.flatnonzero(value[self.order])
        self.worth_row = self.order[self.worth]
        self.value = value[self.worth_row]

    def alerted(self, weight: Vector, budgets: Vector) -> tuple[float, float]:
        """Number of alerts within the budget of each day, and the sum of the value over them.

        Args:
            weight: of all rows.
            budgets: by number of the day.
        """
        if not len(self.order):
            return 0.0, 0.0
        total = np.append(0.0, np.cumsum(weight[self.order]))
        value = np.append(0.0, np.cumsum(weight[self.worth_row] * self.value))
        begin, end = self.days[:-1], self.days[1:]
        # The step of each day in which its budget ends.
        budget = budgets[self.day]
        last = np.clip(np.searchsorted(total, total[begin] + budget) - 1, begin, end - 1)
        step = np.searchsorted(self.steps, last, side="right") - 1
        first, after = self.steps[step], self.steps[step + 1]
        size = total[after] - total[first]
        room = np.clip(total[begin] + budget - total[first], 0, size)
        share = np.divide(room, size, out=np.zeros_like(size), where=size > 0)
        at_begin, at_first, at_after = (
            value[np.searchsorted(self.worth, at)] for at in (begin, first, after)
        )
        return (
            float(np.sum(total[first] - total[begin] + room)),
            float(np.sum(at_first - at_begin + share * (at_after - at_first))),
        )


class DailyAlerts:
    """Precision and recall of the `daily_budget` best-scored rows of each day, over all days together."""

    def __init__(self, label: Vector, score: Vector, context: Context) -> None:
        day, self.budgets = _days(context)
        self.label = label
        self.queue = _Queue(day, score, np.arange(len(label)), label)

    def __call__(self, weight: Vector) -> dict[str, float]:
        """The metrics under these row weights."""
        raised, hits = self.queue.alerted(weight, self.budgets)
        return {
            "precision_at_daily_budget": _ratio(hits, raised),
            "recall_at_daily_budget": _ratio(hits, float(np.dot(weight, self.label))),
        }


class Cards:
    """Card precision at k, k being the daily budget: what share of the k most suspicious cards of each day is
    compromised, over all days together. Where each day has the same k, that is the mean over days.

    As in Le Borgne et al., "Reproducible machine learning for credit card fraud detection: practical
    handbook", chapter 4: a card has the highest score of its rows of the day; it is compromised when one of
    them is an event; a card that was alerted and is compromised is taken out of the days after; days with
    fewer than k cards are divided by k too.

    Beside it stands what nobody can exceed: the most compromised cards that k alerts a day can find, each of
    them once (the greatest flow from cards to the days on which they are compromised), by the same number.
    """

    def __init__(self, label: Vector, score: Vector, context: Context) -> None:
        day, budgets = _days(context)
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
        new_day = _changes(day[self.row])
        bounds = np.append(np.flatnonzero(new_day), len(self.row))
        self.k = budgets[day[self.row[bounds[:-1]]]]
        self.number_of_day = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        new_step = new_day | _changes(score[self.row])
        self.days = [
            (
                self.card[start:stop],
                np.flatnonzero(self.hit[start:stop]),
                np.append(np.flatnonzero(new_step[start:stop]), stop - start),
            )
            for start, stop in pairwise(bounds)
        ]
        """Of each day: the cards, the positions of the compromised ones, where steps begin and the end."""
        self.cards = int(context.card.max()) + 1

    def __call__(self, weight: Vector) -> dict[str, float]:
        """The metrics under these row weights, which are whole numbers and equal on all rows of a card."""
        left = np.zeros(self.cards)
        left[self.card] = weight[self.row]
        greatest = self._greatest(left)
        found = 0.0
        for k, (card, compromised, steps) in zip(self.k, self.days, strict=True):
            if not k:
                continue
            open_cards = left[card]
            total = np.append(0.0, np.cumsum(open_cards))
            last = min(int(np.searchsorted(total, k)), len(card)) - 1
            step = int(np.searchsorted(steps, last, side="right")) - 1
            first, after = steps[step], steps[step + 1]
            size = total[after] - total[first]
            share = min((k - total[first]) / size, 1.0) if size > 0 else 0.0
            alerted = np.where(compromised < first, 1.0, np.where(compromised < after, share, 0.0))
            alerted *= open_cards[compromised]
            found += float(alerted.sum())
            left[card[compromised]] -= alerted
        alerts = float(self.k.sum())
        return {
            "card_precision_at_k": _ratio(found, alerts),
            "card_precision_greatest": _ratio(greatest, alerts),
        }

    def _greatest(self, weight: Vector) -> float:
        """Most compromised cards, by weight, that the alerts of the days can find."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import maximum_flow

        day, card = self.number_of_day[self.hit], self.card[self.hit]
        if not len(card):
            return 0.0
        # No day is too full: each of them is found.
        if np.all(np.bincount(day, weight[card], len(self.days)) <= self.k):
            return float(weight[np.unique(card)].sum())
        cards, card = np.unique(card, return_inverse=True)
        source, sink, first_day = 0, 1, 2 + len(cards)
        tail = np.concatenate([np.full(len(cards), source), 2 + card, first_day + np.arange(len(self.days))])
        head = np.concatenate([2 + np.arange(len(cards)), first_day + day, np.full(len(self.days), sink)])
        capacity = np.concatenate([weight[cards], weight[cards][card], self.k])
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
        day, self.budgets = np.zeros(len(label), dtype=np.int64), np.array([np.inf])
        if context.day is not None and context.daily_budget is not None:
            day, self.budgets = _days(context)
        loss = score if fired is not None else score * context.amount
        alerted = fired if fired is not None else loss > context.cost
        self.lost = label * context.amount
        saved = self.lost - context.cost
        self.queue = _Queue(day, loss, np.flatnonzero(alerted), saved)
        self.perfect = _Queue(day, saved, np.flatnonzero(saved > 0), saved)

    def __call__(self, weight: Vector) -> dict[str, float]:
        """The metrics under these row weights."""
        _, saved = self.queue.alerted(weight, self.budgets)
        _, most = self.perfect.alerted(weight, self.budgets)
        return {
            "savings": saved,
            "savings_share": _ratio(saved, float(np.dot(weight, self.lost))),
            "savings_of_greatest": _ratio(saved, most),
        }


def _days(context: Context) -> tuple[NDArray[np.int64], Vector]:
    """Number of each row's day, and the budget by number of the day."""
    if context.day is None or context.daily_budget is None:
        raise ValueError("alerts of a day need days and the budget of a day")
    budgets = np.broadcast_to(
        np.asarray(context.daily_budget, dtype=np.float64),
        np.shape(context.daily_budget) or (int(context.day.max(initial=0)) + 1,),
    )
    return context.day, budgets


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Rows that differ from the one before; the first does."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
