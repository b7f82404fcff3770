"""Transaction features: what the reference says, each version once, on the first date that knows it."""

import math
from itertools import pairwise
from pathlib import Path

import pandas as pd

from tests.dbt.factory import Warehouse
from tests.dbt.payments import CLIENT, DATES, PaymentsBank
from tests.dbt.transaction_recomputation import vectors

VECTORS = "select * from features.features_transactions order by client_id, transaction_key, as_of_date"


def test_transaction_features_equal_a_second_implementation(
    described: Warehouse, payments: PaymentsBank
) -> None:
    """A changed window, tie, null rule or population; a version described on another date."""
    found = {
        (row["transaction_key"], row["as_of_date"].date()): row
        for row in described.frame(VECTORS).to_dict("records")
    }
    expected = {
        (key, day): vector
        for previous, day in pairwise([None, *DATES])
        if day
        for key, vector in vectors(payments, day, previous).items()
    }
    assert set(found) == set(expected)
    wrong = [
        (*key, name, found[key][name], value)
        for key, vector in expected.items()
        for name, value in vector.items()
        if not _is_equal(found[key][name], value)
    ]
    assert not wrong
    missing = {name for vector in expected.values() for name, value in vector.items() if value is None}
    assert missing >= {"hour_of_day", "is_away", "seconds_since_previous", "spend_24h_ratio"}


def _is_equal(found: float, expected: float | None) -> bool:
    if expected is None:
        return bool(pd.isna(found))
    return math.isclose(found, expected, rel_tol=2e-6, abs_tol=1e-6)


def test_nights_describe_transactions_as_a_whole_build_does(
    described: Warehouse, night_by_night: Warehouse
) -> None:
    """Windows over many dates that differ from looking at one date's transactions one by one."""
    pd.testing.assert_frame_equal(night_by_night.frame(VECTORS), described.frame(VECTORS))


def test_a_posting_leaves_the_row_of_its_pending_transaction(night_by_night: Warehouse) -> None:
    """A row overwritten by the version that came after it: a score without its features."""
    both = night_by_night.frame(
        "select pending.as_of_date < posted.as_of_date as is_earlier"
        " from features.features_transactions as pending"
        " join features.features_transactions as posted"
        " on posted.transaction_key = pending.transaction_key || 'p'"
    )
    assert len(both) and both.is_earlier.all()
    twice = night_by_night.frame(
        "select count(distinct version) as versions from features.features_transactions"
        " group by transaction_key having count(*) > 1"
    )
    assert (twice.versions == 2).any(), "corrected after it was described"


def test_a_night_writes_only_its_own_transactions(home: Path, night_by_night: Warehouse) -> None:
    """A delete that is wider than what is inserted, or rows described again when nothing is new."""
    night = Warehouse(home, "payments_again", night_by_night)
    night.execute("update features.features_transactions set amount = -1")
    night.set_dates(DATES[:-1], tonight=DATES[-1:])
    night.dbt(
        "run",
        "--select",
        "int_dates_to_build",
        "int_dates_in_order",
        "int_days_in_order",
        "int_payments_seen",
        "features_transactions",
    )
    old = night.frame("select distinct as_of_date from features.features_transactions where amount < 0")
    assert sorted(day.date() for day in old.as_of_date) == DATES[:-1]
    new = night.frame(
        f"select count(*) as n from features.features_transactions where as_of_date = date '{DATES[-1]}'"
    )
    before = night_by_night.frame(
        f"select count(*) as n from features.features_transactions where as_of_date = date '{DATES[-1]}'"
    )
    assert new.n.tolist() == before.n.tolist()


def test_reports_that_name_the_banks_own_id_reach_the_transaction(described: Warehouse) -> None:
    """A label joined by an id that no transaction has as its key: every rate would be 0."""
    unresolved = described.frame(
        "select count(*) as n from staging.stg_labels as l anti join staging.stg_transactions as t"
        " on l.entity_id = t.transaction_key"
    )
    assert unresolved.n.tolist() == [0]
    stated = described.frame("select count(*) as n from staging.stg_labels where stated_id like 'bank-%'")
    assert stated.n[0] > 20
    rates = described.frame(
        "select max(merchant_fraud_rate_28d) as most from features.features_transactions"
        f" where client_id = '{CLIENT}'"
    )
    assert rates.most[0] > 0.02
