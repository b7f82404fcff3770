"""The truth beside the files: labels as configured, drift where it was planted, calibrated ceilings."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from simulation.ceilings import default_months, default_oracle, fraud_oracle, life_oracle, spend_ceiling
from simulation.drift import DRIFTS, Drift
from simulation.files import make
from simulation.labels import standing_reports
from simulation.latent import State
from simulation.lender_files import build_lending
from simulation.life import SHOWN
from simulation.outlook import expected_visits
from simulation.parameters import Bank, Parameters
from simulation.suspicion import read_payments
from simulation.truth import read_truth
from simulation.world import build_world


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[float, ...]:
    row = connection.sql(query).fetchone()
    assert row is not None
    return tuple(float(value) for value in row)


@pytest.fixture(scope="module")
def reports(bank_folder: Path) -> duckdb.DuckDBPyConnection:
    """Tables `reports` (the labels' files) and `payments` (the truth of them, with their ids)."""
    connection = duckdb.connect()
    connection.read_csv(str(bank_folder / "files" / "labels_*.csv.gz"), header=True, all_varchar=True).create(
        "reports"
    )
    payments = connection.read_parquet(str(bank_folder / "truth" / "payments" / "*.parquet"))
    payments.project("*, 'TX' || number as txn_id").create("payments")
    return connection


def test_labels_are_late_noisy_and_incomplete_as_configured(reports: duckdb.DuckDBPyConnection) -> None:
    """Catches labels that a model could trust: all thefts, at once, and nothing else."""
    theft = Parameters().theft
    stolen, reported, wait, longest = _one(
        reports,
        """
        with days as (
            select customer, day, bool_or(said.txn_id is not null) as is_reported,
                max(said.reported_at::date - (date '2024-01-01' + payments.file_day::integer)) as wait
            from payments left join reports as said on payments.txn_id = said.txn_id and said.value = 'yes'
            where fraud > 0 and file_day < 280 group by 1, 2
        )
        select count(*), count(*) filter (is_reported), median(wait), max(wait) from days
        """,
    )
    assert stolen > 40
    margin = 4 * np.sqrt(theft.reported_share * (1 - theft.reported_share) / stolen)
    assert abs(reported / stolen - theft.reported_share) < margin
    assert 6 < wait < 24
    assert longest <= theft.report_days_most
    (soon,) = _one(
        reports,
        """
        select count(*) from (
            select distinct customer, day
            from payments inner join reports as said on payments.txn_id = said.txn_id and said.value = 'yes'
            where fraud > 0 and file_day < 280
                and said.reported_at::date <= date '2024-01-01' + payments.file_day::integer + 12
        )
        """,
    )
    by_the_law, _ = standing_reports(theft, 12)
    assert abs(soon / stolen - by_the_law) < 4 * np.sqrt(by_the_law * (1 - by_the_law) / stolen)
    mistaken, withdrawn = _one(
        reports,
        """
        select count(*) filter (value = 'yes' and fraud = 0), count(*) filter (value = 'no')
        from reports inner join payments using (txn_id)
        """,
    )
    genuine = _one(reports, "select count(*) from payments where fraud = 0 and category not in (11, 12)")[0]
    expected = genuine * theft.mistaken_share
    assert 0 < mistaken <= expected + 4 * np.sqrt(expected) + 1
    assert withdrawn <= mistaken


def test_theft_happens_on_days_on_which_the_owner_pays_too(reports: duckdb.DuckDBPyConnection) -> None:
    """Catches thefts that make a customer look active who is silent: the churn ceiling would be wrong."""
    lonely = _one(
        reports,
        """
        select count(*) from (
            select customer, day from payments group by 1, 2 having bool_and(fraud > 0)
        )
        """,
    )[0]
    assert lonely == 0


def test_suspicion_is_calibrated(bank_folder: Path) -> None:
    """Catches a density that the generator does not follow: its ceiling would be no ceiling."""
    payments, oracle = fraud_oracle(bank_folder / "truth")
    stolen = payments.fraud > 0
    assert stolen.sum() > 100
    for low, high in ((0.0, 0.05), (0.05, 0.5), (0.5, 1.01), (0.0, 1.01)):
        rows = (oracle.score >= low) & (oracle.score < high)
        # Payments of an attack come together: the margin is wide.
        margin = (
            6 * np.sqrt((oracle.score[rows] * (1 - oracle.score[rows])).sum()) + 0.15 * stolen[rows].sum()
        )
        assert abs(stolen[rows].sum() - oracle.score[rows].sum()) <= margin, (low, high)


def test_default_is_calibrated_and_follows_from_the_purse() -> None:
    """Catches a recursion that differs from the simulated months, and defaults that fall from the sky."""
    lending = build_lending(Bank(10_000, date(2024, 1, 1), 730, seed=31), Parameters())
    runs, oracle = default_oracle(lending, default_months(lending.bank)[-1])
    assert runs.sum() > 4_000
    for low, high in ((0.0, 0.02), (0.02, 0.1), (0.1, 0.4), (0.4, 1.01), (0.0, 1.01)):
        rows = (oracle.score >= low) & (oracle.score < high)
        margin = 4 * np.sqrt((oracle.score[rows] * (1 - oracle.score[rows])).sum()) + 1
        assert abs(oracle.label[rows].sum() - oracle.score[rows].sum()) <= margin, (low, high)
    purses = lending.purses
    misses = (purses.owed[1:] > purses.owed[:-1]) & (purses.owed[:-1] < 4)
    could = misses & (purses.purse[1:] > 0)
    assert (could & ~purses.forgot[1:]).sum() == 0, "who has money and does not forget pays"


def test_life_events_show_as_much_as_the_ceiling_says(bank_folder: Path) -> None:
    """Catches windows that the payments do not follow: then the probabilities would not add up."""
    truth = bank_folder / "truth"
    world = build_world(read_truth(truth).bank, Parameters())
    payments = read_payments(truth)
    oracles = [life_oracle(world, payments, kind, day) for kind in SHOWN for day in (200, 290)]
    score = np.concatenate([oracle.score for oracle in oracles])
    label = np.concatenate([oracle.label for oracle in oracles])
    assert label.sum() > 10
    assert abs(label.sum() - score.sum()) <= 4 * np.sqrt((score * (1 - score)).sum()) + 1
    assert score[label].mean() > 5 * score[~label].mean()


def test_expected_active_days_are_those_that_come() -> None:
    """Catches an outlook on another chain than the one that is simulated."""
    world = build_world(Bank(customers=20_000, start=date(2024, 1, 1), days=60, seed=29), Parameters())
    day, latent = 100, world.latent
    visits = expected_visits(world.chain, day, 30, latent.state[day], latent.causes[day].astype(np.int64))
    came = latent.is_visit[day + 1 : day + 31].sum(axis=0)
    for code in (State.PAUSED_2, State.FADING_2, State.LEFT):
        rows = latent.state[day] == code
        assert came[rows].mean() == pytest.approx(visits[rows].mean(), rel=0.15, abs=0.03), code


def test_no_forecast_beats_the_outlook(bank_folder: Path) -> None:
    """Catches an irreducible error above that of looking at last month."""
    ceiling = spend_ceiling(bank_folder / "truth")
    assert ceiling["wape"] < 0.9 * ceiling["wape_mean_of_90_days"] < ceiling["wape_last_30_days"]
    assert ceiling["mean_expected"] == pytest.approx(ceiling["mean_spent"], rel=0.08)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, duckdb.DuckDBPyConnection]:
    """Table `t` of the same small bank without drift and with each kind from day 60 on."""
    bank = Bank(customers=250, start=date(2024, 1, 1), days=120, seed=5)
    tables = {}
    for kind in ("none", "income", "prices", "online", "merchants", "fraud", "city_missing"):
        drifts = () if kind == "none" else (Drift(kind, 3.0 if kind == "fraud" else 0.5, 60),)
        out = tmp_path_factory.mktemp(kind)
        make(replace(bank, drifts=drifts), out)
        tables[kind] = duckdb.connect()
        tables[kind].read_csv(
            str(out / "files" / "transactions_*.csv.gz"), header=True, all_varchar=True
        ).project(
            "*, try_cast(amount as double) as a, (txn_time >= '2024-03-01')::integer as is_later"
        ).create("t")
        tables[kind].read_parquet(str(out / "truth" / "payments" / "*.parquet")).create("p")
    return tables


