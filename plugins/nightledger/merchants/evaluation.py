"""How good the answers are, judged by labelled descriptors that were never used to write rules.

The sample is stratified: each labelled descriptor stands for as many as its stratum holds for each one drawn.
"""

import csv
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from nightledger.merchants.brands import fold

Unit = TypeVar("Unit")
DRAWS = 1_000
"""Bootstrap draws for an interval."""
LEAST_LETTERS = 5
"""So many letters must agree before a name that a field has cut short counts as the same."""


@dataclass(frozen=True)
class Label:
    """What a person read in one descriptor.

    Attributes:
        descriptor: as the source wrote it.
        transactions: rows that carry it.
        weight: descriptors that it stands for.
        merchants: names that are right, the first of them the merchant's identity.
        is_chain: a known brand, whose name must be met exactly.
        subcategories: those that are right; empty where nobody could tell.
    """

    descriptor: str
    transactions: int
    weight: float
    merchants: tuple[str, ...]
    is_chain: bool
    subcategories: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """What the rules made of a descriptor."""

    merchant: str
    subcategory: str | None
    tier: str


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval and what it was counted on."""

    value: float
    lo: float
    hi: float
    n: int

    def __str__(self) -> str:
        """As a table shows it; a dash where nothing was counted."""
        return f"{self.value:.3f} ({self.lo:.3f} to {self.hi:.3f})" if self.n else "–"


def read_labels(path: Path) -> list[Label]:
    """The labelled descriptors that still judge; one that a rule was written for does not."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["is_judge"] == "true"]
    drawn: dict[str, int] = defaultdict(int)
    for row in rows:
        drawn[row["stratum"]] += 1
    return [
        Label(
            descriptor=row["descriptor"],
            transactions=int(row["transactions"]),
            weight=int(row["stratum_strings"]) / drawn[row["stratum"]],
            merchants=tuple(row["merchant"].split("/")),
            is_chain=row["is_chain"] == "true",
            subcategories=frozenset(filter(None, row["subcategory"].split("/"))),
        )
        for row in rows
    ]


def is_right(label: Label, answer: Answer) -> bool:
    """Whether the answer names the merchant that was read.

    Blanks, punctuation and a leading article do not count. A chain must be met exactly. Of a merchant that is
    no chain one name may be the other's beginning: fields cut names short, and a town may stand behind them.
    """
    given = _letters(answer.merchant)
    for merchant in label.merchants:
        expected = _letters(merchant)
        if given == expected:
            return True
        shorter = min(len(given), len(expected))
        if not label.is_chain and shorter >= LEAST_LETTERS and given[:shorter] == expected[:shorter]:
            return True
    return False


def _letters(name: str) -> str:
    letters = fold(name).removeprefix("the ").replace(" ", "")
    return letters.removeprefix("the") if len(letters) > len("the") + LEAST_LETTERS else letters


def wilson(right: int, n: int) -> Share:
    """Share of right answers with Wilson's interval, for samples that need no weights."""
    if n == 0:
        return Share(math.nan, math.nan, math.nan, 0)
    z = 1.96
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), n)


def weighted(
    labels: Sequence[Label], holds: Callable[[Label], bool], weight: Callable[[Label], float]
) -> Share:
    """Weighted share of labels for which something holds, its interval by bootstrap over descriptors."""

    def estimate(drawn: Iterable[Label]) -> float:
        total = right = 0.0
        for label in drawn:
            total += weight(label)
            right += weight(label) if holds(label) else 0.0
        return right / total if total else math.nan

    return _with_interval(list(labels), estimate)


def pairwise(labels: Sequence[Label], answers: Mapping[str, Answer]) -> tuple[Share, Share]:
    """Precision and recall over pairs of descriptors: put together, and belonging together.

    An unknown merchant is put together with nobody. The intervals draw whole merchants: pairs are not
    independent.
    """
    groups: dict[str, list[Answer]] = defaultdict(list)
    for label in labels:
        groups[_letters(label.merchants[0])].append(answers[label.descriptor])
    given = [Counter(a.merchant for a in groups[name] if a.tier != "unknown") for name in sorted(groups)]
    belonging = [math.comb(len(groups[name]), 2) for name in sorted(groups)]
    right = [sum(math.comb(n, 2) for n in counts.values()) for counts in given]
    lumped: dict[tuple[int, int], int] = {}
    for one, other in combinations(range(len(given)), 2):
        pairs = sum(n * given[other][merchant] for merchant, n in given[one].items())
        if pairs:
            lumped[one, other] = pairs

    def precision(drawn: Iterable[int]) -> float:
        times = Counter(drawn)
        both = sum(n * right[unit] for unit, n in times.items())
        wrong = sum(times[one] * times[other] * pairs for (one, other), pairs in lumped.items())
        return both / (both + wrong) if both + wrong else math.nan

    def recall(drawn: Iterable[int]) -> float:
        times = Counter(drawn)
        expected = sum(n * belonging[unit] for unit, n in times.items())
        return sum(n * right[unit] for unit, n in times.items()) / expected if expected else math.nan

    units = list(range(len(given)))
    return _with_interval(units, precision), _with_interval(units, recall)


def _with_interval(units: list[Unit], estimate: Callable[[Iterable[Unit]], float]) -> Share:
    if not units:
        return Share(math.nan, math.nan, math.nan, 0)
    rng = random.Random(20261121)  # noqa: S311 # repeatable intervals, no secret
    values = sorted(
        value
        for value in (estimate(rng.choices(units, k=len(units))) for _ in range(DRAWS))
        if not math.isnan(value)
    )
    lo, hi = values[int(0.025 * len(values))], values[min(int(0.975 * len(values)), len(values) - 1)]
    return Share(estimate(units), lo, hi, len(units))
