"""What is measured of a version on days that it has not seen, beside its baselines and the champion."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml import stability
from ml.datasets import Rows
from ml.scores import fairness, forest, metrics, reliability
from ml.scores.alerts import Context
from ml.scores.baselines import Predicted
from ml.scores.config import Forest, UseCase
from ml.scores.model import Model
from nightledger.clients import load_clients
from nightledger.settings import Settings

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Named:
    """What every row of metrics is about."""

    model: str
    version: str
    window: str


@dataclass(frozen=True)
class AlertRules:
    """What a client's alerts cost, and how many of them people can look into."""

    cost: float
    """Of one, in base currency."""
    a_day: int


@dataclass(frozen=True)
class Unusual:
    """What can be said of a model without labels."""

    agreement: float
    """Rank correlation of the scores of the latest rows under two seeds."""
    psi: float
    """Population stability index of the latest rows' scores against those of the training rows."""


@dataclass(frozen=True)
class Judged:
    """What a training measured."""

    rows: tuple[dict[str, Any], ...]
    """As the table `ml.metrics` has them."""
    evaluated: metrics.Evaluated | None = None
    """Over all clients; None without labels."""
    broken: tuple[str, ...] = ()
    """Guardrails that do not hold, in words."""
    noticed: tuple[str, ...] = ()
    """Differences between groups that a person should look at, in words."""
    words: Mapping[str, str] | None = None
    """What each baseline is, where its name does not say it."""
    unusual: Unusual | None = None

    def numbers(self) -> dict[str, float]:
        """The finite numbers by name, for the registry."""
        return {
            ".".join(
                filter(None, (row["baseline"], row["client_id"], row["dataset"], row["metric"], end))
            ): row[end or "value"]
            for row in self.rows
            for end in ("", "lo", "hi")
            if row[end or "value"] is not None
        }


def judge(
    use_case: UseCase,
    named: Named,
    test: Rows,
    scores: Vector,
    others: Mapping[str, Predicted],
    champion: Vector | None,
    costs: Mapping[str, AlertRules],
) -> Judged:
    """Metrics with intervals by client, gains over every rival, guardrails and fairness.

    Args:
        use_case: budgets, costs, guardrails.
        named: what the rows are about.
        test: labelled rows that nothing was fitted on.
        scores: probability of the event of each row.
        others: what the baselines say of the same rows.
        champion: what the champion says of them; None when there is none to compare with.
        costs: what alerts cost and how many there can be, by client (`alert_rules`).
    """
    scorers = {"": scores} | {name: other.scores for name, other in others.items()}
    if champion is not None:
        scorers["champion"] = champion
    clients = np.array(test.table["client_id"].to_pylist(), dtype=object)
    several = sorted(set(clients)) if len(set(clients)) > 1 else []
    masks = {"": np.ones(len(test), dtype=bool)} | {client: clients == client for client in several}
    fired = {name: other.fired for name, other in others.items() if other.fired is not None}
    by_client = {
        client: _evaluated(use_case, test.where(pa.array(mask)), mask, scorers, fired, costs)
        for client, mask in masks.items()
    }
    rows = [
        row(named, metric, estimate, found, client_id=client, baseline=scorer)
        for client, found in by_client.items()
        for scorer, by_metric in found.metrics.items()
        for metric, estimate in by_metric.items()
    ]
    rows += [
        row
        for client, mask in masks.items()
        for row in _reliability(use_case, named, test.where(pa.array(mask)), scores[mask], client)
    ]
    rows += rules(named, others, len(test))
    fair_rows, flags = _fairness(use_case, named, test, scores)
    blocking = flags if use_case.fairness and use_case.fairness.blocks else ()
    return Judged(
        rows=(*rows, *fair_rows),
        evaluated=by_client[""],
        broken=(
            *_miscalibrated(use_case, by_client[""]),
            *_broken(use_case, by_client[""], scores, champion),
            *blocking,
        ),
        noticed=flags,
        words={name: other.description for name, other in others.items()},
    )


