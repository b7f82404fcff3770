"""How well days that were held out are predicted, beside two plain ways of doing so and the champion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from ml.intervals import Estimate, bootstrap, estimate
from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.customers import Customers
from ml.lifetime_value.frequency import Vector
from ml.lifetime_value.model import ValueModel

LAST_YEAR, CLIENT_MEAN, CHAMPION = "last_year", "client_mean", "champion"
BASELINES = {
    LAST_YEAR: "What the customer brought within the past year, a day, carried on.",
    CLIENT_MEAN: "What all customers together brought within the past year, a day and customer, carried on.",
}
BY_VISITS = {"none": 0, "1 to 4": 1, "5 to 12": 5, "13 to 25": 13, "26 and more": 26}
"""Groups of customers by their visits after the first, with the fewest of each."""


@dataclass(frozen=True)
class Held:
    """Who was a customer on the day before the held-out days, what they then brought, what was expected."""

    first: date
    last: date
    who: Customers
    brought: Vector
    """In the held-out days, base currency."""
    came: NDArray[np.bool_]
    alive: Vector
    """Probability by the model."""
    expected: Mapping[str, Vector]
    """By scorer, the model being ""; base currency."""

    def table(self, client: str) -> pa.Table:
        """A row a customer."""
        n = len(self.brought)
        return pa.table(
            {
                "client_id": pa.repeat(client, n),
                "customer_id": self.who.ids,
                "first_day": pa.repeat(self.first, n),
                "last_day": pa.repeat(self.last, n),
                "visits_before": self.who.visits,
                "probability_alive": self.alive,
                "came": self.came,
                "brought": self.brought,
                **{name or "expected": values for name, values in self.expected.items()},
            }
        )


@dataclass(frozen=True)
class Judged:
    """What the held-out days say."""

    rows: tuple[dict[str, Any], ...]
    """As the table `ml.metrics` has them, without model and version."""
    errors: Mapping[str, Estimate]
    """WAPE by scorer."""
    gains: Mapping[str, Estimate]
    """By rival: its WAPE less the model's; positive means that the model is better."""


def hold(
    model: ValueModel,
    champion: tuple[ValueModel, Customers] | None,
    who: Customers,
    first: date,
    last: date,
    brought: Vector,
    came: NDArray[np.bool_],
) -> Held:
    """Put together what was expected and what came, of the customers who were not closed.

    Args:
        model: fitted on what was known before the first day.
        champion: the version to compare with, and the same customers by its own visits.
        who: as known before the first day.
        first: of the held-out days.
        last: of them.
        brought: by each of `who` in these days, base currency.
        came: whether each of them did.
    """
    days = (last - first).days + 1
    open_ones = ~who.is_closed
    within = np.minimum(who.days, 365)
    expected = {
        "": model.visits(who, days) * model.each(who),
        LAST_YEAR: who.last_year / within * days,
        CLIENT_MEAN: np.full(len(who), who.last_year[open_ones].sum() / within[open_ones].sum() * days),
    }
    if champion is not None:
        its, seen = champion
        expected[CHAMPION] = its.visits(seen, days) * its.each(seen)
    alive = model.frequency.alive(*who.shape)
    return Held(
        first=first,
        last=last,
        who=who.where(open_ones),
        brought=brought[open_ones],
        came=came[open_ones],
        alive=alive[open_ones],
        expected={name: values[open_ones] for name, values in expected.items()},
    )


def judge(described: LifetimeValue, held: Held) -> Judged:
    """Errors, bias and ranking with intervals over customers; how far expectation and outcome agree by group.

    WAPE is the sum of the absolute errors divided by the sum of what was brought (its absolute amount, where
    more was given back than brought). Bias is the sum of the errors divided by the same. The rank correlation
    is Spearman's.

    Raises:
        ValueError: nobody brought anything.
    """
    rules = described.evaluation
    truth, total = held.brought, np.abs(held.brought)
    if not total.any():
        raise ValueError("nobody brought anything")
    truth_ranks = rankdata(truth)
    ranks = {name: rankdata(values) for name, values in held.expected.items()}

    def measured(weight: Vector) -> dict[tuple[str, str], float]:
        found = {}
        whole = float(weight @ total)
        for name, values in held.expected.items():
            found[name, "wape"] = float(weight @ np.abs(values - truth)) / whole if whole else np.nan
            found[name, "bias"] = float(weight @ (values - truth)) / whole if whole else np.nan
            found[name, "rank_correlation"] = _correlation(ranks[name], truth_ranks, weight)
        found["", "alive_brier"] = float(weight @ (held.alive - held.came) ** 2 / weight.sum())
        found["", "alive_gap"] = float(weight @ (held.alive - held.came) / weight.sum())
        return found

    value = measured(np.ones(len(truth)))
    draws = [
        measured(weight) for weight in bootstrap(np.arange(len(truth)), rules.bootstrap_draws, described.seed)
    ]
    drawn = {key: np.array([draw[key] for draw in draws]) for key in value}
    estimates = {key: estimate(value[key], drawn[key], rules.interval) for key in value}
    gains = {
        name: estimate(
            value[name, "wape"] - value["", "wape"], drawn[name, "wape"] - drawn["", "wape"], rules.interval
        )
        for name in held.expected
        if name
    }
    window = f"{held.first} to {held.last}"
    rows = [
        _row(window, metric, found, len(truth), baseline=name) for (name, metric), found in estimates.items()
    ]
    return Judged(
        rows=(*rows, *_agreement(held, window)),
        errors={name: estimates[name, "wape"] for name in held.expected},
        gains=gains,
    )


def _agreement(held: Held, window: str) -> Iterator[dict[str, Any]]:
    """What was expected and what came, a customer, by tenth of the expectation and by visits before."""
    for name, mask in groups(held):
        if not mask.any():
            continue
        for metric, values in (
            ("expected_a_customer", held.expected[""]),
            ("brought_a_customer", held.brought),
            ("alive_share", held.alive),
            ("came_share", held.came),
        ):
            mean = float(values[mask].mean())
            yield _row(window, metric, Estimate(mean, np.nan, np.nan), int(mask.sum()), dataset=name)


def groups(held: Held) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Tenths of the customers by what is expected of them, the lowest first; and by their visits."""
    order = rankdata(held.expected[""], method="ordinal") - 1
    tenth = order * 10 // len(order)
    for number in range(10):
        yield f"expected: tenth {number + 1:02d}", tenth == number
    edges = list(BY_VISITS.values())
    place = np.searchsorted(edges, held.who.visits, side="right") - 1
    for number, name in enumerate(BY_VISITS):
        yield f"visits before: {name}", place == number


def _correlation(first: Vector, second: Vector, weight: Vector) -> float:
    """Weighted correlation; nan where one of the two does not vary."""
    total = weight.sum()
    first, second = first - weight @ first / total, second - weight @ second / total
    scale = np.sqrt((weight @ first**2) * (weight @ second**2))
    return float(weight @ (first * second) / scale) if scale > 0 else float("nan")


def _row(
    window: str, metric: str, found: Estimate, n: int, *, baseline: str = "", dataset: str = "out_of_time"
) -> dict[str, Any]:
    value, lo, hi = (float(end) if np.isfinite(end) else None for end in (found.value, found.lo, found.hi))
    return {
        "client_id": "",
        "dataset": dataset,
        "window_label": window,
        "metric": metric,
        "baseline": baseline,
        "value": value,
        "lo": lo,
        "hi": hi,
        "n": n,
        "base_rate": None,
    }
