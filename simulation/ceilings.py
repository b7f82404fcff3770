"""The reachable ceilings of the tasks other than churn (`ceiling`), each from the truth of a made bank."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulation import suspicion
from simulation.ceiling import Ceiling, judge, of_customers_and_days
from simulation.fraud import Kind
from simulation.labels import standing_reports
from simulation.lender_files import Lending, build_lending
from simulation.lending import DEFAULT, months_of, probability_of_default
from simulation.life import LAWS, SHOWN, Life, mixture
from simulation.outlook import expected_spend, probability_of_purchase
from simulation.parameters import CATEGORIES, Bank, Parameters
from simulation.suspicion import Payments
from simulation.thresholds import recall_at
from simulation.truth import BANK, TruthError
from simulation.world import World, build_world

Floats = npt.NDArray[np.float64]
FRAUD_BUDGET = 0.005
"""Share of payments that may be stopped for a look: a little more than are stolen."""
DEFAULT_BUDGET = 0.05
DEFAULT_MONTHS = 12
MOST_OWED = 1
"""Loans with more instalments owed than this are collected, not predicted."""
LIFE_BUDGET, LIFE_DAYS = 0.05, 90
SPEND_DAYS = PURCHASE_DAYS = 30


def read_identity(truth: Path) -> tuple[Bank, Parameters]:
    """Which bank a truth folder is of.

    Raises:
        TruthError: there is no whole truth in the folder.
    """
    if not (truth / BANK).exists():
        raise TruthError(f"{truth} holds no {BANK}: make the bank first (python -m simulation make)")
    identity = json.loads((truth / BANK).read_text())
    return Bank.from_dict(identity["bank"]), Parameters.from_dict(identity["parameters"])


def _world(truth: Path) -> World:
    return build_world(*read_identity(truth))


@dataclass(frozen=True)
class Oracle:
    """What the truth says of rows, beside what came of them."""

    score: Floats
    label: npt.NDArray[np.bool_]

    def figures(self, budget: float) -> dict[str, Any]:
        """Ceiling of a ranking: average precision, and recall and precision at an alert budget."""
        # Takes seconds to import, and only ceilings need it.
        from sklearn.metrics import average_precision_score

        recall = recall_at(self.score, self.label, budget)
        return {
            "rows": len(self.label),
            "base_rate": float(self.label.mean()),
            "expected_base_rate": float(self.score.mean()),
            "average_precision": float(average_precision_score(self.label, self.score)),
            "budget": budget,
            "recall_at_budget": recall,
            "precision_at_budget": recall * float(self.label.sum()) / (budget * len(self.label)),
        }


def fraud_oracle(truth: Path) -> tuple[Payments, Oracle]:
    """Probability that each payment was stolen, and whether it was."""
    world = _world(truth)
    days = world.days.count
    payments = suspicion.read_payments(truth)
    exposed, new = (suspicion.read_days(truth, name, days) for name in ("exposed", "new_devices"))
    score = suspicion.probability_of_theft(world, payments, exposed, new)
    return payments, Oracle(score, payments.fraud > 0)


def fraud_ceiling(truth: Path) -> dict[str, Any]:
    """Fraud among payments that customers start; by kind of theft too, and with what labels can show."""
    payments, oracle = fraud_oracle(truth)
    _, parameters = read_identity(truth)
    of_kinds = {
        kind.name.lower(): recall_at(oracle.score, payments.fraud == kind, FRAUD_BUDGET)
        for kind in Kind
        if kind
    }
    figures = oracle.figures(FRAUD_BUDGET)
    reported = parameters.theft.reported_share
    return figures | {
        "recall_by_kind": of_kinds,
        "reported_share": reported,
        "precision_at_budget_by_labels": figures["precision_at_budget"] * reported,
    }


def fraud_ceiling_of_rows(
    truth: Path | Mapping[str, Path],
    predictions: Path,
    write: Path | None = None,
    judged_after: int | None = None,
    judged_on: date | None = None,
) -> Ceiling:
    """The ceiling of fraud on exactly the rows of a predictions file.

    Args:
        truth: a neobank's truth folder; or one for each `client_id` of the predictions.
        predictions: Parquet with transaction_id and original_transaction_id as the files have them, label
            (0/1), score (higher = likelier). A posting counts as the payment that it posts; what no customer
            starts, such as a salary, is never stolen.
        write: see `simulation.ceiling.judge`.
        judged_after: days from a payment to its label, which is what reports said by then; default: the
            label is whether it was stolen.
        judged_on: in place of it the day by whose end the reports of every row were in; the predictions have
            day, or as_of_date, then.

    Raises:
        TruthError: the truth knows none of the transactions.
    """

    def of_rows(folder: Path, rows: pa.Table) -> Floats:
        stolen = true_thefts(folder, rows)
        if judged_on is not None:
            paid_on = rows["day" if "day" in rows.column_names else "as_of_date"].cast(pa.date32())
            days = [(judged_on - day).days for day in paid_on.to_pylist()]
        elif judged_after is not None:
            days = [judged_after] * len(stolen)
        else:
            return stolen
        _, parameters = read_identity(folder)
        told = {after: standing_reports(parameters.theft, max(after, 0)) for after in set(days)}
        found, mistaken = np.array([told[after] for after in days], dtype=np.float64).reshape(-1, 2).T
        return stolen * found + (1 - stolen) * mistaken

    return judge(truth, predictions, of_rows, write)


def true_thefts(truth: Path, rows: pa.Table) -> Floats:
    """Probability of theft for each row with transaction_id and original_transaction_id.

    Raises:
        TruthError: the truth knows none of them.
    """
    payments, oracle = fraud_oracle(truth)
    order = np.argsort(payments.number)
    numbers = payments.number[order]
    probability = np.zeros(len(rows))
    is_known = np.zeros(len(rows), dtype=bool)
    for column in ("transaction_id", "original_transaction_id"):
        number = np.array([_number(text) for text in rows[column].to_pylist()], dtype=np.int64)
        place = np.minimum(np.searchsorted(numbers, number), len(numbers) - 1)
        found = (numbers[place] == number) & ~is_known
        probability[found] = oracle.score[order][place[found]]
        is_known |= found
    if not is_known.any():
        raise TruthError("the truth knows none of these transactions")
    return probability


def _number(transaction_id: str | None) -> int:
    """Of a transaction as the files name it; -1: of none."""
    digits = (transaction_id or "").removeprefix("TX")
    return int(digits) if digits.isdecimal() else -1


def default_oracle(
    lending: Lending, month: int, months: int = DEFAULT_MONTHS
) -> tuple[npt.NDArray[np.bool_], Oracle]:
    """(which borrowers, their probability of default within some months, what came of it) after a month."""
    borrowers, purses = lending.borrowers, lending.purses
    runs = (borrowers.granted < month) & (purses.owed[month] <= MOST_OWED)
    score = probability_of_default(
        borrowers, purses.income[month], purses.purse[month], purses.owed[month], months
    )
    label = purses.owed[month + months] >= DEFAULT
    return runs, Oracle(score[runs], label[runs])


def default_months(bank: Bank, months: int = DEFAULT_MONTHS) -> list[int]:
    """Months whose outcomes lie within the simulated days, four apart, the latest last."""
    last = months_of(bank) - 2 - months
    return sorted(month for month in range(last, 2, -4))


def default_ceiling(truth: Path, months: int = DEFAULT_MONTHS) -> dict[str, Any]:
    """Default within some months of loans that owe one instalment at most."""
    bank, parameters = read_identity(truth)
    lending = build_lending(bank, parameters)
    parts = [default_oracle(lending, month, months)[1] for month in default_months(bank, months)]
    if not parts:
        raise TruthError(f"the bank is too short for {months} months of outcomes: make it with more --days")
    joined = Oracle(np.concatenate([p.score for p in parts]), np.concatenate([p.label for p in parts]))
    return joined.figures(DEFAULT_BUDGET)


def default_ceiling_of_rows(
    truth: Path | Mapping[str, Path],
    predictions: Path,
    months: int = DEFAULT_MONTHS,
    write: Path | None = None,
) -> Ceiling:
    """The ceiling of default on exactly the rows of a predictions file, whatever they owe.

    Args:
        truth: a lender's truth folder; or one for each `client_id` of the predictions.
        predictions: Parquet with customer_id, as_of_date (month-ends), label (0/1), score (higher =
            likelier).
        months: of the label's window. Instalments fall due on the first fifteen days of a month, so 180 days
            from a month-end hold those of six months and no other.
        write: see `simulation.ceiling.judge`.

    Raises:
        TruthError: a customer or date is not in the truth, or a window reaches beyond the simulated days.
    """

    def of_rows(folder: Path, rows: pa.Table) -> Floats:
        return true_defaults(folder, rows["customer_id"], rows["as_of_date"], months)

    return judge(truth, predictions, of_rows, write)


def true_defaults(truth: Path, customer_id: Any, as_of_date: Any, months: int) -> Floats:
    """True probability of default within some months for each row of two Arrow columns.

    Raises:
        TruthError: a customer had no loan by the date, a date is no month-end, or a window reaches beyond the
            simulated days.
    """
    bank, parameters = read_identity(truth)
    lending = build_lending(bank, parameters)
    borrowers, purses = lending.borrowers, lending.purses
    position = {customer: number for number, customer in enumerate(borrowers.customer_id)}
    who = np.array([position.get(one, -1) for one in customer_id.to_pylist()], dtype=np.int64)
    days = as_of_date.cast(pa.date32()).to_pylist()
    if any((day + timedelta(days=1)).day != 1 for day in days):
        raise TruthError("the lender's hidden state is known at the ends of months only")
    month = np.array([(d.year - bank.start.year) * 12 + d.month - bank.start.month for d in days], np.int64)
    if ((month < 0) | (month + months >= months_of(bank) - 1)).any():
        raise TruthError(f"some windows of {months} months are outside the simulated days from {bank.start}")
    strangers = (who < 0) | (borrowers.granted[who] > month)
    if strangers.any():
        raise TruthError(f"{int(strangers.sum())} rows have a customer without a loan of this lender by then")
    probability = np.empty(len(who))
    for one in np.unique(month).tolist():
        rows = month == one
        hidden = (purses.income[one], purses.purse[one], purses.owed[one])
        probability[rows] = probability_of_default(borrowers, *hidden, months)[who[rows]]
    return probability


def purchase_ceiling_of_rows(
    truth: Path | Mapping[str, Path],
    predictions: Path,
    category: str,
    days: int = PURCHASE_DAYS,
    write: Path | None = None,
) -> Ceiling:
    """The ceiling of buying in a category on exactly the rows of a predictions file.

    Args:
        truth: a truth folder of a bank with purchases; or one for each `client_id` of the predictions.
        predictions: Parquet with customer_id, as_of_date, label (0/1), score (higher = likelier).
        category: as `parameters.CATEGORIES` calls it.
        days: of the label's window.
        write: see `simulation.ceiling.judge`.

    Raises:
        TruthError: no such category, a customer or date is not in the truth, or a window reaches beyond the
            simulated days.
    """
    if category not in (known := [one.name for one in CATEGORIES]):
        raise TruthError(f"nobody buys {category} here; the categories are {', '.join(known)}")

    def of_rows(folder: Path, rows: pa.Table) -> Floats:
        world = _world(folder)

        def of_day(day: int) -> Floats:
            return probability_of_purchase(world, day, days, category)

        customers = world.people.customer_id
        return of_customers_and_days(
            world.bank, customers, rows["customer_id"], rows["as_of_date"], days, of_day
        )

    return judge(truth, predictions, of_rows, write)


def spend_ceiling(truth: Path) -> dict[str, Any]:
    """Error that no forecast of a customer's next 30 days of spending can avoid, beside two naive ones.

    `wape` is the sum of absolute errors over the sum of what was spent.
    """
    world, payments = _world(truth), suspicion.read_payments(truth)
    genuine = payments.fraud == 0
    last = int(payments.day.max())
    sums = np.zeros((last + 1, len(world.people)))
    np.add.at(sums, (payments.day[genuine], payments.customer[genuine]), payments.rupees[genuine])
    totals = np.cumsum(sums, axis=0)
    parts = []
    for day in range(last - SPEND_DAYS, 120, -SPEND_DAYS):
        uses = world.people.signed_up < day - 90
        spent = totals[day + SPEND_DAYS] - totals[day]
        before = totals[day] - totals[day - SPEND_DAYS]
        quarter = (totals[day] - totals[day - 90]) / 3
        parts.append(
            np.stack([spent, expected_spend(world, day, SPEND_DAYS), before, quarter])[
                :, uses & (quarter > 0)
            ]
        )
    if not parts:
        raise TruthError("the bank is too short for a forecast: make it with more --days")
    spent, best, before, quarter = np.concatenate(parts, axis=1)

    def wape(forecast: Floats) -> float:
        return float(np.abs(spent - forecast).sum() / spent.sum())

    return {
        "rows": len(spent),
        "mean_spent": float(spent.mean()),
        "mean_expected": float(best.mean()),
        "wape": wape(best),
        "rmse": float(np.sqrt(np.mean((spent - best) ** 2))),
        "wape_last_30_days": wape(before),
        "wape_mean_of_90_days": wape(quarter),
    }


def life_ceiling(truth: Path) -> dict[str, Any]:
    """How far each life event of the last 90 days shows in purchases, for who knows everybody's tastes."""
    world, payments = _world(truth), suspicion.read_payments(truth)
    day = int(payments.day.max())
    return {kind.name.lower(): life_oracle(world, payments, kind, day).figures(LIFE_BUDGET) for kind in SHOWN}


