"""Building touched days only gives what building everything gives, whatever was delivered in which order."""

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from nightledger.ingestion import coverage, removal
from tests.dbt.factory import Warehouse, cutoff

CopyOf = Callable[[Warehouse], Warehouse]
FIRST = date(2026, 3, 1)
NIGHTS = 4
MODELS = ("build", "--select", "+int_transactions", "--resource-type", "model", "--resource-type", "seed")
HASH = """
    select count(*), sum(hash(t)) from (
        select columns(c -> not starts_with(c, '_')) from intermediate.int_transactions
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
        for number in range(12):
            kind = self.rng.choice(["new", "new", "new", "correct", "move", "post", "again"])
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
        common = dict(client_id="a", source="s", customer_id="c", currency="GBP", description=f"SHOP {key}")
        common |= dict(transaction_key=key, transaction_id=key, original_transaction_id=None)
        status = self.rng.choice(["pending", "posted"])
        return common | dict(business_date=self._day(), amount=-self.rng.randint(1, 99), status=status)

    def _day(self) -> date:
        return FIRST + timedelta(days=self.rng.randint(0, 12))


def build(warehouse: Warehouse, night: int, held: Sequence[str]) -> None:
    """One night: some loads are set aside, and the days that differ are built."""
    days = [FIRST + timedelta(days=number) for number in range(night + 1)]
    warehouse.set_dates(days[:-1], tonight=days[-1:])
    with warehouse.connect() as connection:
        removal.remove(connection, held)
        coverage.update(connection, [])
    warehouse.dbt(*MODELS)


@pytest.mark.parametrize("seed", [11])
def test_touched_days_give_what_all_days_give(home: Any, copy_of: CopyOf, seed: int) -> None:
    """A day left out: of another version, a posting, a replaced period, a held file, a row known tonight."""
    warehouse = Warehouse(home, f"touched{seed}")
    warehouse.insert("ops.clients", [dict(client_id="a", base_currency="GBP", timezone="UTC", country="GB")])
    deliveries = Deliveries(warehouse, seed)
    for night in range(NIGHTS):
        loads = sorted({row["_load_id"] for row in deliveries.told})
        for _ in range(3):
            deliveries.deliver(night)
        build(warehouse, night, held=deliveries.rng.sample(loads, min(len(loads), 1)))
    whole = copy_of(warehouse)
    whole.dbt(*MODELS, "--full-refresh")
    assert warehouse.frame(HASH).values.tolist() == whole.frame(HASH).values.tolist()
    ended = warehouse.frame("select count(superseded_at) as n from intermediate.int_transactions")
    assert ended.n[0] > 20, "the sender must correct, post and replace, or the test shows nothing"
