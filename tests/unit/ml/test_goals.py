"""Three lists of life events on simulated customers, of whom it is known what happened and what showed."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ml.goals import __main__ as command
from ml.goals.__main__ import write
from ml.goals.cases import Cases, GoalsError, read_truth
from ml.goals.ranking import compare, rank
from nightledger import warehouse

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
        customer=np.tile(np.arange(customers), len(days)),
        day=np.repeat(np.array(days, dtype=object), customers),
        segment=np.tile(np.array(["new", "old"], dtype=object), len(days) * customers // 2),
        strength=strength.reshape(-1, len(EVENTS)),
        evidence=(strength > 0).astype(float).reshape(-1, len(EVENTS)),
        happened=happened.reshape(-1, len(EVENTS)),
        events=EVENTS,
    )


def test_rules_stand_where_a_ranker_finds_no_more() -> None:
    """A ranker that is let in because it beats popularity, though the rules do so as well."""
    result = compare(simulated(evidence=0.6))
    assert result.gained["rules", "popularity", "NDCG@3"].lo > 0
    assert result.gained["ranker", "popularity", "NDCG@3"].lo > 0
    assert abs(result.gained["ranker", "rules", "NDCG@3"].value) < 0.05
    assert not result.ranker_wins


def test_a_ranker_wins_where_rules_take_the_evidence_for_another_events() -> None:
    """A comparison that no ranker can win: one that is not given what the rules see, or never learns."""
    result = compare(simulated(evidence=0.9, hidden=True, customers=1000))
    assert result.found["ranker", "NDCG@3"].value > result.found["popularity", "NDCG@3"].value + 0.1
    assert result.ranker_wins


def test_nothing_is_gained_where_nothing_shows() -> None:
    """A leak of what happened, or of the judged dates, into what a list is made of."""
    result = compare(simulated(evidence=0.0))
    assert not result.ranker_wins
    assert abs(result.gained["ranker", "popularity", "NDCG@3"].value) < 0.05


def test_metrics_are_those_of_the_papers() -> None:
    """A discount that begins at the wrong place, or an ideal of more events than there are places."""
    cases = simulated(evidence=0.6)
    result = compare(cases)
    days = sorted(set(cases.day))
    judged = cases.where(np.array([day >= days[-4] for day in cases.day]) & (cases.happened.max(axis=1) > 0))
    earlier = cases.where(np.array([day < days[-4] - timedelta(days=120) for day in cases.day]))
    learnt = earlier.where(earlier.happened.max(axis=1) > 0)
    assert (result.learnt, result.judged) == (len(learnt), len(judged))
    shown = [int((row > 0).sum()) for row in judged.strength if row.max() > 0]
    assert result.several == pytest.approx(sum(count > 1 for count in shown) / len(shown))
    ranked = rank(earlier, learnt, judged)["rules"]
    hits, gains = [], []
    for score, happened in zip(ranked, judged.happened, strict=True):
        first = sorted(range(len(EVENTS)), key=lambda number: -score[number])[:3]
        gain = sum(happened[event] / np.log2(place + 2) for place, event in enumerate(first))
        ideal = sum(1 / np.log2(place + 2) for place in range(min(3, int(happened.sum()))))
        hits.append(max(happened[event] for event in first))
        gains.append(gain / ideal)
    assert result.found["rules", "hit@3"].value == pytest.approx(np.mean(hits))
    assert result.found["rules", "NDCG@3"].value == pytest.approx(np.mean(gains))


def test_the_same_cases_give_the_same_figures(tmp_path: Path) -> None:
    """A seed that is forgotten: a verdict that another run turns round."""
    for name in ("one", "two"):
        write(compare(simulated(evidence=0.6)), tmp_path / f"{name}.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_figures_go_where_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OUT that is taken and forgotten: one file for two truths, or a home that is only read and written."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(warehouse, "publication_path", lambda settings: tmp_path)
    monkeypatch.setattr(warehouse, "connect", lambda *_, **__: nullcontext())
    monkeypatch.setattr(command, "read_truth", lambda path: path)
    monkeypatch.setattr(command, "read", lambda *_: simulated(evidence=0.6))
    asked = ["--client", "bank", "--truth", "truth.csv"]
    assert command.main([*asked, "--out", str(tmp_path / "own" / "goals.csv")]) == 0
    assert (tmp_path / "own" / "goals.csv").exists() and not (tmp_path / "home").exists()
    assert command.main([*asked, "--out", ""]) == 0
    assert (tmp_path / "home" / "evaluations" / "goals_bank.csv").exists()


def test_what_matters_stands_first_and_what_popularity_goes_by_is_told() -> None:
    """A table that leads with the easier metric, and popularity by age that is called that of segments."""
    cases = simulated(evidence=0.6)
    by_age = np.where(cases.customer % 4 == 0, "age 3", cases.segment).astype(object)
    without = np.where(cases.customer % 4 == 1, "", by_age).astype(object)
    result = compare(replace(cases, segment=without))
    assert next(iter(result.found)) == ("popularity", "NDCG@3")
    assert result.by_segment == pytest.approx(0.5, abs=0.06)
    console = Console(record=True, width=200, file=StringIO())
    command.show(result, console)
    said = console.export_text()
    assert said.index("NDCG@3") < said.index("hit@3")
    assert f"by the segment (segments_rfm) in {result.by_segment:.0%} of the cases judged" in said
    assert f"{result.several:.0%} have it for two events or more" in said


def test_too_little_to_compare_is_refused() -> None:
    """A verdict that rests on a dozen customers."""
    with pytest.raises(GoalsError, match="100 of each are needed"):
        compare(simulated(evidence=0.6, customers=20))


def test_truth_needs_its_columns_and_knows_the_banks_names(tmp_path: Path) -> None:
    """A move that counts as no new home, or a file without dates that counts as nothing happened."""
    (tmp_path / "truth.csv").write_text("customer_id,kind,date\nC1,move,2026-01-05\n")
    assert read_truth(tmp_path / "truth.csv").to_pylist() == [
        {"customer_id": "C1", "event": "new_home", "day": date(2026, 1, 5)}
    ]
    (tmp_path / "truth.csv").write_text("customer_id,event\nC1,child\n")
    with pytest.raises(GoalsError, match="date"):
        read_truth(tmp_path / "truth.csv")
