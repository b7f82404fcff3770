"""Who is asked about a category, and who counts as having bought in it."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from ml import config
from ml.config import ConfigError
from ml.scores.config import UseCase
from ml.statements import lacking, module_sql, parameters

DAY = date(2025, 3, 31)
CATEGORY = "home_improvement"


def cutoff(day: date) -> datetime:
    """First moment that is too late for an as-of date."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


def use_case(**changes: Any) -> UseCase:
    """The project's own file with other parameters."""
    told = config.load("propensity_home_improvement")
    return told.model_copy(update={"parameters": {**told.parameters, **changes}})


@pytest.fixture
def ledger() -> duckdb.DuckDBPyConnection:
    """One as-of date of one client; `pay` adds transactions."""
    connection = duckdb.connect()
    connection.execute("""
        create schema intermediate; create schema staging;
        create table intermediate.int_transactions (
            client_id varchar, customer_id varchar, business_date date, known_at timestamp,
            superseded_at timestamp, is_customer_initiated boolean, category varchar, amount decimal(18, 4));
        create table intermediate.int_customers (
            client_id varchar, customer_id varchar, known_at timestamp, superseded_at timestamp,
            consents varchar);
        create table staging.categories (category varchar, is_sensitive boolean);
        insert into staging.categories values
            ('home_improvement', false), ('health', false), ('health', true);
        create table dates (client_id varchar, as_of_date date, cutoff_at timestamp);
        create table cutoffs (client_id varchar, day date, cutoff_at timestamp);
    """)
    connection.execute("insert into dates values ('a', ?, ?)", [DAY, cutoff(DAY)])
    judged = DAY + timedelta(days=33)
    connection.execute("insert into cutoffs values ('a', ?, ?)", [judged, cutoff(judged)])
    return connection


def pay(
    connection: duckdb.DuckDBPyConnection, after: int, category: str = "groceries", **changes: Any
) -> None:
    """A payment so many days after the as-of date, known a day later."""
    day = DAY + timedelta(days=after)
    row = {
        "client_id": "a",
        "customer_id": "c",
        "business_date": day,
        "known_at": datetime.combine(day, datetime.min.time()) + timedelta(hours=25),
        "superseded_at": None,
        "is_customer_initiated": True,
        "category": category,
        "amount": -10,
        **changes,
    }
    connection.execute(
        "insert into intermediate.int_transactions values (?, ?, ?, ?, ?, ?, ?, ?)", [*row.values()]
    )


def asked(connection: duckdb.DuckDBPyConnection, told: UseCase, name: str = "LABEL") -> list[tuple[Any, ...]]:
    """Rows of the statement: customers, and their labels."""
    statement = module_sql(told, name)
    columns = "entity_id, label" if name == "LABEL" else "entity_id"
    return connection.execute(
        f"select {columns} from ({statement}) order by all", parameters(told, statement)
    ).fetchall()


@pytest.mark.parametrize(
    ("after", "changes", "label"),
    [
        (1, {}, 1),
        (30, {}, 1),
        (31, {}, 0),
        (10, {"is_customer_initiated": False}, 1),
        (10, {"amount": 10}, 0),
        (10, {"category": "travel"}, 0),
        (10, {"client_id": "b"}, 0),
        (30, {"known_at": cutoff(DAY + timedelta(days=33))}, 0),
        (30, {"known_at": cutoff(DAY + timedelta(days=33)) - timedelta(seconds=1)}, 1),
        (10, {"superseded_at": cutoff(DAY + timedelta(days=20))}, 0),
    ],
    ids=[
        "the next day", "the last day", "a day too late", "collected", "given back", "other category",
        "other client", "known too late", "just known", "taken back",
    ],
)  # fmt: skip
def test_a_buyer_bought_within_the_horizon(
    ledger: duckdb.DuckDBPyConnection, after: int, changes: Mapping[str, Any], label: int
) -> None:
    """An outcome that is a day longer than promised, or that was known only after the judgement."""
    pay(ledger, -1)
    pay(ledger, after, **{"category": CATEGORY, **changes})
    assert asked(ledger, use_case()) == [("c", label)]


