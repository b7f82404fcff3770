"""One warehouse that dbt has built whole, for all tests that read it; those that write begin from a copy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dbt.bank import DATES, LAST, Bank, make_bank
from tests.dbt.factory import Warehouse
from tests.dbt.payments import DATES as PAYMENT_DATES
from tests.dbt.payments import PaymentsBank, make_payments

TRANSACTIONS = (
    *("build", "--select", "+features_movements", "+features_transactions", "+features_velocity"),
    *("--resource-type", "model", "--resource-type", "seed"),
)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of all warehouses of the session; dbt always sees the same path in it."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def bank() -> Bank:
    """The rows of the two small banks and the facts behind them."""
    return make_bank()


@pytest.fixture(scope="session")
def built(home: Path, bank: Bank) -> Warehouse:
    """The whole project built and tested, unit tests too: three dates in one night, the last one scored."""
    warehouse = Warehouse(home, "built")
    bank.write(warehouse)
    warehouse.set_dates([], tonight=DATES)
    warehouse.write_scores("v1", LAST, {("uk", "C0"): 0.25, ("uk", "C1"): 0.75})
    warehouse.dbt("build")
    return warehouse


@pytest.fixture(scope="session")
def payments() -> PaymentsBank:
    """The bank of payments and the facts behind it."""
    return make_payments()


@pytest.fixture(scope="session")
def described(home: Path, payments: PaymentsBank) -> Warehouse:
    """Its transactions described on all dates in one night."""
    warehouse = Warehouse(home, "payments")
    payments.write(warehouse)
    warehouse.set_dates([], tonight=PAYMENT_DATES)
    warehouse.dbt(*TRANSACTIONS)
    return warehouse


@pytest.fixture(scope="session")
def night_by_night(home: Path, payments: PaymentsBank) -> Warehouse:
    """The same, each date in its own night, with all rows that will ever come lying in raw."""
    warehouse = Warehouse(home, "payments_by_night")
    payments.write(warehouse)
    for number, day in enumerate(PAYMENT_DATES):
        warehouse.set_dates(PAYMENT_DATES[:number], tonight=[day])
        (warehouse.dbt_again if number else warehouse.dbt)(*TRANSACTIONS)
    return warehouse


@pytest.fixture
def copy_of(home: Path, request: pytest.FixtureRequest) -> Callable[[Warehouse], Warehouse]:
    """Makes a warehouse that begins as another one is, as a night begins from a publication."""
    return lambda base: Warehouse(home, request.node.name, base)
