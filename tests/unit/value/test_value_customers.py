"""What lifetime value knows of a customer on a date: visits, money, closing, silence."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ml.lifetime_value.customers import Customers, longest_silence, read_customers, read_outcome
from tests.unit.value.shop import cutoff

DAY = date(2025, 3, 31)


def pay(connection: duckdb.DuckDBPyConnection, day: date, spend: float = 100, **changes: Any) -> None:
    """A transaction that was known a day later; the client earns 1 %."""
    row = {
        "business_date": day,
        "known_at": datetime.combine(day, datetime.min.time()) + timedelta(hours=25),
        "spend_amount": spend,
        "revenue": spend / 100,
        **changes,
    }
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    connection.execute(f"insert into intermediate.int_revenue ({names}) values ({marks})", list(row.values()))


def seen(connection: duckdb.DuckDBPyConnection, **changes: Any) -> Customers:
    wanted = {"measure": "spend", "visit_days": 7, **changes}
    return read_customers(connection, "a", DAY, cutoff(DAY), **wanted)


def test_a_customer_is_told_by_visits_of_a_week(ledger: duckdb.DuckDBPyConnection) -> None:
    """Counting each purchase of a shopping day, or dividing the first visit's money among the others."""
    first = date(2025, 1, 1)
    for after, spend in ((0, 500), (6, 50), (7, 10), (9, 20), (30, 40)):
        pay(ledger, first + timedelta(days=after), spend)
    pay(ledger, first + timedelta(days=20), 5, is_customer_initiated=False)
    who = seen(ledger)
    assert who.ids.to_pylist() == ["c"]
    assert (who.visits[0], who.last_visit[0]) == (2, 4)
    assert who.age[0] == pytest.approx((DAY - first).days / 7)
    assert who.each[0] == pytest.approx((10 + 20 + 5 + 40) / 2)
    assert who.last_year[0] == 625
    assert who.days[0] == 90
    by_day = seen(ledger, visit_days=1)
    assert (by_day.visits[0], by_day.last_visit[0], by_day.age[0]) == (4, 30, 89)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"known_at": cutoff(DAY)}, False),
        ({"known_at": cutoff(DAY) - timedelta(seconds=1)}, True),
        ({"superseded_at": cutoff(DAY) - timedelta(seconds=1)}, False),
        ({"superseded_at": cutoff(DAY)}, True),
        ({"client_id": "b"}, False),
        ({"business_date": DAY + timedelta(days=1)}, False),
    ],
    ids=["plain", "known too late", "just known", "superseded", "not yet", "other client", "tomorrow's"],
)
def test_a_date_knows_what_was_known_then(
    ledger: duckdb.DuckDBPyConnection, changes: Mapping[str, Any], counts: bool
) -> None:
    """News of later days in the inputs of a past date: a value that looks better than it is."""
    pay(ledger, date(2025, 1, 1))
    pay(ledger, date(2025, 2, 1), 30, **changes)
    assert seen(ledger).visits[0] == (1 if counts else 0)
    assert seen(ledger).each[0] == (30 if counts else 0)


def test_money_given_back_is_no_negative_visit(ledger: duckdb.DuckDBPyConnection) -> None:
    """A logarithm of a negative mean, and with it no model at all."""
    pay(ledger, date(2025, 1, 1))
    pay(ledger, date(2025, 2, 1), 10)
    pay(ledger, date(2025, 3, 1), -30, is_customer_initiated=False)
    assert (seen(ledger).each[0], seen(ledger).last_year[0]) == (0, 80)


def test_a_closed_customer_is_known_as_closed_from_the_day_on(ledger: duckdb.DuckDBPyConnection) -> None:
    """Value promised of somebody who has left by letter; or a closing that was told later."""
    for customer, closed_on, known in (
        ("closed", DAY, DAY - timedelta(days=3)),
        ("later", DAY + timedelta(days=1), DAY),
        ("told later", DAY, DAY + timedelta(days=3)),
    ):
        pay(ledger, date(2025, 1, 1), customer_id=customer)
        ledger.execute(
            "insert into intermediate.int_customers values ('a', ?, ?, null, ?)", [customer, known, closed_on]
        )
    who = seen(ledger)
    assert dict(zip(who.ids.to_pylist(), who.is_closed.tolist(), strict=True)) == {
        "closed": True,
        "later": False,
        "told later": False,
    }


def test_the_outcome_is_of_the_days_held_out_and_in_the_customers_order(
    ledger: duckdb.DuckDBPyConnection,
) -> None:
    """Money of other days or other customers in the judgement; who never came brought nothing."""
    for customer, day in (("c", 1), ("b", 1), ("b", 2), ("b", 30)):
        pay(ledger, date(2025, 4, day), customer_id=customer)
    pay(ledger, date(2025, 4, 3), customer_id="auto", is_customer_initiated=False)
    brought, came = read_outcome(
        ledger,
        "a",
        date(2025, 4, 2),
        date(2025, 4, 29),
        datetime(2025, 5, 5),
        "spend",
        pa.array(["c", "b", "auto", "nobody"]),
    )
    assert brought.tolist() == [0, 100, 100, 0]
    assert came.tolist() == [False, True, False, False]


def test_silence_is_counted_from_the_first_day_to_the_last(ledger: duckdb.DuckDBPyConnection) -> None:
    """A feed that ends within the days held out, or one row of another client, known later, in the hole."""
    first, last = date(2025, 4, 1), date(2025, 4, 30)

    def silent() -> int:
        return longest_silence(ledger, "a", first, last, datetime(2025, 5, 5))

    assert silent() == 30
    pay(ledger, date(2025, 4, 20), client_id="b")
    pay(ledger, date(2025, 4, 20), known_at=datetime(2025, 5, 5))
    pay(ledger, date(2025, 4, 4))
    pay(ledger, date(2025, 4, 5))
    assert silent() == 25
    pay(ledger, date(2025, 4, 26), is_customer_initiated=False)
    assert silent() == 20
    pay(ledger, date(2025, 4, 16))
    assert silent() == 10
