"""Building touched days only gives what building everything gives, whatever was delivered in which order."""

import random
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from nightledger.ingestion import coverage, removal
from tests.dbt import matching
from tests.dbt.factory import Warehouse, cutoff

CopyOf = Callable[[Warehouse], Warehouse]
FIRST = date(2026, 3, 1)
NIGHTS = 4
KINDS = ["new"] * 3 + ["face"] * 3 + ["correct", "move", "post", "again"]
MODELS = (
    *("build", "--select", "+int_transactions", "+int_touched_days"),
    *("int_reopened_bookings", "int_account_days", "fct_balance_breaks"),
    *("--resource-type", "model", "--resource-type", "seed"),
)
HASH = """
    select business_date, count(*) as n, sum(hash(t)) as content from (
        select columns(c -> not starts_with(c, '_')) from intermediate.int_transactions
    ) as t
    group by business_date order by business_date
"""
BALANCES = ("intermediate.int_account_days", "marts.fct_balance_breaks")
TOUCHED = "select distinct business_date from intermediate.int_touched_days"
SEEN = """
    select count(*) as n, sum(hash(t)) as content from (
        select transaction_key, version, business_date, amount, merchant, movement, category, subcategory,
               category_tier, spend_amount, income_amount, is_customer_initiated
        from intermediate.int_transactions
        where known_at < '{cutoff}' and (superseded_at is null or superseded_at >= '{cutoff}')
    ) as t
"""


class Deliveries:
    """A sender who does everything that senders do, at random: one load a call."""

    def __init__(self, warehouse: Warehouse, seed: int) -> None:
        self.warehouse, self.rng = warehouse, random.Random(seed)
        self.told: list[dict[str, Any]] = []
        self.loads = 0

    def deliver(self, night: int) -> None:
        """New rows, late ones, corrections, postings, repetitions; some are known only on a later night."""
        self.loads += 1
        load, rows = f"l{self.rng.randint(0, 999):03d}_{self.loads}", []
        known_at = cutoff(FIRST + timedelta(days=night)) + timedelta(
            hours=self.rng.choice([-20, -5, -3, -1, 0, 23, 30])
        )
        for number in range(16):
            kind = self.rng.choice(KINDS)
            before = self.rng.choice(self.told) if self.told and kind != "new" else None
            row = dict(before) if before else self._new(f"{load}_{number}")
            if before and kind == "correct":
                row["amount"] = -self.rng.randint(1, 99)
            if before and kind == "move":
                row["business_date"] = self._day()
            if before and kind == "post":
                key = f"{load}_{number}p"
                row |= {"transaction_key": key, "transaction_id": key, "status": "posted"}
                row |= {"original_transaction_id": before["transaction_id"]}
                row["amount"] = before["amount"] * self.rng.choice([-1, 1, 2])
            if before and kind == "face":
                row |= self._facing(before, f"{load}_{number}f")
            content = (row["amount"], row["business_date"], row["status"], row["transaction_key"])
            row |= {"known_at": known_at, "_load_id": load, "_record": number}
            rows.append(row | {"_content_hash": str(hash(content))})
        self.told += rows
        self.warehouse.insert("raw.transactions", rows)
        if self.rng.random() < 0.4:
            day = self._day()
            period = dict(client_id="a", source="s", period_from=day, period_to=day + timedelta(days=1))
            self.warehouse.insert("raw.replaced_periods", [period | {"known_at": known_at, "_load_id": load}])

    def _new(self, key: str) -> dict[str, Any]:
        common = dict(client_id="a", source="s", customer_id="c", currency="GBP", account_id="current")
        common |= dict(transaction_key=key, transaction_id=key, original_transaction_id=None)
        shop = f"SHOP {self.rng.choice('abc')}"
        status = self.rng.choice(["pending", "posted"])
        day, amount = self._day(), -self.rng.randint(1, 99)
        booked_at = datetime.combine(day, time(12)) + timedelta(days=self.rng.choice([0, 0, 1, 3]))
        balance = self.rng.choice([None, self.rng.randint(-20, 20)])
        common |= dict(booked_at=booked_at, balance_after=balance)
        return common | dict(description=shop, business_date=day, amount=amount, status=status)

    def _facing(self, before: dict[str, Any], key: str) -> dict[str, Any]:
        """What faces an earlier row: its refund, with or without its name, or the other leg of a transfer."""
        day = before["business_date"] + timedelta(days=self.rng.randint(0, 4))
        row = dict(transaction_key=key, transaction_id=key, original_transaction_id=None, status="posted")
        row |= dict(business_date=day, amount=-before["amount"], payment_mode=None, source_category=None)
        kind = self.rng.choice(["named", "alike", "leg", "leg", "leg"])
        if kind == "leg":
            return row | dict(account_id="savings", source_category=self.rng.choice(["own transfer", None]))
        name = before["transaction_id"] if kind == "named" else None
        return row | dict(original_transaction_id=name, payment_mode="card")

    def _day(self) -> date:
        return FIRST + timedelta(days=self.rng.randint(0, 12))


