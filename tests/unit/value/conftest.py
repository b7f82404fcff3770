"""Shops whose customers come and leave, and a first version of one."""

import duckdb
import pytest

from ml.families import Trained
from ml.lifetime_value import steps
from tests.unit.value.shop import CLIENT, Shop, described, job, publish, purchases


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """600 customers, a year and a half; the shop earns 2 % of what they spend."""
    return publish(tmp_path_factory.mktemp("shop") / "home", purchases(600), 0.02)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """2,000 others, so that chance matters less."""
    return publish(tmp_path_factory.mktemp("crowd") / "home", purchases(2000, seed=8), 0.02)


@pytest.fixture(scope="session")
def trained(shop: Shop) -> Trained:
    """A first version."""
    return steps.train(job(shop, described()), CLIENT, None)


@pytest.fixture
def ledger() -> duckdb.DuckDBPyConnection:
    """An empty warehouse; `pay` fills it."""
    connection = duckdb.connect()
    connection.execute("""
        create schema intermediate; create schema ops;
        create table intermediate.int_revenue (
            client_id varchar default 'a', customer_id varchar default 'c', business_date date,
            known_at timestamp, superseded_at timestamp, is_customer_initiated boolean default true,
            spend_amount decimal(18, 4), revenue decimal(18, 4));
        create table intermediate.int_customers (
            client_id varchar, customer_id varchar, known_at timestamp, superseded_at timestamp,
            closed_on date);
        create table ops.as_of_dates (
            client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean);
    """)
    return connection