def judge_unusual(
    use_case: UseCase, named: Named, model: Model, training: Rows, test: Rows, scores: Vector
) -> Judged:
    """What can be said without labels: whether the seed decides, and whether the world has moved."""
    assert isinstance(use_case.estimator, Forest)  # noqa: S101 - the kind without labels
    again = replace(model, estimator=forest.fit(use_case.estimator, training, use_case.seed + 1))
    found = Unusual(
        agreement=stability.rank_correlation(scores, again.scores(test.table, 1)),
        psi=stability.psi(model.scores(training.table, 1), scores).psi,
    )
    rows = [
        _plain(named, metric, value, len(test))
        for metric, value in (("seed_agreement", found.agreement), ("score_psi", found.psi))
    ]
    return Judged(rows=tuple(rows), unusual=found)


def _evaluated(
    use_case: UseCase,
    test: Rows,
    mask: NDArray[np.bool_],
    scorers: Mapping[str, Vector],
    fired: Mapping[str, NDArray[np.bool_]],
    costs: Mapping[str, AlertRules],
) -> metrics.Evaluated:
    assert use_case.evaluation is not None and use_case.promotion is not None  # noqa: S101
    return metrics.evaluate(
        test.labels(),
        {name: score[mask] for name, score in scorers.items()},
        test.customers(),
        use_case.evaluation,
        use_case.seed,
        context=context_of(use_case, test, costs),
        primary=use_case.promotion.metric,
        fired={name: fires[mask] for name, fires in fired.items()},
    )


def alert_rules(settings: Settings) -> dict[str, AlertRules]:
    """What the nights go by, of each client."""
    return {
        name: AlertRules(float(client.alert_cost), client.alerts_per_day)
        for name, client in load_clients(settings).items()
    }


def context_of(use_case: UseCase, test: Rows, costs: Mapping[str, AlertRules]) -> Context:
    """What daily alerts and money are measured by; nothing where the use case names no budget and no loss."""
    rules = use_case.evaluation
    assert rules is not None  # noqa: S101 - a model with labels has them
    context = Context()
    if rules.daily_budget is not None:
        # Each client has a queue of its own; days first, so that the numbers ascend in time.
        pairs = list(zip(test.table["day"].to_pylist(), test.table["client_id"].to_pylist(), strict=True))
        numbers = {pair: number for number, pair in enumerate(sorted(set(pairs)))}
        given = rules.daily_budget
        budgets = [costs[client].a_day if given == "alerts_per_day" else given for _, client in numbers]
        context = replace(
            context,
            day=np.array([numbers[pair] for pair in pairs]),
            card=test.cards(),
            daily_budget=np.array(budgets, dtype=np.int64),
        )
    if rules.loss_share is not None:
        cost = np.array([costs[client].cost for client in test.table["client_id"].to_pylist()])
        context = replace(context, amount=test.exposures() * rules.loss_share, cost=cost)
    return context


def _miscalibrated(use_case: UseCase, found: metrics.Evaluated) -> tuple[str, ...]:
    """Whether probabilities are off by more than any version's may be, with a champion or without one.

    The lower end of the interval counts: in a finite sample even a perfect model has more than 0.
    """
    assert use_case.promotion is not None  # noqa: S101 - a model with labels has rules
    most = use_case.promotion.guardrails.most_calibration_error
    own = found.metrics[""]["calibration_error"]
    if not own.lo > most:
        return ()
    return (
        f"calibration error {own.value:.4f} ({own.lo:.4f} to {own.hi:.4f}), for certain more than the "
        f"{most:g} that any version may have",
    )


