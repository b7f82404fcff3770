"""Life events from raw rows to what is told, as a date knew them."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.dbt.factory import Warehouse, cutoff

CLIENT = "bank"
FIRST, LAST, NEXT = date(2025, 1, 1), date(2026, 5, 31), date(2026, 6, 30)
KINDS = ("--resource-type", "model", "--resource-type", "seed")
GOALS = "+fct_life_event_evidence"
CONSENTS = {"adult": "service;sensitive", "child": "service", "saver": "service;sensitive"}
HABITS = {1: ("groceries", 40), 9: ("dining", 20), 17: ("groceries", 45), 24: ("shopping", 60)}
"""What everybody buys each month: day, category, amount."""


def row(customer: str, day: date, amount: int, category: str, text: str, **more: Any) -> dict[str, Any]:
    """A transaction as the daily file told it."""
    key = f"{customer}-{day}-{text}-{amount}"
    told = {"client_id": CLIENT, "source": "core", "customer_id": customer, "account_id": customer}
    told |= {"transaction_key": key, "transaction_id": key, "business_date": day, "amount": Decimal(amount)}
    told |= {"currency": "EUR", "description": text, "source_category": category, "status": "posted"}
    told |= {"known_at": datetime.combine(day + timedelta(days=1), time(1)), "_load_id": str(day)}
    return told | {"_record": int(day.strftime("%d")), "payment_mode": "card"} | more


def transactions() -> Iterator[dict[str, Any]]:
    """A year and a half of habits; in the last weeks each customer's life changes, but one's."""
    months = [date(2025 + number // 12, number % 12 + 1, 1) for number in range(18)]
    for customer in ("steady", "mover", "worker", "saver", "adult", "child"):
        for month in months:
            for day, (category, amount) in HABITS.items():
                yield row(customer, month.replace(day=day), -amount, category, f"SHOP {category}")
            employer = "NEW MILLS" if customer == "worker" and month >= date(2026, 4, 1) else "OLD WORKS"
            pay = {"payment_mode": "transfer"}
            yield row(customer, month.replace(day=27), 2000, "salary", f"{employer} SALARY", **pay)
    for number in range(6):
        day = date(2026, 5, 3) + timedelta(days=4 * number)
        yield row("mover", day, -150, "home_improvement", "TIMBER AND PAINT")
        for parent in ("adult", "child"):
            yield row(parent, day, -70, "education_children", "LITTLE SCHOOL")
    for month in (date(2026, 3, 5), date(2026, 4, 5), date(2026, 5, 5)):
        yield row("saver", month, -100, "investments", "INDEX FUND", payment_mode="transfer")


@pytest.fixture(scope="module")
def told(home: Path) -> Warehouse:
    """The last date, built and told."""
    warehouse = Warehouse(home, "goals")
    warehouse.insert(
        "ops.clients",
        [{"client_id": CLIENT, "base_currency": "EUR", "timezone": "UTC", "interchange_rate": Decimal(0)}],
    )
    customer = {"client_id": CLIENT, "source": "crm", "birth_year": 1980, "_load_id": "crm"}
    warehouse.insert(
        "raw.customers",
        [
            customer
            | {"customer_id": name, "consents": consents, "known_at": cutoff(FIRST), "_record": number}
            for number, (name, consents) in enumerate(CONSENTS.items())
        ],
    )
    warehouse.insert("raw.transactions", transactions())
    warehouse.set_dates([], tonight=[LAST])
    warehouse.dbt("build", "--select", GOALS, *KINDS)
    return warehouse


def evidence(warehouse: Warehouse, day: date) -> pd.DataFrame:
    """What speaks for anything on a date."""
    return warehouse.frame(
        "select * from intermediate.int_life_event_evidence"
        f" where as_of_date = date '{day}' order by customer_id, rule"
    )


def test_what_changed_is_told_with_its_evidence(told: Warehouse) -> None:
    """A rule that nothing can meet, an event of somebody else, one that was told without consent."""
    events = told.frame("select customer_id, event from marts.fct_life_events order by 1, 2")
    assert list(events.itertuples(index=False, name=None)) == [
        ("adult", "child"),
        ("mover", "new_home"),
        ("saver", "retirement_saving"),
        ("worker", "job_change"),
    ]
    rows = told.frame("select * from marts.fct_life_event_evidence order by customer_id, rule")
    assert set(zip(rows.customer_id, rows.rule, strict=True)) == {
        ("adult", "child_care"),
        ("mover", "home_furnished"),
        ("saver", "saving_began"),
        ("saver", "saving_grew"),
        ("worker", "job_payer"),
    }
    (mover,) = rows[rows.customer_id == "mover"].to_dict("records")
    assert (mover["payments"], mover["amount"], mover["usual_amount"]) == (6, 900, 0)
    assert mover["since_date"].date() == date(2026, 5, 3)
    assert mover["transaction_key"].startswith("mover-2026-05-")
    (worker,) = rows[rows.customer_id == "worker"].to_dict("records")
    assert worker["series"].upper().startswith("NEW MILLS") and worker["since_date"].date() == date(
        2026, 4, 27
    )


def test_evidence_of_a_past_date_never_learns_later_news(told: Warehouse) -> None:
    """A condition on known_at or superseded_at lost on the way: an event that was guessed from the future."""
    later = Warehouse(told.home, "goals_later", told)
    late = {"known_at": cutoff(LAST), "_load_id": "late"}
    news = [
        row("steady", LAST - timedelta(days=3 * number), -150, "home_improvement", "TIMBER", **late)
        for number in range(6)
    ]
    corrected = [
        one | late | {"amount": one["amount"] * 3, "_content_hash": "x3", "_record": 100 + number}
        for number, one in enumerate(transactions())
        if one["business_date"] > date(2026, 4, 1)
    ]
    later.insert("raw.transactions", [*news, *corrected])
    later.set_dates([LAST], tonight=[LAST, NEXT])
    later.dbt("build", "--select", GOALS, "--resource-type", "model", "--full-refresh")
    pd.testing.assert_frame_equal(evidence(later, LAST), evidence(told, LAST))
    known = evidence(later, NEXT)
    assert "steady" in set(known.customer_id), "a canary that was never in the mine proves nothing"
    assert known[known.customer_id == "mover"].amount.tolist() == [2700], "as corrected"


def test_a_later_night_changes_nothing_that_was_told(told: Warehouse) -> None:
    """Events of the past that are told anew when a rule, a consent or an exclusion changes."""
    later = Warehouse(told.home, "goals_next", told)
    later.insert(
        "ops.client_rules",
        [{"client_id": CLIENT, "opted_out": "no_profiling", "excluded_events": ";new_home;"}],
    )
    later.set_dates([LAST], tonight=[NEXT])
    later.dbt("build", "--select", GOALS, "--resource-type", "model")
    query = (
        f"select * from marts.fct_life_events where as_of_date = date '{LAST}' order by customer_id, event"
    )
    pd.testing.assert_frame_equal(later.frame(query), told.frame(query))
    tonight = later.frame(f"select event from marts.fct_life_events where as_of_date = date '{NEXT}'")
    assert "new_home" not in set(tonight.event) and "job_change" in set(tonight.event)
