"""Names of segments: made of words for what sets a segment apart, and kept from version to version.

Campaigns, reports and people hold on to a name. So a segment of a new version that has mostly the customers
of one of the champion's keeps its id and name, whatever its words would be today. Which is which is the
pairing that shares most customers (Kuhn 1955; `scipy.optimize.linear_sum_assignment`): K-Means numbers its
clusters anew each time, and without it most customers would change their label while staying where they are.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ml.segments.config import Names
from ml.segments.model import KEPT, NEW, Segment, Segmentation
from ml.segments.scaling import Matrix

Places = NDArray[np.int64]


def words(rules: Names, dimensions: Sequence[str], deviations: NDArray[np.float64]) -> list[str]:
    """What is said of a segment, the strongest first.

    Args:
        rules: the words.
        dimensions: of the scaled space.
        deviations: of the segment's mean from that of all rows, in standard deviations; positive is more.
    """
    told = []
    # Rounded, so that a tie stays one on other processors; then the YAML's order decides.
    for at in np.argsort(-np.abs(np.round(deviations, 6)), kind="stable"):
        size = abs(deviations[at])
        word = rules.words.get(dimensions[at])
        text = word and (word.high if deviations[at] > 0 else word.low)
        if text and size >= rules.least_deviation:
            told.append(rules.strong.format(word=text) if size >= rules.strong_deviation else text)
    return told


def name_new(rules: Names, told: Sequence[Sequence[str]], taken: Sequence[str]) -> list[str]:
    """Names for segments with these words: short, unique, and none that is taken.

    Each begins with `words_at_first` words. Where names are the same, or taken, more words are added; where
    the words are used up, a number.
    """
    lengths = [rules.words_at_first] * len(told)
    while True:
        names = [_joined(rules, own[:length]) for own, length in zip(told, lengths, strict=True)]
        longer = [
            at
            for at, name in enumerate(names)
            if (names.count(name) > 1 or name in taken) and lengths[at] < len(told[at])
        ]
        if not longer:
            break
        for at in longer:
            lengths[at] += 1
    used = set(taken)
    for at, name in enumerate(names):
        number = 2
        while names[at] in used:
            names[at] = f"{name} {number}"
            number += 1
        used.add(names[at])
    return names


def pair(new: Places, old: Places, news: int, olds: int) -> dict[int, tuple[int, float]]:
    """Which segment is which, by the customers that they share.

    Args:
        new: place of each row in the new version.
        old: place of the same rows in the old one.
        news: segments of the new version.
        olds: of the old one.

    Returns:
        By place in the new version: that in the old one, and customers in both of all in either. At most one
        each; the pairing with the most shared customers of all.
    """
    from scipy.optimize import linear_sum_assignment

    shared = np.zeros((news, olds), dtype=np.int64)
    np.add.at(shared, (new, old), 1)
    either = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    rows, columns = linear_sum_assignment(-shared)
    return {
        int(row): (int(column), float(shared[row, column] / max(1, either[row, column])))
        for row, column in zip(rows, columns, strict=True)
    }


def carry_over(
    rules: Names,
    told: Sequence[Sequence[str]],
    pairs: dict[int, tuple[int, float]],
    before: Segmentation | None,
    as_of: date,
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Segments with ids, names and states, and all that are retired by now.

    Args:
        rules: how much must be shared.
        told: words of each new segment, in the order of its centres.
        pairs: as `pair` gives them.
        before: the champion; None: names begin here.
        as_of: date of the new version.
    """
    known = before.segments if before else ()
    gone = before.retired if before else ()
    kept = {
        at: Segment(known[old].id, known[old].name, KEPT, known[old].since, round(overlap, 6))
        for at, (old, overlap) in pairs.items()
        if overlap >= rules.least_overlap
    }
    ids = {segment.id for segment in kept.values()}
    retired = (*gone, *(segment for segment in known if segment.id not in ids))
    fresh = [at for at in range(len(told)) if at not in kept]
    names = name_new(rules, [told[at] for at in fresh], [segment.name for segment in (*known, *gone)])
    first = 1 + max((segment.id for segment in (*known, *gone)), default=0)
    new = {
        at: Segment(first + number, name, NEW, as_of)
        for number, (at, name) in enumerate(zip(fresh, names, strict=True))
    }
    return tuple((kept | new)[at] for at in range(len(told))), retired


def deviations(scaled: Matrix, centres: Matrix) -> Matrix:
    """Of each centre from the mean of the rows, in their standard deviations; segments × dimensions."""
    spread = scaled.std(axis=0)
    found = np.divide(centres - scaled.mean(axis=0), spread, out=np.zeros_like(centres), where=spread > 0)
    return np.asarray(found)


def _joined(rules: Names, told: Sequence[str]) -> str:
    text = ", ".join(told) or rules.nothing
    return text[0].upper() + text[1:]
