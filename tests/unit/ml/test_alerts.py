"""Queues of alerts against loops that do by hand what a person would do."""

import itertools
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ml import config
from ml.datasets import Rows
from ml.scores import alerts, evaluation, metrics
from ml.scores.alerts import Context
from ml.scores.config import Evaluation, UseCase

SETTINGS = Evaluation(budget_share=0.1, calibration_bins=10, bootstrap_draws=60, interval=0.95)


@st.composite
def cases(draw, ties: bool = True):  # type: ignore[no-untyped-def]
    """Rows of a few cards on a few days."""
    size = draw(st.integers(1, 30))
    few = {"min_size": size, "max_size": size}
    label = np.array(draw(st.lists(st.integers(0, 1), **few)), dtype=np.float64)
    day = np.array(draw(st.lists(st.integers(3, 6), **few)))
    card = np.array(draw(st.lists(st.integers(0, 5), **few)))
    levels = st.lists(st.integers(0, 4), **few) if ties else st.permutations(range(size))
    score = np.array(draw(levels), dtype=np.float64) / (4 if ties else size)
    amount = np.array(draw(st.lists(st.sampled_from([5.0, 10.0, 40.0, 200.0]), **few)))
    return label, score, Context(day, card, amount, daily_budget=draw(st.integers(1, 4)), cost=8.0)


def all_of(label: metrics.Vector, score: metrics.Vector, context: Context, weight: metrics.Vector):  # type: ignore[no-untyped-def]
    found: dict[str, float] = {}
    for queue in alerts.queues(label, score, context, None, True, alerts.available(context)):
        found |= queue(weight)
    return found


def handbook(label, score, context: Context) -> tuple[float, list[int]]:  # type: ignore[no-untyped-def]
    """Card precision at k of the Fraud Detection Handbook, one card after the other."""
    found: set[int] = set()
    shares, compromised = [], []
    for day in sorted(set(context.day.tolist())):
        worst: dict[int, float] = {}
        hit: dict[int, float] = {}
        for i in np.flatnonzero(context.day == day):
            card = int(context.card[i])
            if card not in found:
                worst[card] = max(worst.get(card, -1), score[i])
                hit[card] = max(hit.get(card, 0), label[i])
        alerted = sorted(worst, key=lambda card: -worst[card])[: context.daily_budget]
        compromised.append(sum(map(int, hit.values())))
        shares.append(sum(hit[card] for card in alerted) / context.daily_budget)
        found |= {card for card in alerted if hit[card]}
    return float(np.mean(shares)), compromised


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ties=False))
def test_card_precision_is_the_handbooks(case) -> None:  # type: ignore[no-untyped-def]
    """Catches transactions counted for cards, found cards that stay, and days divided by fewer than k."""
    label, score, context = case
    found = all_of(label, score, context, np.ones(len(label)))
    assert found["card_precision_at_k"] == pytest.approx(handbook(label, score, context)[0])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(), cases(), st.integers(0, 3), st.integers(0, 3))
def test_each_day_has_a_budget_of_its_own(one, other, k: int, m: int) -> None:  # type: ignore[no-untyped-def]
    """Catches a client whose alerts are cut at another's budget: two clients together are what they are
    apart, weighted by their alerts."""
    parts = []
    for (label, score, context), budget in ((one, k), (other, m)):
        alone = replace(context, daily_budget=np.full(7, budget))
        parts.append((len(set(context.day)) * budget, all_of(label, score, alone, np.ones(len(label)))))
    (label, score, first), (label2, score2, second) = one, other
    both = Context(
        day=np.append(first.day, second.day + 7),
        card=np.append(first.card, second.card + 10),
        amount=np.append(first.amount, second.amount),
        daily_budget=np.append(np.full(7, k), np.full(7, m)),
        cost=8.0,
    )
    n = len(label) + len(label2)
    found = all_of(np.append(label, label2), np.append(score, score2), both, np.ones(n))
    assert found["savings"] == pytest.approx(sum(part["savings"] for _, part in parts))
    for name in ("card_precision_at_k", "card_precision_greatest"):
        if k + m == 0:
            assert np.isnan(found[name])
            continue
        hits = sum(alerts * part[name] for alerts, part in parts if alerts)
        assert found[name] == pytest.approx(hits / sum(alerts for alerts, _ in parts))


