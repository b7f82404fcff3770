"""Every transaction is described, once for each version, on the first date that knows it."""

from datetime import date
from itertools import pairwise

import pandas as pd

from tests.dbt.factory import Warehouse
from tests.dbt.payments import DATES, KINDS, PaymentsBank
from tests.dbt.transaction_recomputation import first_known

VECTORS = "select * from features.features_movements order by client_id, transaction_key, as_of_date"
Facts = tuple[float, float, float | None]


def stated(payments: PaymentsBank) -> dict[tuple[str, date], Facts]:
    """Customer-initiated, inflow and collected amount, by key and date that first knew the version."""
    found: dict[tuple[str, date], Facts] = {}
    for previous, day in pairwise([None, *DATES]):
        for payment in first_known(payments, day, previous) if day else []:
            _, initiated, _, _, mode, _ = KINDS[payment.kind]
            collected = -payment.amount if mode == "direct_debit" else None
            found[payment.key, day] = (float(initiated), float(payment.amount > 0), collected)
    return found


def test_movements_equal_a_second_implementation(described: Warehouse, payments: PaymentsBank) -> None:
    """A salary or a collection left out, a version on two dates or another one, a sign the wrong way."""
    expected = stated(payments)
    rows = described.frame(VECTORS).to_dict("records")
    assert len(rows) == len(expected)
    for row in rows:
        initiated, inflow, collected = expected[row["transaction_key"], row["as_of_date"].date()]
        assert (row["is_customer_initiated"], row["is_inflow"]) == (initiated, inflow)
        told = row["collected_amount"]
        assert pd.isna(told) if collected is None else abs(told - collected) < 1e-3
    kinds = {(initiated, inflow, collected is None) for initiated, inflow, collected in expected.values()}
    assert kinds == {(1, 0, True), (0, 0, False), (0, 0, True), (0, 1, True)}, "collections, fees, salaries"


def test_nights_describe_movements_as_a_whole_build_does(
    described: Warehouse, night_by_night: Warehouse
) -> None:
    """A transaction that comes late and belongs to no night, or to two."""
    pd.testing.assert_frame_equal(night_by_night.frame(VECTORS), described.frame(VECTORS))


def test_what_customers_initiate_has_its_patterns_on_the_same_date(night_by_night: Warehouse) -> None:
    """Two tables that call different versions new: scores of payments without the features of payments."""
    keys = "select client_id, transaction_key, version, as_of_date from features."
    initiated, described = (
        f"{keys}features_movements where is_customer_initiated = 1",
        f"{keys}features_transactions",
    )
    for one, other in ((initiated, described), (described, initiated)):
        assert night_by_night.frame(f"({one}) except all ({other})").empty
