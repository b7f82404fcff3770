"""Deliveries that touch the past: an increment of the touched days is the same as everything built again."""

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tests.dbt.bank import LAST, Bank
from tests.dbt.factory import Warehouse, cutoff

NIGHTS = [LAST + timedelta(days=number) for number in (1, 2, 3)]
VERSIONS = (
    "select * exclude (_load_id, _record) from intermediate.int_transactions order by transaction_key, version"
)
CopyOf = Callable[[Warehouse], Warehouse]


def told(rng: random.Random, row: dict[str, Any], known_at: datetime, load: str, number: int) -> dict[str, Any]:
    """A transaction of the bank told again: late, corrected in amount, moved to another day, or unchanged."""
    change = rng.choice(["amount", "day", "nothing", "late"])
    changed = row | {"known_at": known_at, "_load_id": load, "_record": number}
    if change == "amount":
        changed |= {"amount": row["amount"] * 2, "_content_hash": f"{load}.{number}"}
    if change == "day":
        moved = row["business_date"] - timedelta(days=rng.randint(1, 40))
        changed |= {"business_date": moved, "_content_hash": f"{load}.{number}"}
    if change == "late":
        key = f"late.{load}.{number}"
        changed |= {"transaction_key": key, "transaction_id": key}
        if rng.random() < 0.5:
            changed |= {"original_transaction_id": row["transaction_id"], "status": "posted"}
    return changed


@pytest.fixture(scope="module")
def nights(built: Warehouse, bank: Bank) -> Warehouse:
    """Three nights on the built bank, each with corrections, late rows and a replaced period of its own."""
    rng, warehouse = random.Random(5), Warehouse(built.home, "deliveries", built)
    for number, night in enumerate(NIGHTS):
        known_at = cutoff(night) - timedelta(hours=3)
        rows = rng.sample(bank.transactions, 60)
        warehouse.insert(
            "raw.transactions",
            [told(rng, row, known_at, f"night{number}", record) for record, row in enumerate(rows)],
        )
        start = date(2026, 4, 1) + timedelta(days=10 * number)
        period = dict(client_id="uk", source="core", period_from=start, period_to=start + timedelta(days=2))
        warehouse.insert(
            "raw.replaced_periods", [period | dict(known_at=known_at, _load_id=f"night{number}")]
        )
        warehouse.set_dates([], tonight=[night])
        warehouse.build_features()
    return warehouse


def test_touched_days_alone_give_what_a_full_rebuild_gives(nights: Warehouse, copy_of: CopyOf) -> None:
    """A version, a posting or a withdrawal on a day that the night did not touch."""
    touched = nights.frame("select count(*) as n from ops.touched_days").n[0]
    days = nights.frame("select count(distinct (client_id, business_date)) as n from raw.transactions").n[0]
    assert 0 < touched < days / 3
    whole = copy_of(nights)
    whole.build_features("--full-refresh")
    pd.testing.assert_frame_equal(nights.frame(VERSIONS), whole.frame(VERSIONS))
    later = nights.frame("select count(*) as n from intermediate.int_transactions where version > 1").n[0]
    withdrawn = nights.frame(
        "select count(*) as n from staging.stg_transactions where superseded_at is not null and source = 'core'"
        " and business_date between date '2026-04-01' and date '2026-04-03' and client_id = 'uk'"
    ).n[0]
    assert later > 20 and withdrawn > 0


def test_money_is_neither_lost_nor_counted_twice(nights: Warehouse) -> None:
    """Two current versions of a transaction, or none of one that holds."""
    nights.dbt("test", "--select", "staging_says_what_the_files_told")
    twice = nights.frame(
        "select transaction_key from staging.stg_transactions where superseded_at is null"
        " group by 1 having count(*) > 1"
    )
    assert twice.empty