def _broken(
    use_case: UseCase, found: metrics.Evaluated, scores: Vector, champion: Vector | None
) -> tuple[str, ...]:
    """Guardrails against the champion that do not hold."""
    assert use_case.promotion is not None  # noqa: S101 - a model with labels has rules
    if champion is None:
        return ()
    rails, broken = use_case.promotion.guardrails, []
    own, its = (found.metrics[name]["calibration_error"].value for name in ("", "champion"))
    if own > its + rails.calibration_error:
        broken.append(
            f"calibration error {own:.4f}, more than {rails.calibration_error:g} above the champion's "
            f"{its:.4f}"
        )
    psi = stability.psi(champion, scores).psi
    if psi > rails.score_psi:
        broken.append(
            f"scores differ from the champion's by a PSI of {psi:.2f}, more than {rails.score_psi:g}"
        )
    return tuple(broken)


def _fairness(
    use_case: UseCase, named: Named, test: Rows, scores: Vector
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    assert use_case.evaluation is not None  # noqa: S101 - a model with labels has it
    rules = use_case.fairness
    if rules is None:
        return [], ()
    report = fairness.measure(
        {group: test.table[group].to_pylist() for group in rules.groups},
        test.labels(),
        scores,
        test.customers(),
        threshold=use_case.bands[rules.band],
        outcome=rules.outcome,
        min_rows=rules.min_rows,
        draws=use_case.evaluation.bootstrap_draws,
        interval=use_case.evaluation.interval,
        seed=use_case.seed,
        least_impact_ratio=rules.least_impact_ratio,
    )
    rows = [
        _plain(named, found.metric, found.value, found.n)
        | {
            "dataset": f"{found.attribute}: {found.group}",
            "lo": _finite(found.lo),
            "hi": _finite(found.hi),
            "base_rate": found.base_rate,
        }
        for found in report.rows
    ]
    return rows, report.flags


def _reliability(
    use_case: UseCase, named: Named, test: Rows, scores: Vector, client: str
) -> list[dict[str, Any]]:
    """Two rows a bin of scores; what stands below `out_of_time` as one number is told apart here."""
    settings = use_case.evaluation
    assert settings is not None  # noqa: S101 - a model with labels has it
    found = reliability.measure(
        test.labels(),
        scores,
        test.customers(),
        bins=settings.calibration_bins,
        draws=settings.bootstrap_draws,
        interval=settings.interval,
        seed=use_case.seed,
    )
    return [
        _plain(named, metric, value, part.n)
        | {"client_id": client, "dataset": f"{reliability.DATASET}{part.number:02}", "lo": lo, "hi": hi}
        for part in found
        for metric, value, lo, hi in (
            ("mean_score", part.mean_score, None, None),
            ("observed_rate", part.observed.value, _finite(part.observed.lo), _finite(part.observed.hi)),
        )
    ]


def rules(named: Named, others: Mapping[str, Predicted], n: int) -> list[dict[str, Any]]:
    """Of each baseline that is a rule, what it looks at and from where on (or up to where) it fires.

    `mart_fraud_alerts` says by these rows whether it points at a payment.
    """
    return [
        _plain(
            named,
            "fires_from" if other.details["at_least"] else "fires_up_to",
            other.details["threshold"],
            n,
        )
        | {"dataset": f"rule: {other.details['feature']}", "baseline": name}
        for name, other in others.items()
        if other.fired is not None
    ]


def row(
    named: Named,
    metric: str,
    estimate: metrics.Estimate,
    found: metrics.Evaluated,
    *,
    client_id: str,
    baseline: str,
) -> dict[str, Any]:
    """One row of the table `ml.metrics`."""
    return _plain(named, metric, estimate.value, found.n) | {
        "client_id": client_id,
        "baseline": baseline,
        "lo": _finite(estimate.lo),
        "hi": _finite(estimate.hi),
        "base_rate": found.base_rate,
    }


def _plain(named: Named, metric: str, value: float, n: int) -> dict[str, Any]:
    return {
        "model": named.model,
        "version": named.version,
        "client_id": "",
        "dataset": "out_of_time",
        "window_label": named.window,
        "metric": metric,
        "baseline": "",
        "value": _finite(value),
        "lo": None,
        "hi": None,
        "n": n,
        "base_rate": None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