def life_oracle(world: World, payments: Payments, kind: Life, as_of: int) -> Oracle:
    """Probability that an event came in the 90 days up to a date, given all payments until then; exact."""
    law, lives, days = LAWS[kind], world.lives, world.days.count
    seen = (payments.day <= as_of) & (payments.fraud == 0)
    customer, day, category = payments.customer[seen], payments.day[seen], payments.category[seen]
    usual = np.diff(world.people.tastes, axis=1, prepend=0.0)[customer]
    for other in SHOWN:
        if other != kind:
            share = lives.share[other] * lives.in_window(other, day, customer)
            usual = usual * (1 - share[:, None]) + share[:, None] * mixture(other)
    rows = np.arange(len(day))
    share, event = lives.share[kind], mixture(kind)[category]
    ratio = np.log1p(share * (event / usual[rows, category] - 1))
    sums = np.zeros((days + 1, len(world.people)))
    np.add.at(sums, (day + 1, customer), ratio)
    sums = np.cumsum(sums, axis=0)
    when = np.arange(days)
    weight = np.exp(sums[np.clip(when + law.tail, 0, days)] - sums[np.clip(when - law.lead, 0, days)])
    chance = lives.chance[kind]
    odds = weight * chance / days
    recent = (when > as_of - LIFE_DAYS) & (when <= as_of)
    score = odds[recent].sum(axis=0) / (1 - chance + odds.sum(axis=0))
    asked = (world.people.signed_up < as_of - 180) & (chance > 0) & world.latent.is_open[as_of]
    since = as_of - lives.day[kind]
    return Oracle(score[asked], ((since >= 0) & (since < LIFE_DAYS))[asked])


TASKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "fraud": fraud_ceiling,
    "default": default_ceiling,
    "spend": spend_ceiling,
    "life": life_ceiling,
}
