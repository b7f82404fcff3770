"""How hard the tasks are: every natural feature is tried as a threshold, and none may come near the
ceiling.

The features are made from the files, as somebody would who has nothing else; the ceiling from the truth.
Each task has an alert budget: the share of rows that may be alerted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulation.ceiling import WINDOW_DAYS, true_probabilities
from simulation.ceilings import DEFAULT_BUDGET, FRAUD_BUDGET, default_months, default_oracle, fraud_oracle
from simulation.files import make
from simulation.lender_files import Lending, build_lending
from simulation.parameters import Bank, Parameters
from simulation.thresholds import Reach, reach_of, recall_at
from simulation.truth import read_truth

Floats = npt.NDArray[np.float64]
SQL = Path(__file__).with_name("sql")
CHURN_BUDGET = 0.1
"""Share of customers that a campaign can reach."""
MONTH_ENDS = 4
SMALL = Bank(customers=1_000, start=date(2024, 1, 1), days=420, seed=7)
"""A bank on which the table takes less than a minute."""
BORROWERS = 6_000


@dataclass(frozen=True)
class Difficulty:
    """The table of one task, the furthest feature first.

    Attributes:
        task: its name.
        budget: share of rows that may be alerted.
        rows: number of rows; `positives` among them.
        reachable: recall at the budget of the true probability.
        reaches: what each feature reaches.
    """

    task: str
    budget: float
    rows: int
    positives: int
    reachable: float
    reaches: tuple[Reach, ...]


def measure_all(seed: int = SMALL.seed, difficulty: float = 0.5) -> list[Difficulty]:
    """Make a small bank and measure churn, fraud and default."""
    bank = replace(SMALL, seed=seed, difficulty=difficulty)
    with TemporaryDirectory() as folder:
        out = Path(folder)
        make(bank, out, through=bank.last_day + timedelta(days=WINDOW_DAYS))
        with connect(out / "files") as connection:
            tables = [churn(connection, out / "truth", bank), fraud(connection, out / "truth")]
    lender = build_lending(replace(bank, customers=BORROWERS, days=730), Parameters().at(difficulty))
    return [*tables, default(lender)]


def connect(files: Path) -> duckdb.DuckDBPyConnection:
    """Tables `customers`, `events` and `readable` (transactions without the malformed) of a bank's files."""
    connection = duckdb.connect()
    connection.execute("set threads = 2")
    for feed in ("transactions", "customers"):
        relation = connection.read_csv(str(files / f"{feed}_*.csv.gz"), header=True, all_varchar=True)
        relation.create(feed)
    connection.execute(
        """
        create table readable as
        select * replace (amount::decimal(18, 2) as amount, txn_time::timestamp as txn_time) from transactions
        where customer_id is not null and txn_time[6:7] <> '13' and not contains(amount, 'O')
        """
    )
    connection.read_json(str(files / "events_*.jsonl.gz")).create("events")
    return connection


def churn(connection: duckdb.DuckDBPyConnection, truth: Path, bank: Bank) -> Difficulty:
    """Churn at the last dates whose outcome is known."""
    dates = [bank.last_day - timedelta(days=30 * step) for step in range(MONTH_ENDS)]
    query = (SQL / "features_churn.sql").read_text()
    table = connection.execute(query, {"dates": dates}).to_arrow_table()
    score = true_probabilities(read_truth(truth), table["customer_id"], table["as_of_date"])
    label = table["label"].to_numpy().astype(np.bool_)
    return _measured(
        "churn", CHURN_BUDGET, label, score, _features(table, ("customer_id", "as_of_date", "label"))
    )


def fraud(connection: duckdb.DuckDBPyConnection, truth: Path) -> Difficulty:
    """Fraud among all payments that customers start."""
    table = connection.execute((SQL / "features_fraud.sql").read_text()).to_arrow_table()
    payments, oracle = fraud_oracle(truth)
    number = np.array([int(name[2:]) for name in table["txn_id"].to_pylist()])
    order = np.argsort(payments.number)
    place = order[np.searchsorted(payments.number, number, sorter=order)]
    features = _features(table, ("txn_id",))
    return _measured("fraud", FRAUD_BUDGET, oracle.label[place], oracle.score[place], features)


