"""Three lists of life events on simulated customers, of whom it is known what happened and what showed."""

from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from ml import config
from ml.families import TooLittle
from ml.goals.cases import Cases, GoalsError, read_truth
from ml.goals.config import Goals
from ml.goals.ranking import RULES, Comparison, Ranker, compare, judged_from, learnt_until
from ml.goals.report import show, write_figures

FILE = yaml.safe_load((config.MODELS / "life_events.yml").read_text())
MODEL = Goals(name="life_events", **FILE)
EVENTS = ("car", "child", "home", "job", "marriage", "saving")
POPULAR = np.array([0.02, 0.04, 0.10, 0.06, 0.03, 0.01])


def simulated(*, evidence: float, hidden: bool = False, seed: int = 7, customers: int = 600) -> Cases:
    """Customers on twelve month-ends.

    Args:
        evidence: probability that an event of the customer shows in the evidence.
        hidden: the evidence is that of the next event in the alphabet, which a ranker can learn.
        seed: of everything.
        customers: how many.
    """
    rng = np.random.default_rng(seed)
    days = [date(2025, 1, 31) + timedelta(days=30 * month) for month in range(12)]
    shape = (len(days), customers, len(EVENTS))
    happened = (rng.random(shape) < POPULAR).astype(float)
    shows = happened * (rng.random(shape) < evidence)
    strength = np.where(shows > 0, rng.uniform(0.3, 1, shape), 0.3 * (rng.random(shape) < 0.05))
    if hidden:
        strength = np.roll(strength, 1, axis=2)
    return Cases(
        names=np.tile(np.array([f"C{number:04d}" for number in range(customers)], dtype=object), len(days)),
        day=np.repeat(np.array(days, dtype=object), customers),
        segment=np.tile(np.array(["new", "old"], dtype=object), len(days) * customers // 2),
        strength=strength.reshape(-1, len(EVENTS)),
        evidence=(strength > 0).astype(float).reshape(-1, len(EVENTS)),
        happened=happened.reshape(-1, len(EVENTS)),
        events=EVENTS,
    )


def compared(cases: Cases, champion: Ranker | None = None) -> Comparison:
    """The latest third judges what the dates before it taught."""
    first = judged_from(MODEL, sorted(set(cases.day)))
    until = learnt_until(MODEL, first)
    earlier = cases.where(np.array([day < until for day in cases.day]))
    return compare(MODEL, earlier, cases.where(np.array([day >= first for day in cases.day])), champion)


def test_rules_stand_where_a_ranker_finds_no_more() -> None:
    """A ranker that is let in because it beats popularity, though the rules do so as well."""
    result = compared(simulated(evidence=0.6))
    assert result.gained["rules", "popularity", "ndcg_at_3"].lo > 0
    assert result.gained["ranker", "popularity", "ndcg_at_3"].lo > 0
    assert abs(result.gained["ranker", "rules", "ndcg_at_3"].value) < 0.05
    assert not result.wins(MODEL)


def test_a_ranker_wins_where_rules_take_the_evidence_for_another_events() -> None:
    """A comparison that no ranker can win: one that is not given what the rules see, or never learns."""
    result = compared(simulated(evidence=0.9, hidden=True, customers=1000))
    assert result.found["ranker", "ndcg_at_3"].value > result.found["popularity", "ndcg_at_3"].value + 0.1
    assert result.wins(MODEL)


def test_nothing_is_gained_where_nothing_shows() -> None:
    """A leak of what happened, or of the judged dates, into what a list is made of."""
    result = compared(simulated(evidence=0.0))
    assert not result.wins(MODEL)
    assert abs(result.gained["ranker", "popularity", "ndcg_at_3"].value) < 0.05


def test_metrics_are_those_of_the_papers() -> None:
    """A discount that begins at the wrong place, or an ideal of more events than there are places."""
    cases = simulated(evidence=0.6)
    result = compared(cases)
    days = sorted(set(cases.day))
    judged = cases.where(np.array([day >= days[-4] for day in cases.day]) & (cases.happened.max(axis=1) > 0))
    earlier = cases.where(np.array([day < days[-4] - timedelta(days=120) for day in cases.day]))
    learnt = earlier.where(earlier.happened.max(axis=1) > 0)
    assert (result.learnt, len(result.judged)) == (len(learnt), len(judged))
    shown = [int((row > 0).sum()) for row in judged.strength if row.max() > 0]
    assert result.several == pytest.approx(sum(count > 1 for count in shown) / len(shown))
    ranked = result.lists[RULES]
    hits, gains = [], []
    for score, happened in zip(ranked, judged.happened, strict=True):
        first = sorted(range(len(EVENTS)), key=lambda number: -score[number])[:3]
        gain = sum(happened[event] / np.log2(place + 2) for place, event in enumerate(first))
        ideal = sum(1 / np.log2(place + 2) for place in range(min(3, int(happened.sum()))))
        hits.append(max(happened[event] for event in first))
        gains.append(gain / ideal)
    assert result.found["rules", "hit_at_3"].value == pytest.approx(np.mean(hits))
    assert result.found["rules", "ndcg_at_3"].value == pytest.approx(np.mean(gains))


def test_the_same_cases_give_the_same_figures(tmp_path: Path) -> None:
    """A seed that is forgotten: a verdict that another run turns round."""
    for name in ("one", "two"):
        write_figures(compared(simulated(evidence=0.6)), tmp_path / f"{name}.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_what_matters_stands_first_and_what_popularity_goes_by_is_told() -> None:
    """A table that leads with the easier metric, and popularity by age that is called that of segments."""
    cases = simulated(evidence=0.6)
    by_age = np.where(cases.customer % 4 == 0, "age 3", cases.segment).astype(object)
    without = np.where(cases.customer % 4 == 1, "", by_age).astype(object)
    result = compared(replace(cases, segment=without))
    assert next(iter(result.found)) == ("popularity", "ndcg_at_3")
    assert result.by_segment == pytest.approx(0.5, abs=0.06)
    console = Console(record=True, width=200, file=StringIO())
    show(MODEL, result, console)
    said = console.export_text()
    assert said.index("NDCG@3") < said.index("hit@3")
    assert f"by the segment (segments_rfm) in {result.by_segment:.0%} of the cases judged" in said
    assert f"{result.several:.0%} have it for two events or more" in said


def test_a_champion_is_judged_on_the_same_cases() -> None:
    """A champion that is compared with the rules of another time, or is never found to have grown worse."""
    cases = simulated(evidence=0.9, hidden=True, customers=1000)
    first = compared(cases)
    again = compared(cases, first.ranker)
    assert again.found["champion", "ndcg_at_3"] == first.found["ranker", "ndcg_at_3"]
    assert again.wins(MODEL, "champion")
    assert not compared(simulated(evidence=0.6), first.ranker).wins(MODEL, "champion")


def test_too_little_to_compare_is_refused() -> None:
    """A verdict that rests on a dozen customers."""
    with pytest.raises(TooLittle, match="100 of each are needed"):
        compared(simulated(evidence=0.6, customers=20))


def test_truth_needs_its_columns_and_knows_the_banks_names(tmp_path: Path) -> None:
    """A move that counts as no new home, or a file without dates that counts as nothing happened."""
    (tmp_path / "truth.csv").write_text("customer_id,kind,date\nC1,move,2026-01-05\n")
    assert read_truth(tmp_path / "truth.csv").to_pylist() == [
        {"customer_id": "C1", "event": "new_home", "day": date(2026, 1, 5)}
    ]
    (tmp_path / "truth.csv").write_text("customer_id,event\nC1,child\n")
    with pytest.raises(GoalsError, match="date"):
        read_truth(tmp_path / "truth.csv")
