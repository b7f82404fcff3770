"""Tests of a night read what the night touched; once a week they read everything."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from tests.dbt.bank import DATES, LAST
from tests.dbt.factory import Warehouse

CopyOf = Callable[[Warehouse], Warehouse]
TOUCHED = LAST - timedelta(days=1)
SCOPED = ("--vars", '{"full_tests": false}')


def faulty(warehouse: Warehouse, day: date, as_of: date) -> Warehouse:
    """A night that touched two days and the last date; rows of a day and of a date lie in it twice."""
    warehouse.set_dates(DATES[:-1], tonight=[LAST])
    warehouse.execute(
        "insert into ops.touched_days"
        f" select client_id, day from ops.clients, unnest([date '{TOUCHED}', date '{LAST}']) as t(day);"
        "insert into intermediate.int_movements"
        f" from intermediate.int_movements where business_date = '{day}';"
        "insert into features.features_customers"
        f" from features.features_customers where as_of_date = '{as_of}'"
    )
    return warehouse


def failing(warehouse: Warehouse, *arguments: str) -> set[str]:
    """Data tests that fail, of those that could see the faults."""
    reached = [f"{table}+,test_type:data" for table in ("int_movements", "features_customers")]
    ran = warehouse.dbt("test", "--select", *reached, *arguments)
    return {name for name, status in ran.items() if status == "fail"}


@pytest.mark.parametrize(
    ("day", "as_of", "is_touched"), [(TOUCHED, LAST, True), (date(2026, 3, 25), DATES[0], False)]
)
def test_a_night_tests_what_it_touched_and_a_sunday_everything(
    built: Warehouse, copy_of: CopyOf, day: date, as_of: date, is_touched: bool
) -> None:
    """A scope that leaves out the night's own rows, one that still reads everything, or a week without."""
    night = faulty(copy_of(built), day, as_of)
    everything = failing(night)
    for prefix in ("primary_key_int_transactions", "primary_key_features_customers",
                   "staging_equals_fct_transactions"):  # fmt: skip
        assert any(name.startswith(prefix) for name in everything), prefix
    assert failing(night, *SCOPED) == (everything if is_touched else set())