@pytest.mark.parametrize(
    ("kind", "measure", "least"),
    [
        ("income", "median(a) filter (txn_type = 'SAL')", 1.4),
        ("prices", "median(-a) filter (txn_type = 'PUR')", 1.35),
        ("online", "avg((channel = 'ECOM')::integer) filter (pay_mode = 'CARD')", 1.2),
        ("city_missing", "avg((city is null)::integer) filter (txn_type = 'PUR')", 5.0),
    ],
)
def test_planted_drift_shows_from_its_day_on(
    drifted: dict[str, duckdb.DuckDBPyConnection], kind: str, measure: str, least: float
) -> None:
    """Catches a drift that changes nothing, or that reaches back before its day."""
    query = "select coalesce({measure}, 0) + 0.0001 from t where is_later = {later}"
    before, after = (_one(drifted[kind], query.format(measure=measure, later=later))[0] for later in (0, 1))
    calm, calm_after = (
        _one(drifted["none"], query.format(measure=measure, later=later))[0] for later in (0, 1)
    )
    assert before == pytest.approx(calm, rel=0.02, abs=0.005)
    assert after / before > least * calm_after / calm * 0.93


def test_drift_of_thefts_and_of_merchants_shows(drifted: dict[str, duckdb.DuckDBPyConnection]) -> None:
    """Catches a shift of fraud that leaves its kinds as they were, and newcomers that everybody knew."""
    query = "select count(*) from p where fraud = 2 and day >= 60"
    assert _one(drifted["fraud"], query)[0] > 3 * max(_one(drifted["none"], query)[0], 1)
    unknown = """
        select avg((merchant_id not in (
            select merchant_id from t where is_later = 0 and merchant_id is not null))::integer) from t
            where is_later = 1 and merchant_id is not null
    """
    assert _one(drifted["merchants"], unknown)[0] > 1.5 * _one(drifted["none"], unknown)[0]


