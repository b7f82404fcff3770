"""The true probability of leaving: calibrated, and better than what the files show."""

import json
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score

from simulation.__main__ import main
from simulation.ceiling import compute_ceiling, true_probabilities
from simulation.ceilings import (
    default_ceiling,
    fraud_ceiling_of_rows,
    fraud_oracle,
    purchase_ceiling_of_rows,
    read_identity,
    true_defaults,
    true_thefts,
)
from simulation.days import Days
from simulation.labels import standing_reports
from simulation.latent import State, probability_of_silence
from simulation.lender_files import build_lending
from simulation.parameters import CATEGORIES, Bank, Parameters
from simulation.suspicion import read_payments
from simulation.truth import TruthError, read_truth, write_identity
from simulation.world import build_world

LABELLED = """
    with dates as (select unnest(?::date[]) as as_of_date),
    started as (
        select distinct customer_id, txn_time::date as day from readable
        where amount < 0 and pay_mode not in ('NACH', 'SI', 'CHG', 'INT')
    ),
    closings as (select customer_id, max(closed_on)::date as closed_on from customers group by 1)
    select
        customer_id, as_of_date,
        (count(*) filter (where day > as_of_date and day <= as_of_date + 60) = 0)::integer as label,
        min(as_of_date - day) filter (where day <= as_of_date) as score
    from started cross join dates inner join closings using (customer_id)
    where closed_on is null or closed_on > as_of_date
    group by 1, 2
    having count(*) filter (where day <= as_of_date and day > as_of_date - 90) > 0
    order by 1, 2
"""