def default(lending: Lending) -> Difficulty:
    """Default within a year of loans that owe one instalment at most, at several month-ends."""
    parts = []
    for month in default_months(lending.bank):
        runs, oracle = default_oracle(lending, month)
        features = {name: values[runs] for name, values in _features_of_loans(lending, month).items()}
        parts.append((oracle, features))
    joined = {name: np.concatenate([features[name] for _, features in parts]) for name in parts[0][1]}
    label = np.concatenate([oracle.label for oracle, _ in parts])
    score = np.concatenate([oracle.score for oracle, _ in parts])
    return _measured("default", DEFAULT_BUDGET, label, score, joined)


def _features(table: pa.Table, others: tuple[str, ...]) -> dict[str, Floats]:
    names = [name for name in table.column_names if name not in others]
    return {name: table[name].to_numpy().astype(np.float64) for name in names}


def _features_of_loans(lending: Lending, month: int) -> dict[str, Floats]:
    """What the lender's files show of each loan at the end of a month."""
    of, purses, shown = lending.borrowers, lending.purses, lending.shown

    def last(values: npt.NDArray[np.generic], months: int) -> Floats:
        return values[max(0, month - months + 1) : month + 1].astype(np.float64)

    late = np.maximum(shown.late_days, 0)
    used = shown.used_elsewhere
    features = {
        "instalments_owed": purses.owed[month],
        "most_owed_12m": last(purses.owed, 12).max(axis=0),
        "months_without_payment_6m": last(purses.paid == 0, 6).sum(axis=0),
        "late_days_1m": late[month],
        "mean_late_days_6m": last(late, 6).mean(axis=0),
        "late_payments_12m": last(late > 0, 12).sum(axis=0),
        "used_elsewhere": used[month],
        "mean_used_elsewhere_6m": last(used, 6).mean(axis=0),
        "change_of_used_elsewhere_6m": used[month] - last(used, 6)[0],
        "balance_elsewhere": used[month] * of.limit_elsewhere,
        "limit_elsewhere": of.limit_elsewhere,
        "accounts_elsewhere": of.accounts_elsewhere,
        "arrears_elsewhere": shown.arrears_elsewhere[month],
        "arrears_elsewhere_6m": last(shown.arrears_elsewhere, 6).sum(axis=0),
        "support_contacts_6m": last(shown.contacts, 6).sum(axis=0),
        "logins_3m": last(shown.logins, 3).sum(axis=0),
        "instalment": of.instalment,
        "declared_income": of.declared_income,
        "instalment_to_income": of.instalment / of.declared_income,
        "principal": of.instalment * of.term,
        "term": of.term,
        "months_since_granted": month - of.granted,
        "birth_year": of.birth_year,
    }
    return {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}


def _measured(
    task: str, budget: float, label: npt.NDArray[np.bool_], score: Floats, features: Mapping[str, Floats]
) -> Difficulty:
    top = recall_at(score, label, budget)
    reaches = [reach_of(name, values, label, budget, top) for name, values in features.items()]
    reaches.sort(key=lambda reach: -reach.recall)
    return Difficulty(task, budget, len(label), int(label.sum()), top, tuple(reaches))


def as_text(tables: list[Difficulty]) -> str:
    """The tables for people."""
    lines = []
    for table in tables:
        lines += [
            f"{table.task}: {table.rows:,} rows, {table.positives:,} positive; reachable recall "
            f"{table.reachable:.3f} when {table.budget:.1%} may be alerted",
            f"  {'threshold on':34}{'alerted end':22}{'recall':>8}{'of the reachable':>18}",
        ]
        lines += [
            f"  {reach.feature:34}{reach.direction:22}{reach.recall:8.3f}{reach.share:18.0%}"
            for reach in table.reaches
        ]
        lines.append("")
    return "\n".join(lines)