def test_a_harder_bank_is_harder() -> None:
    """Catches a dial that turns nothing, or the wrong way."""
    easy, hard = Parameters().at(0.0), Parameters().at(1.0)
    assert Parameters().at(0.5) == Parameters()
    assert easy.theft.like_the_owner < Parameters().theft.like_the_owner < hard.theft.like_the_owner
    assert easy.leaving.pause_onset < hard.leaving.pause_onset
    assert easy.life_share > hard.life_share
    assert easy.lending_noise < hard.lending_noise


@pytest.mark.parametrize("text", ["prices", "weather:0.2:30", "prices:much:30", "prices:0.2"])
def test_a_drift_that_cannot_be_read_is_refused(text: str) -> None:
    """Catches a typing mistake that makes a bank without drift."""
    with pytest.raises(ValueError, match=r"write kind:size:day"):
        Drift.parse(text)
    assert set(DRIFTS) >= {"income", "prices"}


def test_truth_of_life_names_kind_and_date(bank_folder: Path) -> None:
    """Catches a table of events that nothing can be compared with."""
    lives = pq.read_table(bank_folder / "truth" / "lives.parquet")
    assert lives.column_names == ["customer_id", "kind", "date"]
    assert set(lives["kind"].to_pylist()) == {
        "marriage",
        "child",
        "move",
        "home_purchase",
        "job_change",
        "retirement",
        "loan",
    }