@pytest.fixture(scope="module")
def predictions(files: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels as the project defines them, taken from the files alone; the score is recency."""
    first = date(2024, 4, 30)
    days = [first + timedelta(days=30 * step) for step in range(7)]
    path = tmp_path_factory.mktemp("predictions") / "recency.parquet"
    pq.write_table(files.execute(LABELLED, [days]).to_arrow_table(), path)
    return path


def test_ceiling_stands_above_recency_and_below_one(bank_folder: Path, predictions: Path) -> None:
    """Catches a bank whose leavers everybody sees, and one in which even the truth does not help."""
    ceiling = compute_ceiling(bank_folder / "truth", predictions)
    assert ceiling.rows > 1_500
    assert 0.02 < ceiling.base_rate < 0.12
    assert ceiling.model_average_precision < 0.5
    assert ceiling.model_average_precision + 0.1 < ceiling.average_precision < 0.95


def test_probability_is_calibrated_against_labels_of_the_files(bank_folder: Path, predictions: Path) -> None:
    """Catches a payment outside the active days, or a law that only the simulation follows."""
    table = pq.read_table(predictions)
    truth = read_truth(bank_folder / "truth")
    probability = true_probabilities(truth, table["customer_id"], table["as_of_date"])
    label = table["label"].to_numpy()
    # Windows overlap, so neighbouring dates of a customer are not independent: a wide margin of 4 sigma.
    for low, high in ((0.0, 0.02), (0.02, 0.2), (0.2, 0.7), (0.7, 1.01), (0.0, 1.01)):
        rows = (probability >= low) & (probability < high)
        margin = 4 * np.sqrt((probability[rows] * (1 - probability[rows])).sum()) + 1
        assert abs(label[rows].sum() - probability[rows].sum()) <= margin, (low, high)


def test_probability_is_calibrated_on_the_chain_alone() -> None:
    """Catches small errors of the recursion that a few hundred customers in files would hide."""
    bank = Bank(customers=20_000, start=date(2024, 1, 1), days=60, seed=29)
    world = build_world(bank, Parameters())
    day = 100
    state, causes = world.latent.state[day], world.latent.causes[day].astype(np.int64)
    probability = probability_of_silence(world.chain, day, 60, state, causes)
    silent = ~world.latent.is_visit[day + 1 : day + 61].any(axis=0)
    joined = world.people.signed_up <= day
    for code in range(State.CLOSED):
        rows = (state == code) & joined
        margin = 3.5 * np.sqrt((probability[rows] * (1 - probability[rows])).sum())
        assert rows.sum() > 20
        assert abs(silent[rows].sum() - probability[rows].sum()) <= margin, code
    assert (probability[(state == State.CLOSED) & joined] == 1).all()


def test_ceiling_command_prints_the_same_precision_as_the_library(
    bank_folder: Path, predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a command line that drifts away from the function, or another definition of the metric."""
    truth = bank_folder / "truth"
    assert main(["ceiling", "--truth", str(truth), "--predictions", str(predictions)]) == 0
    printed = json.loads(capsys.readouterr().out)
    table = pq.read_table(predictions)
    probability = true_probabilities(read_truth(truth), table["customer_id"], table["as_of_date"])
    assert printed["average_precision"] == average_precision_score(table["label"].to_numpy(), probability)
    assert printed["rows"] == table.num_rows


def test_the_true_probabilities_can_be_laid_beside_a_model(
    bank_folder: Path, predictions: Path, tmp_path: Path
) -> None:
    """Catches a file for `make evaluate CEILING=` with other rows, or with the model's own scores."""
    truth, file = bank_folder / "truth", tmp_path / "ceiling.parquet"
    given = ["ceiling", "--truth", str(truth), "--predictions", str(predictions), "--write", str(file)]
    assert main(given) == 0
    written, rows = pq.read_table(file), pq.read_table(predictions)
    assert written.drop_columns(["score"]).equals(rows.drop_columns(["score"]))
    probability = true_probabilities(read_truth(truth), rows["customer_id"], rows["as_of_date"])
    assert written["score"].to_pylist() == probability.tolist()


def test_rows_that_the_truth_does_not_know_are_refused(bank_folder: Path) -> None:
    """Catches a ceiling computed on another bank's rows, or on a window that was never simulated."""
    truth = read_truth(bank_folder / "truth")
    known = pa.array([truth.customer_id[0]])
    with pytest.raises(TruthError, match="never had"):
        true_probabilities(truth, pa.array(["nobody"]), pa.array([date(2024, 5, 31)]))
    with pytest.raises(TruthError, match="outside"):
        true_probabilities(truth, known, pa.array([date(2025, 2, 1)]))


def test_truth_of_no_bank_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a stack trace where a person mistyped a folder."""
    arguments = ["ceiling", "--truth", str(tmp_path), "--predictions", str(tmp_path / "none.parquet")]
    pq.write_table(
        pa.table({"customer_id": ["x"], "as_of_date": [date(2024, 1, 1)], "label": [1], "score": [0.5]}),
        tmp_path / "none.parquet",
    )
    assert main(arguments) == 1
    assert "make the bank first" in capsys.readouterr().err


def test_monthly_payments_fall_due_once_a_month() -> None:
    """Catches a payment that a weekend shift moves out of or twice into the calendar."""
    days = Days(Bank(customers=1, start=date(2024, 1, 1), days=246, seed=1))  # 246 + 120 days: the leap year
    due = days.falls_due[:, 1:, :].sum(axis=2)
    assert set(due[0].ravel().tolist()) == {12}
    assert due.min() >= 11 and due.max() <= 13


LENDER = Bank(customers=3_000, start=date(2024, 1, 1), days=730, seed=31)
MONTH_ENDS = {date(2024, 9, 30): 8, date(2025, 3, 31): 14}
"""As-of dates, and the number of their month."""


@pytest.fixture(scope="module")
def lender_truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Truth folder of a lender: who it is; the rest is drawn again from that."""
    folder = tmp_path_factory.mktemp("lender") / "truth"
    folder.mkdir()
    write_identity(folder, LENDER, Parameters())
    return folder


@pytest.fixture(scope="module")
def borrowers(lender_truth: Path) -> pa.Table:
    """Everybody who owes a loan and is not in default, with what came of it within six months."""
    lending = build_lending(LENDER, Parameters())
    rows = []
    for day, month in MONTH_ENDS.items():
        owed = lending.purses.owed
        runs = (lending.borrowers.granted <= month) & (owed[month] < 4)
        for who in np.flatnonzero(runs).tolist():
            row = {
                "client_id": "lender",
                "customer_id": lending.borrowers.customer_id[who],
                "as_of_date": day,
            }
            label, score = int(owed[month + 6, who] >= 4), float(owed[month, who])
            rows.append(row | {"label": label, "score": score})
    return pa.Table.from_pylist(rows)


def test_the_ceiling_of_default_stands_on_the_rows_of_the_model(
    lender_truth: Path, borrowers: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a window of another length, months that are off by one, rows of other borrowers."""
    predictions = tmp_path / "owed.parquet"
    pq.write_table(borrowers, predictions)
    arguments = ["ceiling", "--task", "default", "--months", "6", "--predictions", str(predictions)]
    assert main([*arguments, "--truth", f"lender={lender_truth}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == borrowers.num_rows
    assert found["model_average_precision"] + 0.05 < found["average_precision"] < 0.97
    # Calibrated in the large: a window of one month more or less would expect a sixth more or less.
    expected, n = found["expected_base_rate"], found["rows"]
    assert abs(found["base_rate"] - expected) < 3 * np.sqrt(expected * (1 - expected) / n)
    longer = true_defaults(lender_truth, borrowers["customer_id"], borrowers["as_of_date"], 12)
    assert longer.mean() > 1.5 * expected
    pq.write_table(borrowers.slice(0, 3), predictions)
    assert main([*arguments, "--truth", f"other={lender_truth}"]) == 1
    assert "truth was not given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("customer", "day", "months", "message"),
    [
        ("nobody", date(2024, 9, 30), 6, "without a loan"),
        (None, date(2024, 9, 29), 6, "ends of months"),
        (None, date(2024, 9, 30), 30, "outside"),
        (None, date(2023, 12, 31), 6, "outside"),
    ],
)
def test_borrowers_whom_the_lender_does_not_know_are_refused(
    lender_truth: Path, borrowers: pa.Table, customer: str | None, day: date, months: int, message: str
) -> None:
    """Catches a ceiling of another lender's rows, of a day within a month, or of months never simulated."""
    one = customer or borrowers["customer_id"][0].as_py()
    with pytest.raises(TruthError, match=message):
        true_defaults(lender_truth, pa.array([one]), pa.array([day]), months)


def test_the_ceiling_of_default_takes_another_window(lender_truth: Path) -> None:
    """Catches `--months` that changes nothing, or the label and not the probability."""
    year, half = default_ceiling(lender_truth), default_ceiling(lender_truth, 6)
    assert year["expected_base_rate"] > 1.4 * half["expected_base_rate"]
    assert abs(half["base_rate"] - half["expected_base_rate"]) < 0.01
    assert main(["ceiling", "--task", "default", "--months", "0", "--truth", str(lender_truth)]) == 1


def test_the_ceiling_of_fraud_is_that_of_the_rows_given(bank_folder: Path, tmp_path: Path) -> None:
    """Catches probabilities of other payments, a posting that nobody knows, and a stolen salary."""
    truth = bank_folder / "truth"
    payments, oracle = fraud_oracle(truth)
    rows = np.concatenate([np.flatnonzero(payments.fraud > 0), np.arange(0, len(payments.number), 50)])[::-1]
    numbers = [f"TX{number}" for number in payments.number[rows]]
    table = pa.table(
        {
            "transaction_id": [*numbers, "TX999999999999", "SALARY-1"],
            "original_transaction_id": [*[None] * len(rows), numbers[0], None],
            "label": [*(payments.fraud[rows] > 0).astype(int).tolist(), 0, 0],
            "score": [0.5] * (len(rows) + 2),
        }
    )
    expected = [*oracle.score[rows].tolist(), oracle.score[rows[0]], 0.0]
    assert true_thefts(truth, table).tolist() == expected
    pq.write_table(table, tmp_path / "rows.parquet")
    found = fraud_ceiling_of_rows(truth, tmp_path / "rows.parquet")
    assert found.rows == len(rows) + 2
    assert found.model_average_precision == pytest.approx(found.base_rate)
    assert found.average_precision > 3 * found.base_rate
    with pytest.raises(TruthError, match="none of these"):
        true_thefts(truth, table.slice(len(rows) + 1))


BUYERS = """
    with dates as (select unnest(?::date[]) as as_of_date)
    select customers.customer_id, dates.as_of_date,
        coalesce(bool_or(payments.day between dates.day + 1 and dates.day + 30), false)::integer as label,
        0.5 as score
    from (select *, as_of_date - date '2024-01-01' as day from dates) as dates
    cross join people as customers
    left join payments on payments.customer = customers.number
    where customers.signed_up <= dates.day
    group by 1, 2
    order by 1, 2
"""


@pytest.fixture(scope="module")
def buyers(bank_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who buys for the home within 30 days of a date, by the payments that were made."""
    truth = bank_folder / "truth"
    world = build_world(*read_identity(truth))
    number = [category.name for category in CATEGORIES].index("home_improvement")
    made = read_payments(truth)
    wanted = made.category == number
    payments = pa.table({"customer": made.customer[wanted], "day": made.day[wanted]})
    people = pa.table(
        {
            "customer_id": world.people.customer_id,
            "number": range(len(world.people)),
            "signed_up": world.people.signed_up,
        }
    )
    path = tmp_path_factory.mktemp("buyers") / "rows.parquet"
    with duckdb.connect() as connection:
        connection.register("payments", payments)
        connection.register("people", people)
        days = [date(2024, 3, 31) + timedelta(days=30 * step) for step in range(6)]
        pq.write_table(connection.execute(BUYERS, [days]).to_arrow_table(), path)
    return path


def test_the_probability_of_a_purchase_is_calibrated(bank_folder: Path, buyers: Path, tmp_path: Path) -> None:
    """Catches tastes, life events or active days that the payments do not follow."""
    told = tmp_path / "true.parquet"
    found = purchase_ceiling_of_rows(bank_folder / "truth", buyers, "home_improvement", write=told)
    rows = pq.read_table(told)
    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.01), (0.0, 1.01)):
        of = (score >= low) & (score < high)
        assert of.sum() > 50
        margin = 4 * np.sqrt((score[of] * (1 - score[of])).sum()) + 1
        assert abs(label[of].sum() - score[of].sum()) <= margin, (low, high)
    assert found.average_precision > 2 * found.base_rate
    with pytest.raises(TruthError, match="nobody buys hats here"):
        purchase_ceiling_of_rows(bank_folder / "truth", buyers, "hats")


def test_days_that_pass_for_silent_make_silence_likelier(bank_folder: Path) -> None:
    """Catches a purchase of one category that is taken for any, and a day that passes for none."""
    truth = read_truth(bank_folder / "truth")
    given = (truth.chain, 200, 30, truth.state[200], truth.causes[200])
    silence = probability_of_silence(*given)
    passes = np.zeros((30, len(silence)))
    assert np.array_equal(probability_of_silence(*given, passes), silence)
    some = probability_of_silence(*given, passes + 0.9)
    assert (some >= silence).all() and (some > silence).mean() > 0.5
    assert np.allclose(probability_of_silence(*given, passes + 1), 1)


def test_reports_tell_of_a_theft_late_and_not_always(bank_folder: Path, tmp_path: Path) -> None:
    """Catches a true probability of theft that is laid beside labels which know less."""
    truth = bank_folder / "truth"
    theft = read_identity(truth)[1].theft
    assert standing_reports(theft, 0) == (0.0, 0.0)
    assert standing_reports(theft, 12)[0] == pytest.approx(theft.reported_share / 2)
    assert standing_reports(theft, 60) == pytest.approx((theft.reported_share, theft.mistaken_share / 2))
    payments, oracle = fraud_oracle(truth)
    stolen = np.flatnonzero(payments.fraud > 0)
    table = pa.table(
        {
            "transaction_id": [f"TX{number}" for number in payments.number[stolen]],
            "original_transaction_id": pa.nulls(len(stolen), pa.string()),
            "label": [1] * len(stolen),
            "score": [0.5] * len(stolen),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    fraud_ceiling_of_rows(truth, tmp_path / "rows.parquet", tmp_path / "true.parquet", judged_after=12)
    told = pq.read_table(tmp_path / "true.parquet")["score"].to_numpy()
    found, mistaken = standing_reports(theft, 12)
    assert told == pytest.approx(oracle.score[stolen] * (found - mistaken) + mistaken)


def test_reports_by_a_day_tell_more_of_older_payments(bank_folder: Path, tmp_path: Path) -> None:
    """Catches an evaluation's truth that knows of yesterday's payment what is known of last month's."""
    truth = bank_folder / "truth"
    theft = read_identity(truth)[1].theft
    payments, oracle = fraud_oracle(truth)
    stolen = np.flatnonzero(payments.fraud > 0)[:3]
    judged, after = date(2025, 3, 31), (40, 12, -1)
    table = pa.table(
        {
            "transaction_id": [f"TX{number}" for number in payments.number[stolen]],
            "original_transaction_id": pa.nulls(len(stolen), pa.string()),
            "day": [judged - timedelta(days=days) for days in after],
            "label": [1] * len(stolen),
            "score": [0.5] * len(stolen),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    fraud_ceiling_of_rows(truth, tmp_path / "rows.parquet", tmp_path / "true.parquet", judged_on=judged)
    told = pq.read_table(tmp_path / "true.parquet")["score"].to_pylist()
    for score, days, one in zip(told, after, stolen, strict=True):
        found, mistaken = standing_reports(theft, max(days, 0))
        assert score == pytest.approx(oracle.score[one] * (found - mistaken) + mistaken)
    assert told[0] > told[1] > told[2] == 0