@pytest.mark.parametrize(
    ("after", "changes", "is_asked"),
    [
        (0, {}, False),
        (-29, {}, False),
        (-30, {}, True),
        (-5, {"amount": 10}, True),
        (-5, {"known_at": cutoff(DAY)}, True),
        (-5, {"superseded_at": cutoff(DAY) - timedelta(days=2)}, True),
        (-5, {"superseded_at": cutoff(DAY)}, False),
    ],
    ids=["today", "within", "just before", "given back", "not known yet", "no more", "superseded later"],
)
def test_who_bought_lately_is_not_asked_about(
    ledger: duckdb.DuckDBPyConnection, after: int, changes: Mapping[str, Any], is_asked: bool
) -> None:
    """A prediction of what is known already, or a customer left out by what nobody knew at the date."""
    pay(ledger, -1)
    pay(ledger, after, CATEGORY, **changes)
    assert asked(ledger, use_case(), "POPULATION") == ([("c",)] if is_asked else [])


@pytest.mark.parametrize(
    ("after", "own", "is_asked"), [(-89, True, True), (-90, True, False), (-3, False, False)]
)
def test_only_who_is_active_is_asked_about(
    ledger: duckdb.DuckDBPyConnection, after: int, own: bool, is_asked: bool
) -> None:
    """Customers who have left, all of whom will buy nothing: a ranking that is better than it is."""
    pay(ledger, after, is_customer_initiated=own)
    assert asked(ledger, use_case(), "POPULATION") == ([("c",)] if is_asked else [])


def test_a_sensitive_category_needs_consent_as_known_at_the_date(ledger: duckdb.DuckDBPyConnection) -> None:
    """Offers by what somebody's health tells, to people who never agreed; or by a consent of later.

    An entry is what stands between `;` or `,`, as wherever else consents are read.
    """
    for customer, consents, known in (
        ("agreed", "service; Sensitive", DAY),
        ("did not", "service,insensitive", DAY),
        ("something else", "not sensitive", DAY),
        ("agreed later", "sensitive", DAY + timedelta(days=5)),
    ):
        pay(ledger, -1, customer_id=customer)
        ledger.execute(
            "insert into intermediate.int_customers values ('a', ?, ?, null, ?)", [customer, known, consents]
        )
    pay(ledger, -1, customer_id="not asked")
    assert asked(ledger, use_case(category="health"), "POPULATION") == [("agreed",)]
    assert len(asked(ledger, use_case(), "POPULATION")) == 5


@pytest.mark.parametrize(
    "wrong", [{"category": 3}, {"quiet_days": "30"}, {"active_days": 0}], ids=["category", "quiet", "active"]
)
def test_a_parameter_that_cannot_be_is_named(wrong: Mapping[str, Any]) -> None:
    """A second YAML with a slip, which would ask about nobody."""
    with pytest.raises(ConfigError, match=f"parameters.{next(iter(wrong))}"):
        module_sql(use_case(**wrong), "POPULATION")


def test_data_without_the_category_are_told_so(ledger: duckdb.DuckDBPyConnection) -> None:
    """Catches purchases without categories that are told to take more days, or lower minimums."""
    told = use_case()
    assert lacking(ledger, told).startswith(
        "No payment has the category home_improvement. Those that payments"
    )
    assert "have: none. Categories come from" in lacking(ledger, told)
    pay(ledger, -20)
    pay(ledger, -10, "dining")
    pay(ledger, -5, CATEGORY, amount=10)
    assert "have: dining, groceries. Categories" in lacking(ledger, told), "a refund is no purchase"
    pay(ledger, -3, CATEGORY)
    assert lacking(ledger, told) == ""
    assert lacking(ledger, config.load("churn")) == "", "others need no category"
