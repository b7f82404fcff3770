"""Features of borrowers, and whom the credit model judges: what the reference says, as of the date."""

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ml import config
from ml.models import credit
from tests.dbt.factory import Warehouse, cutoff
from tests.dbt.lending import CLIENT, CUSTOMERS, DATES, LAST, Lender, make_lender
from tests.dbt.lending_recomputation import features_of
from tests.dbt.test_project import META

CopyOf = Callable[[Warehouse], Warehouse]
VECTORS = "select * from features.features_credit order by client_id, customer_id, as_of_date"
BUILD = ("build", "--select", "+features_credit", "--resource-type", "model", "--resource-type", "seed")
HORIZON, DELAY = 30, 14


@pytest.fixture(scope="module")
def lender() -> Lender:
    """The rows and the facts behind them."""
    return make_lender()


@pytest.fixture(scope="module")
def lent(home: Any, lender: Lender) -> Warehouse:
    """All dates built in one night."""
    warehouse = Warehouse(home, "lent")
    lender.write(warehouse)
    warehouse.set_dates([], tonight=DATES)
    warehouse.dbt(*BUILD)
    return warehouse


def vectors(warehouse: Warehouse) -> dict[tuple[str, date], dict[str, Any]]:
    """Rows by customer and date, without key and hash."""
    frame = warehouse.frame(VECTORS).drop(columns=["_definition_hash", "client_id"])
    rows = {}
    for row in frame.to_dict("records"):
        rows[row.pop("customer_id"), row.pop("as_of_date").date()] = row
    return rows


def test_borrowers_features_equal_a_second_implementation(lent: Warehouse, lender: Lender) -> None:
    """A changed window, cutoff, null rule or population; arrears that fall below zero or never end."""
    found = vectors(lent)
    expected = {
        (f"B{number}", day): features
        for number in range(CUSTOMERS)
        for day in DATES
        if not (number == 4 and day >= date(2026, 4, 15))
        and (features := features_of(lender, f"B{number}", day)) is not None
    }
    assert set(found) == set(expected)
    wrong = []
    for key, features in expected.items():
        assert set(features) == set(found[key])
        for name, value in features.items():
            if not _is_equal(found[key][name], value):
                wrong.append((*key, name, found[key][name], value))
    assert not wrong
    # The generator must make each feature matter, or the comparison shows nothing.
    for name in next(iter(expected.values())):
        values = {features[name] for features in expected.values()}
        assert len(values) > 1, name
    owed = [features["instalments_owed"] or 0 for features in expected.values()]
    assert max(owed) > 2 and any(one % 1 for one in owed) and 0 in owed


def _is_equal(found: Any, expected: float | bool | None) -> bool:
    if expected is None:
        return bool(pd.isna(found))
    return math.isclose(found, expected, rel_tol=2e-6, abs_tol=1e-6)


def test_nights_one_by_one_give_what_one_night_gives(home: Any, lender: Lender, lent: Warehouse) -> None:
    """A feature that depends on how many dates are built at once, or on rows that it did not know."""
    warehouse = Warehouse(home, "lent_by_night")
    lender.write(warehouse)
    for number, day in enumerate(DATES):
        warehouse.set_dates(DATES[:number], tonight=[day])
        (warehouse.dbt_again if number else warehouse.dbt)(*BUILD)
    pd.testing.assert_frame_equal(warehouse.frame(VECTORS), lent.frame(VECTORS))


def test_a_night_again_replaces_its_own_dates_only(lent: Warehouse, copy_of: CopyOf) -> None:
    """A delete before the insert that is missing, or wider than what is inserted."""
    night = copy_of(lent)
    night.execute("update features.features_credit set returned_debits_90d = -1")
    night.set_dates(DATES[:-1], tonight=[LAST])
    night.dbt("run", "--select", "features_credit", "int_dates_to_build")
    touched = night.frame(
        "select as_of_date, min(returned_debits_90d) >= 0 as is_new, count(*) as n"
        " from features.features_credit group by 1 order by 1"
    )
    assert touched.is_new.tolist() == [False, False, False, True]
    before = lent.frame(
        "select count(*) as n from features.features_credit group by as_of_date order by as_of_date"
    )
    assert touched.n.tolist() == before.n.tolist()


