"""Scores meet their labels: the model's own definition, as known then and as known now."""

from datetime import date, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml import config, outcomes
from nightledger import warehouse
from tests.unit.ml.bank import LAST, Bank

DAY = date(2025, 9, 30)
"""Matures 63 days later."""


@pytest.fixture(autouse=True)
def only_churn(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank has what churn needs, and nothing else."""
    monkeypatch.setattr(config, "names", lambda: ["churn"])


def scored(bank: Bank, *days: date) -> None:
    """Let the model of before have scored everybody on these days."""
    bank.run("create schema if not exists marts")
    listed = ", ".join(f"date '{day}'" for day in days)
    bank.run(f"""
        create or replace table marts.fct_scores as
        select distinct client_id, 'churn' as model, 'v1' as model_version, 'customer' as entity,
            customer_id as entity_id, as_of_date, 'champion' as role
        from features.features_customers where as_of_date in ({listed})
    """)
    facts = "client_id varchar, business_date date, known_at timestamp"
    bank.run(f"create or replace table ops.changed_facts ({facts})")


def judged(bank: Bank) -> list[dict[str, Any]]:
    """What the night leaves in the lake."""
    for path in bank.build.glob("lake/**/*.parquet"):
        path.unlink()
    with warehouse.connect(bank.build, settings=bank.settings) as connection:
        outcomes.write(connection, bank.settings, bank.build)
    tables = [pq.read_table(path) for path in sorted(bank.build.glob("lake/outcomes/*/*/*/part.parquet"))]
    assert all(table.schema.equals(warehouse.LAKE_SCHEMAS["outcomes"]) for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def acted_within(bank: Bank, day: date) -> dict[str, bool]:
    """By customer active on a day: whether they did anything in the 60 days after it."""
    return dict(
        bank.ask(f"""
            select customer_id, bool_or(business_date between date '{day}' + 1 and date '{day}' + 60)
            from intermediate.int_transactions
            group by 1 having bool_or(business_date between date '{day}' - 89 and date '{day}')
        """)
    )


def test_a_score_is_judged_when_its_label_has_matured_and_not_before(bank: Bank) -> None:
    """Catches a horizon that is cut short: everybody would seem to have left."""
    early = LAST - timedelta(days=31)
    scored(bank, DAY, early)
    rows = judged(bank)
    assert {row["as_of_date"] for row in rows} == {DAY}
    assert {row["matured_on"] for row in rows} == {DAY + timedelta(days=63)}
    assert {row["judged_on"] for row in rows} == {LAST}
    acted = acted_within(bank, DAY)
    assert {row["entity_id"]: row["label"] for row in rows} == {
        customer: int(not did) for customer, did in acted.items()
    }
    assert 0 < sum(row["label"] for row in rows) < len(rows)


def test_what_was_told_late_is_known_now_and_was_not_then(bank: Bank) -> None:
    """Catches one label for both, so that a report which came late would rewrite what people could know."""
    scored(bank, DAY)
    (leaver, *_) = sorted(row["entity_id"] for row in judged(bank) if row["label"] == 1)
    bank.run(f"""
        insert into intermediate.int_transactions
        values ('tester', '{leaver}', date '{DAY}' + 20, timestamp '{LAST} 12:00:00', null, true, 5)
    """)
    (row,) = (row for row in judged(bank) if row["entity_id"] == leaver)
    assert (row["label"], row["label_now"]) == (1, 0)
    assert sum(row["label"] != row["label_now"] for row in judged(bank)) == 1


def test_a_date_is_judged_again_only_when_something_was_told_about_it(bank: Bank) -> None:
    """Catches a year of scores that is judged every night, and a correction that nobody looks at."""
    scored(bank, DAY)
    assert judged(bank)
    bank.run("create table marts.fct_outcomes as select client_id, model, as_of_date from marts.fct_scores")
    assert not judged(bank)
    for told, expected in ((DAY, False), (DAY + timedelta(days=61), False), (DAY + timedelta(days=60), True)):
        bank.run("delete from ops.changed_facts")
        bank.run(f"insert into ops.changed_facts values ('tester', '{told}', '{LAST}')")
        assert bool(judged(bank)) == expected, told
    bank.run("delete from ops.changed_facts")
    bank.run(f"insert into ops.changed_facts values ('tester', null, '{LAST}')")
    assert judged(bank), "a report names no day; the night is one of a month-end"
    bank.run(f"update ops.horizon set as_of_date = date '{LAST}' - 1")
    assert not judged(bank)


def test_a_feed_that_fell_silent_judges_nobody(bank: Bank) -> None:
    """Catches a hole in the feed that makes leavers of everybody."""
    scored(bank, DAY)
    bank.run(
        "delete from intermediate.int_transactions where business_date"
        f" between date '{DAY}' + 10 and date '{DAY}' + 30"
    )
    assert not judged(bank)


def test_two_nights_write_the_same_bytes(bank: Bank) -> None:
    """Catches an unordered read."""
    scored(bank, DAY)
    judged(bank)
    first = [path.read_bytes() for path in sorted(bank.build.glob("lake/outcomes/**/*.parquet"))]
    judged(bank)
    assert [path.read_bytes() for path in sorted(bank.build.glob("lake/outcomes/**/*.parquet"))] == first