def test_budgets_are_the_clients_and_cards_are_cards() -> None:
    """Catches an evaluation by another budget than the nights cut their queues at, cards of one customer
    that count as one, and cards of two customers that do."""
    fraud = UseCase(name="fraud", **yaml.safe_load((config.MODELS / "fraud.yml").read_text()))
    assert fraud.evaluation is not None
    day = [date(2026, 1, 1)] * 5
    table = {
        "client_id": ["a", "a", "a", "b", "a"],
        "entity_id": ["t1", "t2", "t3", "t4", "t5"],
        "customer_id": ["c1", "c1", "c2", "c1", "c1"],
        "card": ["x", "y", "x", "x", "x"],
        "day": day,
        "exposure": [1.0] * 5,
    }
    rows = Rows(pa.table(table), (), "")
    rules = {"a": evaluation.AlertRules(2.0, 7), "b": evaluation.AlertRules(3.0, 0)}
    found = evaluation.context_of(fraud, rows, rules)
    assert found.daily_budget.tolist() == [7, 0]
    assert found.day.tolist() == [0, 0, 0, 1, 0]
    assert found.card.tolist() == [0, 1, 2, 3, 0]
    assert rows.customers().tolist() == [0, 0, 1, 2, 0]
    assert found.cost.tolist() == [2.0, 2.0, 2.0, 3.0, 2.0]
    fixed = fraud.model_copy(update={"evaluation": fraud.evaluation.model_copy(update={"daily_budget": 4})})
    assert evaluation.context_of(fixed, rows, rules).daily_budget.tolist() == [4, 4]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ties=False))
def test_no_ranking_of_cards_exceeds_the_greatest_and_one_reaches_it(case) -> None:  # type: ignore[no-untyped-def]
    """Catches a reachable value that counts a card on each of its days, or that a lucky order passes."""
    label, score, context = case
    days, k = sorted(set(context.day.tolist())), context.daily_budget
    compromised = [set(context.card[(context.day == day) & (label == 1)].tolist()) for day in days]
    best = 0
    # Each card is found on one of its days or never: try all.
    options = [
        [None, *(d for d, cards in enumerate(compromised) if card in cards)]
        for card in sorted(set().union(*compromised))
    ]
    for choice in itertools.product(*options):
        if all(choice.count(d) <= k for d in range(len(days))):
            best = max(best, sum(d is not None for d in choice))
    found = all_of(label, score, context, np.ones(len(label)))
    assert found["card_precision_greatest"] == pytest.approx(best / (k * len(days)))
    assert found["card_precision_at_k"] <= found["card_precision_greatest"] + 1e-12


