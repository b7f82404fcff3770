"""Customer features: what the reference says, as of the date, whatever comes later."""

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pandas as pd
import pytest

from tests.dbt.bank import CLIENTS, CUSTOMERS, DATES, LAST, Bank
from tests.dbt.factory import Warehouse
from tests.dbt.recomputation import features_of

VECTORS = "select * from features.features_customers where as_of_date <= date '2026-05-31' order by 1, 2, 3"
KEY = ("client_id", "customer_id", "as_of_date")
NEXT = LAST + timedelta(days=30)
CopyOf = Callable[[Warehouse], Warehouse]


def test_the_features_equal_a_second_implementation(built: Warehouse, bank: Bank) -> None:
    """A changed window, sign, null rule or population in SQL that the reference does not have."""
    frame = built.frame(VECTORS).drop(columns="_definition_hash")
    found = {
        (row["client_id"], row["customer_id"], row["as_of_date"].date()): row
        for row in frame.to_dict("records")
    }
    closed = {("C2", DATES[1]), ("C2", DATES[2])}  # C4's closing is not known yet
    expected = {
        (client, f"C{number}", day)
        for client in CLIENTS
        for number in range(CUSTOMERS)
        for day in DATES
        if (f"C{number}", day) not in closed
    }
    assert set(found) == expected
    wrong = []
    for key, row in found.items():
        expected_row = features_of(bank, *key)
        assert {*KEY, *expected_row} == set(row)
        for name, value in expected_row.items():
            is_equal = (
                pd.isna(row[name])
                if value is None
                else math.isclose(row[name], value, rel_tol=2e-6, abs_tol=1e-6)
            )
            if not is_equal:
                wrong.append((*key, name, row[name], value))
    assert not wrong


def add_later_news(warehouse: Warehouse) -> None:
    """What the three dates must never learn, all of it known at or after the last one's cutoff."""
    late = datetime(2026, 6, 1, 2)
    row = dict(
        client_id="uk", source="core", account_id="A", currency="GBP", description="LATE NEWS", amount=-5000
    )
    row |= dict(payment_mode="card", status="posted", known_at=late, _load_id="late")
    days = [
        ("C0", LAST),
        ("C0", date(2026, 3, 1)),
        ("C1", LAST - timedelta(days=89)),
        ("new", date(2026, 3, 1)),
    ]
    late_rows = [
        row | dict(transaction_key=f"late{number}", _record=number, customer_id=customer, business_date=day)
        for number, (customer, day) in enumerate(days)
    ]
    # Known in time, but of a day that none of the dates may count.
    future = dict(transaction_key="future", _record=9, customer_id="C0", business_date=date(2026, 6, 9))
    warehouse.insert("raw.transactions", [*late_rows, row | future | dict(known_at=datetime(2026, 3, 1))])
    # What was posted since March is posted a second time.
    warehouse.execute(
        "insert into raw.transactions by name select * replace"
        " (transaction_key || 'q' as transaction_key, amount * 3 as amount,"
        " timestamp '2026-06-01 02:00' as known_at) from raw.transactions"
        " where original_transaction_id is not null and business_date >= date '2026-03-01'"
    )
    closing = dict(closed_on=date(2026, 3, 2), closed_known_at=late, known_at=late)
    warehouse.insert(
        "raw.customers",
        [dict(client_id="uk", source="crm", customer_id="C0", _load_id="late", _record=1, **closing)],
    )
    login = dict(
        source="app", customer_id="C3", event_type="login", event_at=datetime(2026, 5, 30, 12), known_at=late
    )
    warehouse.insert(
        "raw.events",
        [
            dict(client_id=client, _load_id="late", _record=number, **login)
            for number, client in enumerate(CLIENTS)
        ],
    )


def test_a_past_date_never_learns_later_news(built: Warehouse, copy_of: CopyOf) -> None:
    """A condition on known_at or superseded_at lost anywhere between raw and the features."""
    later = copy_of(built)
    add_later_news(later)
    later.set_dates(DATES, tonight=[NEXT])
    later.build_features("--full-refresh")
    pd.testing.assert_frame_equal(later.frame(VECTORS), built.frame(VECTORS))
    next_date = later.frame(
        "select client_id, customer_id, total_spend_90d, days_since_last_login"
        f" from features.features_customers where as_of_date = date '{NEXT}'"
    ).set_index(["client_id", "customer_id"])
    assert ("uk", "C0") not in next_date.index, "closed by the late record"
    assert next_date.total_spend_90d["uk", "new"] == 0 and next_date.total_spend_90d["uk", "C1"] > 0
    assert next_date.days_since_last_login["in", "C3"] == 31


@pytest.fixture(scope="module")
def night_by_night(built: Warehouse, bank: Bank) -> Warehouse:
    """The same three dates, each built in its own night, with all rows that will ever come lying in raw."""
    warehouse = Warehouse(built.home, "night_by_night")
    bank.write(warehouse)
    for number, day in enumerate(DATES):
        warehouse.set_dates(DATES[:number], tonight=[day])
        warehouse.build_features(again=number > 0)
    return warehouse


def test_daily_nights_give_the_same_features_as_one_history_night(
    built: Warehouse, night_by_night: Warehouse
) -> None:
    """A feature that depends on how many dates are built at once, or on what else raw already holds."""
    pd.testing.assert_frame_equal(night_by_night.frame(VECTORS), built.frame(VECTORS))


def test_a_night_touches_only_its_own_dates(night_by_night: Warehouse, copy_of: CopyOf) -> None:
    """A delete before the insert that is wider than what is inserted."""
    night = copy_of(night_by_night)
    night.execute("update features.features_customers set transactions_30d = -1")
    night.set_dates(DATES[:2], tonight=[LAST])
    night.dbt("run", "--select", "features_customers", "int_dates_to_build")
    touched = night.frame(
        "select as_of_date, min(transactions_30d) >= 0 as is_new"
        " from features.features_customers group by 1 order by 1"
    )
    assert touched.is_new.tolist() == [False, False, True]