def build(warehouse: Warehouse, night: int, held: Sequence[str]) -> None:
    """One night: some loads are set aside, and the days that differ are built."""
    days = [FIRST + timedelta(days=number) for number in range(night + 1)]
    warehouse.set_dates(days[:-1], tonight=days[-1:])
    with warehouse.connect() as connection:
        removal.remove(connection, held)
        coverage.update(connection, [])
    (warehouse.dbt_again if night else warehouse.dbt)(*MODELS)


@pytest.mark.parametrize("seed", [11])
def test_touched_days_give_what_all_days_give(home: Any, copy_of: CopyOf, seed: int) -> None:
    """A day left out: of another version, a posting, a replaced period, a held file, a row known tonight."""
    warehouse = Warehouse(home, f"touched{seed}")
    warehouse.insert("ops.clients", [dict(client_id="a", base_currency="GBP", timezone="UTC", country="GB")])
    deliveries = Deliveries(warehouse, seed)
    before: dict[Any, Any] = {}
    for night in range(NIGHTS):
        loads = sorted({row["_load_id"] for row in deliveries.told})
        for _ in range(3):
            deliveries.deliver(night)
        build(warehouse, night, held=deliveries.rng.sample(loads, min(len(loads), 1)))
        after = content(warehouse)
        changed = {day for day in before.keys() | after.keys() if before.get(day) != after.get(day)}
        assert changed <= set(warehouse.frame(TOUCHED).business_date), "others add up touched days only"
        before = after
        assert warehouse.violations("raw_equals_staging_plus_duplicates") == []
    whole = copy_of(warehouse)
    whole.dbt(*MODELS, "--full-refresh")
    assert content(warehouse) == content(whole)
    for table in BALANCES:
        rows = warehouse.frame(f"from {table} order by all").to_csv()
        assert rows.count("\n") > 9, table
        assert rows == whole.frame(f"from {table} order by all").to_csv()
    counts = warehouse.frame("""
        select count(superseded_at) as ended, count(refunded_key) as refunds, count(paired_key) as legs,
               count(*) filter (is_reinterpreted) as parts
        from intermediate.int_transactions
    """).iloc[0]
    assert counts.ended > 20, "the sender must correct, post and replace, or the test shows nothing"
    assert min(counts.refunds, counts.legs, counts.parts) > 3, counts
    rows = matching.rows_of(warehouse)
    assert matching.pairs_in(warehouse, "int_own_transfers") == matching.transfers(rows)
    assert matching.pairs_in(warehouse, "int_refunds") == matching.refunds(rows)


def content(warehouse: Warehouse) -> dict[Any, tuple[int, int]]:
    """Number and content of the rows of each day."""
    frame = warehouse.frame(HASH)
    return {row.business_date: (row.n, row.content) for row in frame.itertuples()}


def test_no_later_night_changes_what_an_earlier_one_saw(home: Any) -> None:
    """A pair, a refund's purchase or a version that is dated back to before it was known."""
    warehouse = Warehouse(home, "seen")
    warehouse.insert("ops.clients", [dict(client_id="a", base_currency="GBP", timezone="UTC", country="GB")])
    deliveries = Deliveries(warehouse, 12)
    seen: list[list[Any]] = []
    for night in range(NIGHTS):
        for _ in range(4):
            deliveries.deliver(night)
        build(warehouse, night, held=[])
        queries = [SEEN.format(cutoff=cutoff(FIRST + timedelta(days=number))) for number in range(night + 1)]
        now = [warehouse.frame(query).values.tolist() for query in queries]
        assert now[:-1] == seen
        seen = now
    parts = warehouse.frame("select count(*) as n from intermediate.int_transactions where is_reinterpreted")
    assert parts.n[0] > 3, "the sender must tell other halves late, or the test shows nothing"