def test_the_greatest_leaves_the_card_that_comes_again_for_its_second_day() -> None:
    """Catches a greedy choice: one alert a day finds both cards, if the first day's goes to the right one."""
    label, card, day = np.ones(3), np.array([0, 1, 0]), np.array([1, 1, 2])
    found = all_of(label, np.array([0.9, 0.8, 0.9]), Context(day, card, daily_budget=1), np.ones(3))
    assert found == pytest.approx(
        {
            "card_precision_greatest": 1.0,
            "card_precision_at_k": 0.5,
            "precision_at_daily_budget": 1.0,
            "recall_at_daily_budget": 2 / 3,
        }
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 5))
def test_the_order_of_rows_never_matters(case, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Catches budgets that end within equal scores and take whoever comes first."""
    label, score, context = case
    turn = np.random.default_rng(seed).permutation(len(label))
    turned = Context(context.day[turn], context.card[turn], context.amount[turn], context.daily_budget, 8.0)
    weight = np.random.default_rng(seed).integers(0, 3, 6)[context.card].astype(np.float64)
    first = all_of(label, score, context, weight)
    assert all_of(label[turn], score[turn], turned, weight[turn]) == pytest.approx(first, nan_ok=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_a_weight_is_a_number_of_equal_customers(case, copies: list[int]) -> None:  # type: ignore[no-untyped-def]
    """Catches a bootstrap draw that is not the sample it stands for; the days of the rows remain."""
    label, score, context = case
    weight = np.array(copies, dtype=np.float64)[context.card]
    at = np.repeat(np.arange(len(label)), weight.astype(int))
    if set(context.day[at].tolist()) != set(context.day.tolist()):
        return
    number = np.concatenate([np.arange(n) for n in weight.astype(int)])
    repeated = Context(
        context.day[at],
        (context.card[at] * 3 + number).astype(np.int64),
        context.amount[at],
        context.daily_budget,
        context.cost,
    )
    expected = all_of(label[at], score[at], repeated, np.ones(len(at)))
    assert all_of(label, score, context, weight) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases(ties=False))
def test_alerts_and_savings_are_those_of_a_day_by_day_queue(case) -> None:  # type: ignore[no-untyped-def]
    """Catches a budget over all days together, alerts that cost more than they save, and a wrong order."""
    label, score, context = case
    hits = raised = net = best = 0.0
    for day in set(context.day.tolist()):
        today = np.flatnonzero(context.day == day)
        top = sorted(today, key=lambda i: -score[i])[: context.daily_budget]
        raised, hits = raised + len(top), hits + label[top].sum()
        # Equal losses: whichever is first saves the same on average only, so the rare ones are let pass.
        losses = {i: score[i] * context.amount[i] for i in today if score[i] * context.amount[i] > 8}
        if len(set(losses.values())) < len(losses):
            return
        for i in sorted(losses, key=lambda i: -losses[i])[: context.daily_budget]:
            net += label[i] * context.amount[i] - 8
        perfect = sorted((label[today] * context.amount[today]).tolist(), reverse=True)
        best += sum(max(amount - 8, 0) for amount in perfect[: context.daily_budget])
    found = all_of(label, score, context, np.ones(len(label)))
    assert found["precision_at_daily_budget"] == pytest.approx(hits / raised)
    if label.any():
        assert found["recall_at_daily_budget"] == pytest.approx(hits / label.sum())
        assert found["savings_share"] == pytest.approx(net / (label * context.amount).sum())
    assert found["savings"] == pytest.approx(net)
    if best:
        assert found["savings_of_greatest"] == pytest.approx(net / best)


def test_the_truth_saves_all_that_can_be_saved_and_silence_nothing() -> None:
    """Catches a yardstick that perfect knowledge does not reach."""
    label, amount = np.array([1.0, 0, 1, 1]), np.array([100.0, 500, 50, 2])
    context = Context(amount=amount, cost=5.0)
    truth, silence = (all_of(label, score, context, np.ones(4)) for score in (label, np.zeros(4)))
    assert truth == pytest.approx(
        {"savings": 140.0, "savings_share": 140 / 152, "savings_of_greatest": 1.0}  # 2 is not worth an alert
    )
    assert silence == {"savings": 0.0, "savings_share": 0.0, "savings_of_greatest": 0.0}


def test_each_client_pays_its_own_price_of_an_alert() -> None:
    """Catches one price for all: the second alert would save 20 where it costs the client 80 more."""
    label, amount = np.array([1.0, 1]), np.array([100.0, 100])
    context = Context(amount=amount, cost=np.array([5.0, 180.0]))
    found = all_of(label, np.array([1.0, 1]), context, np.ones(2))
    assert found == pytest.approx({"savings": 95.0, "savings_share": 95 / 200, "savings_of_greatest": 1.0})


def test_a_rule_saves_by_alerting_on_what_it_fires_on() -> None:
    """Catches the amount of a rule taken for a probability: it would alert on everything."""
    label, amount = np.array([1.0, 0, 1, 0]), np.array([100.0, 90, 50, 20])
    context = Context(day=np.array([1, 1, 1, 1]), amount=amount, daily_budget=2, cost=5.0)
    found = metrics.evaluate(
        label,
        {"": label, "rule": amount},
        np.arange(4),
        SETTINGS,
        1,
        context=context,
        primary="savings",
        fired={"rule": amount >= 90},
    )
    assert found.metrics["rule"]["savings"].value == pytest.approx(100 - 2 * 5)
    assert found.metrics[""]["savings"].value == pytest.approx(150 - 2 * 5)
    assert found.gains["rule"].value == pytest.approx(50)


def test_a_context_gives_its_metrics_with_intervals() -> None:
    """Catches daily metrics without draws, and money squeezed between 0 and 1."""
    rng = np.random.default_rng(4)
    n = 2000
    card = rng.integers(0, 300, n)
    score = rng.random(n) * 0.2
    label = (rng.random(n) < score).astype(np.float64)
    context = Context(rng.integers(0, 10, n), card, rng.gamma(2.0, 60.0, n), daily_budget=5, cost=3.0, k=20)
    found = metrics.evaluate(label, {"": score}, card, SETTINGS, 1, context=context).metrics[""]
    assert {*alerts.available(context), "precision_at_k"} <= set(found)
    assert len(alerts.available(context)) == 7
    for name, estimate in found.items():
        assert estimate.lo <= estimate.value <= estimate.hi, name
        assert estimate.lo < estimate.hi or name == "card_precision_greatest", name
    assert found["savings"].value > 1


def test_what_is_missing_is_named() -> None:
    """Catches a queue that quietly takes all rows for one day."""
    label = np.array([1.0, 0.0])
    with pytest.raises(ValueError, match="budget of a day"):
        alerts.DailyAlerts(label, label, Context(day=np.array([1, 2])))
    with pytest.raises(ValueError, match="no cards"):
        alerts.Cards(label, label, Context(day=np.array([1, 2]), daily_budget=1))
    with pytest.raises(ValueError, match="cost of an alert"):
        alerts.Savings(label, label, Context(amount=label))
