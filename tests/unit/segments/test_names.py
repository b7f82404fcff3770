"""Names of segments: short, different, and kept when the centres are fitted anew."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from ml.promotion import PROMOTED
from ml.segments import naming, steps
from ml.segments.model import KEPT, NEW, Segmentation
from nightledger.settings import Settings
from tests.unit.segments.bank import COLUMNS, DAYS, job, small


def test_names_stay_when_the_centres_are_fitted_anew(settings: Settings, registered: Any) -> None:
    """Customers who stay where they are and are called otherwise after each quarter."""
    then, now = job(settings, small(), DAYS[-2] - timedelta(days=90)), job(settings, small(seed=99))
    trained = steps.train(then, "bank", None)
    before = Segmentation.from_files(trained.files)
    champion = registered.keep(then, trained.files)
    again = steps.train(now, "bank", champion)
    own = Segmentation.from_files(again.files)
    assert again.verdict == PROMOTED
    assert "4 of 4 segments" in again.reason
    assert {(one.id, one.name, one.since) for one in own.segments} == {
        (one.id, one.name, one.since) for one in before.segments
    }
    assert {one.state for one in own.segments} == {KEPT}
    assert next(row["value"] for row in again.metrics if row["metric"] == "same_name") == 1


def test_who_is_new_and_who_is_retired_is_said(first: Segmentation) -> None:
    """A new segment under the name or number of one that is gone, or that lost most of its customers."""
    rules = small().names
    told = [["often active"], ["low spend"], ["high spend"], ["long silent"]]
    name = first.segments[3].name
    pairs = {0: (0, 0.9), 1: (1, 0.8), 2: (2, 0.7), 3: (3, 0.49)}
    segments, retired = naming.carry_over(
        rules, [*told[:3], name.lower().split(", ")], pairs, first, DAYS[-1]
    )
    assert [segment.state for segment in segments] == [KEPT, KEPT, KEPT, NEW]
    assert retired == (first.segments[3],)
    assert segments[3].id == 5
    assert segments[3].name.lower() != name.lower()
    later = replace(first, segments=segments, retired=retired)
    again, gone = naming.carry_over(rules, told[:3], {n: (n, 0.9) for n in range(3)}, later, DAYS[-1])
    assert [segment.id for segment in again] == [1, 2, 3]
    assert [segment.id for segment in gone] == [4, 5]


def test_names_are_unique_and_as_short_as_they_can_be() -> None:
    """Two segments that nobody can tell apart, or a name like a sentence where two words are enough."""
    rules = small().names
    told = [["a", "b", "c"], ["a", "b", "d"], ["e", "f", "g"], ["x"], ["x"], []]
    assert naming.name_new(rules, told, ["X 2"]) == ["A, b, c", "A, b, d", "E, f", "X", "X 3", "Average"]


def test_words_are_those_of_the_strongest_deviations() -> None:
    """A name made of what hardly differs, or of the wrong end."""
    rules = small().names
    assert naming.words(rules, COLUMNS, np.array([0.39, -0.5, 1.2])) == ["very high spend", "rarely active"]


def test_pairs_share_the_most_customers_of_all() -> None:
    """A greedy pairing: the first segment takes what the second one needs."""
    new, old = np.array([0] * 6 + [1] * 5), np.array([0] * 5 + [1] + [0] * 5)
    assert naming.pair(new, old, 2, 2) == {0: (1, pytest.approx(1 / 6)), 1: (0, pytest.approx(5 / 10))}
