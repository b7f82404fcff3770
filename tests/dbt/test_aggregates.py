"""Totals by day, week and month: what is late opens again what it belongs to, and nothing else."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from nightledger.ingestion import coverage
from tests.dbt.factory import Warehouse, cutoff

CopyOf = Callable[[Warehouse], Warehouse]
LAST = date(2026, 5, 31)
OLD, LATE, NEW = date(2026, 1, 5), date(2026, 5, 6), LAST + timedelta(days=1)
TABLES = {
    "marts.agg_daily": "business_date",
    "marts.agg_weekly": "week_start",
    "marts.agg_monthly": "month_start",
    "marts.agg_rolling": "business_date",
    "intermediate.int_categories_monthly": "month_start",
}
MODELS = ("build", "--select", "+agg_rolling", "+agg_weekly", "+agg_monthly", "+int_categories_monthly")
KINDS = ("--resource-type", "model", "--resource-type", "seed")


def payment(day: date, known_on: date, amount: int) -> dict[str, Any]:
    """A posted card payment that is known at the cutoff of a date."""
    key = f"{day}/{known_on}/{amount}"
    row = dict(client_id="a", source="s", customer_id="c", account_id="x", currency="GBP", description="SHOP")
    row |= dict(transaction_key=key, transaction_id=key, status="posted", payment_mode="card", amount=-amount)
    row |= dict(business_date=day, known_at=cutoff(known_on) - timedelta(hours=1), _content_hash=key)
    return row | dict(_load_id=str(known_on), _record=1)


def build(warehouse: Warehouse, day: date, *arguments: str) -> None:
    """One night, with the days that its files touch."""
    warehouse.set_dates([], tonight=[day])
    with warehouse.connect() as connection:
        coverage.update(connection, [])
    warehouse.dbt(*MODELS, *KINDS, *arguments)


@pytest.fixture(scope="module")
def first_night(home: Path) -> Warehouse:
    """Two payments four months apart, built."""
    warehouse = Warehouse(home, "aggregated")
    client = dict(client_id="a", base_currency="GBP", timezone="UTC", country="GB", interchange_rate=0)
    warehouse.insert("ops.clients", [client])
    warehouse.insert("raw.transactions", [payment(OLD, OLD, 10), payment(LAST, LAST, 20)])
    build(warehouse, LAST)
    return warehouse


def test_late_rows_open_what_they_belong_to_and_nothing_else(first_night: Warehouse, copy_of: CopyOf) -> None:
    """Totals that are rebuilt whole each night, or that keep what a late row has changed."""
    warehouse = copy_of(first_night)
    counts = {table: "transactions_30d" if "rolling" in table else "transactions" for table in TABLES}
    for table, column in TABLES.items():
        warehouse.execute(f"update {table} set {counts[table]} = 99 where {column} <= date '{OLD}'")
    warehouse.insert("raw.transactions", [payment(LATE, NEW, 5), payment(NEW, NEW, 7)])
    build(warehouse, NEW)
    for table, column in TABLES.items():
        rows = warehouse.frame(f"select distinct {column}, {counts[table]} from {table} order by 1")
        numbers = rows[counts[table]].tolist()
        assert numbers[0] == 99, f"{table}: a period that nothing touched was built again"
        assert len(numbers) > 1 and 99 not in numbers[1:]


def test_a_late_row_gives_what_building_everything_gives(first_night: Warehouse, copy_of: CopyOf) -> None:
    """A period or window left out: of the late day, of those after it, of the day before it in a window."""
    warehouse = copy_of(first_night)
    warehouse.insert("raw.transactions", [payment(LATE, NEW, 5), payment(NEW, NEW, 7)])
    build(warehouse, NEW)
    touched = {table: warehouse.frame(f"select * from {table} order by all") for table in TABLES}
    build(warehouse, NEW, "--full-refresh")
    for table, rows in touched.items():
        assert len(rows) > 2
        assert rows.equals(warehouse.frame(f"select * from {table} order by all")), table
    rolled = touched["marts.agg_rolling"].query("level == 'client'").sort_values("business_date").spend_90d
    assert [float(value) for value in rolled] == [10, 5, 25, 32]
