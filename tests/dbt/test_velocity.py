"""Velocity features: what the reference says, for the rows of the transaction features, by what was known."""

import math
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from tests.dbt.factory import Warehouse, cutoff
from tests.dbt.payments import CLIENT, DATES, LAST, PaymentsBank
from tests.dbt.velocity_recomputation import velocities

KINDS = ("--resource-type", "model", "--resource-type", "seed")
BUILD = ("build", "--select", "+features_velocity", "features_transactions", *KINDS)
VECTORS = "select * from features.features_velocity order by client_id, transaction_key, as_of_date"
OTHER_KEYS = """
    (select client_id, transaction_key, version, as_of_date from features.{}
     except all select client_id, transaction_key, version, as_of_date from features.{})
"""


def test_velocity_features_equal_a_second_implementation(
    described: Warehouse, payments: PaymentsBank
) -> None:
    """A changed window, tie, null rule, card or place; a row or label that the date did not know."""
    found = {
        (row["transaction_key"], row["as_of_date"].date()): row
        for row in described.frame(VECTORS).to_dict("records")
    }
    expected = {
        (key, day): vector
        for previous, day in pairwise([None, *DATES])
        if day
        for key, vector in velocities(payments, day, previous).items()
    }
    assert set(found) == set(expected)
    wrong = [
        (*key, name, found[key][name], value)
        for key, vector in expected.items()
        for name, value in vector.items()
        if not _is_equal(found[key][name], value)
    ]
    assert not wrong
    frame = pd.DataFrame(expected.values())
    assert set(frame.columns) == set(next(iter(found.values()))) - {
        *("client_id", "transaction_key", "version", "as_of_date", "_definition_hash")
    }
    assert (frame.nunique() > 1).all(), "a feature that never differs proves nothing"
    assert set(frame.columns[frame.isna().any()]) == set(frame.columns) - {
        *("card_transactions_7d", "card_amount_7d")
    }


def _is_equal(found: float, expected: float | None) -> bool:
    if expected is None:
        return bool(pd.isna(found))
    return math.isclose(found, expected, rel_tol=2e-6, abs_tol=1e-6)


@pytest.mark.parametrize("name", ["described", "night_by_night"])
def test_each_described_transaction_has_its_velocities(name: str, request: pytest.FixtureRequest) -> None:
    """A join that loses or doubles rows: scores without features, or none for a payment by transfer."""
    warehouse: Warehouse = request.getfixturevalue(name)
    for tables in (
        ("features_transactions", "features_velocity"),
        ("features_velocity", "features_transactions"),
    ):
        assert warehouse.frame(OTHER_KEYS.format(*tables)).empty
    assert len(warehouse.frame(VECTORS)) > 1000


def test_nights_describe_velocities_as_a_whole_build_does(
    described: Warehouse, night_by_night: Warehouse
) -> None:
    """Windows that count across dates, or a night that reads less of the history than it has to."""
    pd.testing.assert_frame_equal(night_by_night.frame(VECTORS), described.frame(VECTORS))


def test_a_night_writes_only_its_own_velocities(night_by_night: Warehouse, home: Path) -> None:
    """A delete that is wider than what is inserted, or rows described again when nothing is new."""
    night = Warehouse(home, "velocity_again", night_by_night)
    night.execute("update features.features_velocity set card_amount_7d = -1")
    night.set_dates(DATES[:-1], tonight=DATES[-1:])
    night.dbt(
        *("run", "--select", "int_dates_to_build", "int_dates_in_order", "int_days_in_order"),
        *("int_payments_seen", "features_velocity"),
    )
    old = night.frame("select distinct as_of_date from features.features_velocity where card_amount_7d < 0")
    assert sorted(day.date() for day in old.as_of_date) == DATES[:-1]
    whole = "select count(*) as n from features.features_velocity"
    assert night.frame(whole).n.tolist() == night_by_night.frame(whole).n.tolist()


def test_labels_that_come_later_change_no_past_rate(described: Warehouse, home: Path) -> None:
    """Rates of a month-end that use what was reported after a payment's day, if before the month's end."""
    later = Warehouse(home, "velocity_labels", described)
    first = DATES[-2] + timedelta(days=1)
    paid = "select * from features.features_velocity inner join features.features_transactions"
    paid += f" using (client_id, transaction_key, as_of_date) where as_of_date = date '{LAST}'"
    paid += " and transaction_key in (select transaction_key from raw.transactions"
    paid += f" where business_date < date '{LAST}') order by transaction_key"
    before = described.frame(paid)
    # Every payment of the month is reported on its last day; the month's end still knows that.
    later.execute(
        "insert into raw.labels by name select client_id, 'desk' as source, 'transaction' as entity,"
        " transaction_id as entity_id, 'fraud' as label, 'true' as value, known_at as event_at,"
        f" timestamp '{cutoff(LAST) - timedelta(hours=4)}' as known_at, 'last' as _load_id,"
        " row_number() over () as _record from raw.transactions"
        f" where client_id = '{CLIENT}' and business_date between date '{first}' and date '{LAST}'"
    )
    later.set_dates(DATES[:-1], tonight=DATES[-1:])
    later.dbt(*BUILD)
    rates = [f"merchant_fraud_rate_{days}d" for days in (7, 28, 90)]
    pd.testing.assert_frame_equal(later.frame(paid)[rates], before[rates])
    assert len(before) > 50 and before[rates].notna().all(axis=None)
    reports = "select count(*) as n from intermediate.int_fraud_reports"
    assert later.frame(reports).n[0] > described.frame(reports).n[0], "the labels arrived"


def test_without_reports_of_fraud_only_own_payments_count(home: Path, payments: PaymentsBank) -> None:
    """A client without labels whose nights read the payments of everybody for a model that it cannot have."""
    warehouse = Warehouse(home, "velocity_unlabelled")
    payments.write(warehouse)
    warehouse.execute("delete from raw.labels")
    warehouse.set_dates([], tonight=DATES[-2:])
    warehouse.dbt("build", "--select", "+features_velocity", *KINDS)
    given = warehouse.frame(
        "select count(*) as rows, count(card_amount_7d) as card, count(new_devices_7d) as devices,"
        " count(merchant_transactions_1h) + count(terminal_transactions_1h) + count(merchant_fraud_rate_7d)"
        " + count(merchant_fraud_rate_90d) + count(amount_to_merchant_mean_30d) as places"
        " from features.features_velocity"
    )
    rows, card, devices, places = given.values[0]
    assert (card, devices, places) == (rows, rows, 0) and rows > 100