def test_each_feature_of_credit_carries_its_definition(lent: Warehouse) -> None:
    """A feature that ml cannot place, or one that another model takes up unasked."""
    columns = lent.manifest["nodes"]["model.nightledger.features_credit"]["columns"]
    features = {n: c["config"]["meta"] for n, c in columns.items() if c["data_type"] == "float"}
    assert {name: sorted(meta) for name, meta in features.items()} == dict.fromkeys(features, META)
    assert {meta["allowed_in"][0] for meta in features.values()} == {"credit"}
    shared = {name for name, meta in features.items() if meta["allowed_in"][1:] == ["application_fraud"]}
    assert shared == set(config.read("application_fraud").only)
    assert len({meta["label"] for meta in features.values()}) == len(features) == 20
    others = lent.manifest["nodes"]["model.nightledger.features_customers"]["columns"]
    assert not set(features) & set(others), "a model of both tables would have a column twice"


def judged(warehouse: Warehouse, statement: str, days: list[date]) -> list[tuple[Any, ...]]:
    """Rows of one of the use case's statements."""
    pairs = [dict(client_id=CLIENT, as_of_date=day, cutoff_at=cutoff(day)) for day in days]
    calendar = [DATES[0] + timedelta(days=number) for number in range(200)]
    cutoffs = [dict(client_id=CLIENT, day=day, cutoff_at=cutoff(day)) for day in calendar]
    with warehouse.connect() as connection:
        connection.register("dates", pa.Table.from_pylist(pairs))
        connection.register("cutoffs", pa.Table.from_pylist(cutoffs))
        values = {"horizon_days": HORIZON, "matures_after": HORIZON + DELAY}
        wanted = {name: value for name, value in values.items() if f"${name}" in statement}
        return connection.execute(f"from ({statement}) order by 2, 3", wanted).fetchall()


def test_the_model_judges_borrowers_who_are_not_in_default(lent: Warehouse, lender: Lender) -> None:
    """Loans in default scored as if they could default, card holders of a client that never reports one."""
    rows = judged(lent, credit.POPULATION, DATES)
    assert all(len(row) == 5 and row[1] == row[4] and row[2] == row[3] for row in rows)
    expected = {
        (customer, day)
        for (customer, day), features in vectors(lent).items()
        if features["open_loans"] > 0 and not features["is_in_default"]
    }
    assert {(row[1], row[2]) for row in rows} == expected
    assert {"B0", "B13"} <= {customer for customer, _ in expected}
    assert not {"B10", "B11", "B12"} & {customer for customer, _ in expected}


def test_a_default_is_an_outcome_when_it_was_reported_in_time_and_stands(
    lent: Warehouse, copy_of: CopyOf
) -> None:
    """A default outside the horizon, known too late, taken back, or of before the date, as a label."""
    warehouse = copy_of(lent)
    day = DATES[0]
    customers = [row[1] for row in judged(warehouse, credit.POPULATION, [day])][:6]
    too_late = cutoff(day + timedelta(days=HORIZON + DELAY))
    in_time = too_late - timedelta(hours=1)
    names = ("defaulted_on", "known_at", "superseded_at")
    cases = {
        "in time": (day + timedelta(days=HORIZON), in_time, None, 1),
        "too far": (day + timedelta(days=HORIZON + 1), in_time, None, 0),
        "too late": (day + timedelta(days=5), too_late, None, 0),
        "taken back": (day + timedelta(days=5), in_time - timedelta(days=9), in_time, 0),
        "taken back later": (day + timedelta(days=1), in_time - timedelta(days=9), too_late, 1),
        "before": (day, in_time, None, None),
    }
    rows = [
        dict(zip(names, case[:3], strict=True), client_id=CLIENT, entity="customer")
        | dict(entity_id=one, customer_id=one)
        for one, case in zip(customers, cases.values(), strict=True)
    ]
    warehouse.execute("delete from intermediate.int_defaults")
    assert judged(warehouse, credit.LABEL, [day]) == [], "nobody has said what a default is"
    warehouse.insert("intermediate.int_defaults", rows)
    labels = {row[1]: row[5] for row in judged(warehouse, credit.LABEL, [day])}
    assert {name: labels.get(one) for one, name in zip(customers, cases, strict=True)} == {
        name: case[3] for name, case in cases.items()
    }
    others = set(labels) - set(customers)
    assert others and {labels[one] for one in others} == {0}


def test_the_exposure_is_what_is_outstanding(lent: Warehouse) -> None:
    """An expected loss on the principal that was paid out, or on nothing where no loan is told."""
    rows = {(row[1], row[2]): row[3] for row in judged(lent, credit.EXPOSURE, DATES)}
    for key, features in vectors(lent).items():
        expected = next(
            (
                features[name]
                for name in ("outstanding_principal", "own_credit_limit", "total_balance")
                if not pd.isna(features[name])
            ),
            None,
        )
        assert rows[key] is None if expected is None else math.isclose(rows[key], expected, rel_tol=1e-6)
