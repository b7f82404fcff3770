"""Leak canaries: whatever comes later, however it is delivered, every past feature vector stays the same."""

import csv
import io
import json
import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.dbt.bank import Bank
from tests.dbt.factory import Warehouse, cutoff
from tests.dbt.lending import CLIENT as LENDER
from tests.dbt.lending import make_lender
from tests.dbt.nights import Nights, hour
from tests.dbt.payments import CLIENT, DATES, LAST, MERCHANTS, make_payments

FEATURES = {
    "features_customers": "client_id, customer_id, as_of_date",
    "features_movements": "client_id, transaction_key, as_of_date",
    "features_transactions": "client_id, transaction_key, as_of_date",
    "features_velocity": "client_id, transaction_key, as_of_date",
}
BORROWED = {**FEATURES, "features_credit": "client_id, customer_id, as_of_date"}
"""With the features that only a lender's feeds fill."""
KINDS = ("--resource-type", "model", "--resource-type", "seed")
NEXT = LAST + timedelta(days=30)
LATE = cutoff(LAST)  # the first moment that the last date must not know
NEW_DEVICE_AT = datetime.combine(LAST - timedelta(days=21), datetime.min.time()) + timedelta(hours=12)


def vectors(warehouse: Warehouse, table: str) -> pd.DataFrame:
    """Past vectors of a feature table, in order."""
    return warehouse.frame(
        f"select * from features.{table} where as_of_date <= date '{LAST}' order by {BORROWED[table]}"
    )


@pytest.fixture(scope="module")
def past(home: Path, bank: Bank) -> Warehouse:
    """The small banks and the lender with all features of the past dates."""
    warehouse = Warehouse(home, "past")
    bank.write(warehouse)
    make_payments().write(warehouse)
    make_lender().write(warehouse)
    warehouse.set_dates([], tonight=DATES)
    warehouse.dbt("build", "--select", *(f"+{table}" for table in BORROWED), *KINDS)
    return warehouse


def add_rows(warehouse: Warehouse) -> None:
    """Rows of the future, late rows, and new versions of what is there."""
    for client in (CLIENT, "uk"):
        row = dict(
            client_id=client, source="core", currency="GBP", amount=-5000, status="posted", account_id="A"
        )
        row |= dict(payment_mode="card", description=MERCHANTS[0], merchant_name=MERCHANTS[0], known_at=LATE)
        row |= dict(customer_id="P0" if client == CLIENT else "C0", _content_hash="late", _load_id="late")
        rows = []
        for number, ago in enumerate([0, 1, 20, 59, 89, 200, 364]):
            day = LAST - timedelta(days=ago)
            key = dict(transaction_key=f"late-{client}-{number}", _record=number, business_date=day)
            rows.append(
                row | key | dict(event_at=datetime.combine(day, datetime.min.time()) + timedelta(hours=10))
            )
        # Known in time, of a day that no past date may count.
        future = dict(transaction_key=f"future-{client}", _record=99, business_date=LAST + timedelta(days=9))
        warehouse.insert("raw.transactions", [*rows, row | future | dict(known_at=datetime(2026, 2, 1))])
    told_again = "select * replace ({changes}, timestamp '{late}' as known_at, '{load}' as _load_id)"
    told_again += " from raw.transactions"
    for load, changes, condition in [
        ("corrected", "amount * 3 as amount, 'x3' as _content_hash", "hash(transaction_key) % 3 = 0"),
        (
            "moved",
            "business_date - 40 as business_date, 'moved' as _content_hash",
            "hash(transaction_key) % 7 = 0",
        ),
        (
            "posted",
            "transaction_key || 'q' as transaction_key, amount * 2 as amount",
            "original_transaction_id is not null",
        ),
    ]:
        told = told_again.format(changes=changes, late=LATE, load=load)
        # Each transaction once: no file tells one twice under the same number of a record.
        once = "qualify row_number() over (partition by transaction_key order by known_at, _load_id) = 1"
        loads = "_load_id not in ('late', 'corrected', 'moved')"
        warehouse.execute(f"insert into raw.transactions by name {told} where {condition} and {loads} {once}")
    warehouse.insert(
        "raw.replaced_periods",
        [
            dict(client_id=CLIENT, source="core", known_at=LATE, _load_id="period")
            | dict(period_from=LAST - timedelta(days=10), period_to=LAST)
        ],
    )


def add_other_news(warehouse: Warehouse) -> None:
    """Closings, moves, log-ins, devices, fraud reports and cases that become known too late for the past."""
    for client, customer in [("uk", "C0"), (CLIENT, "P0"), (CLIENT, "P2")]:
        row = dict(client_id=client, source="crm", customer_id=customer, city="Elsewhere", country="FR")
        row |= dict(
            closed_on=date(2026, 3, 2), closed_known_at=LATE, known_at=LATE, _load_id="late", _record=1
        )
        warehouse.insert("raw.customers", [row])
    login = dict(client_id="in", source="app", customer_id="C3", event_type="login", known_at=LATE)
    login |= dict(event_at=datetime(2026, 5, 30, 12), _load_id="late", _record=1)
    use = dict(client_id=CLIENT, source="app", customer_id="P0", event_type="app_open", known_at=LATE)
    new = dict(device_token="thief", event_at=NEW_DEVICE_AT, _load_id="late", _record=2)
    known = dict(device_token="P0-phone0", event_at=datetime(2026, 1, 1), _load_id="late", _record=3)
    warehouse.insert("raw.events", [login, use | new, use | known])
    warehouse.execute(
        "insert into raw.labels by name select client_id, 'desk' as source, 'transaction' as entity,"
        f" transaction_id as entity_id, 'fraud' as label, 'true' as value, timestamp '{LATE}' as event_at,"
        f" timestamp '{LATE}' as known_at, 'late' as _load_id, row_number() over () as _record"
        f" from raw.transactions where client_id = '{CLIENT}' and hash(transaction_key) % 2 = 0"
    )
    warehouse.execute(
        "insert into operations.case_labels by name select row_number() over () as event_id, client_id,"
        " transaction_key, if(hash(transaction_key) % 4 = 1, 'fraud', 'genuine') as verdict,"
        f" timestamp '{LATE}' as known_at from raw.transactions"
        f" where client_id = '{CLIENT}' and hash(transaction_key) % 2 = 1"
    )


def add_lending_news(warehouse: Warehouse) -> None:
    """Standings, defaults, a new limit and the bureau's reports of the past that become known too late."""
    late = f"timestamp '{LATE}' as known_at, 'late' as _load_id"
    warehouse.execute(
        "insert into raw.loans by name"
        f" select * replace ('defaulted' as status, date '{LAST}' - 40 as status_on, {late},"
        "   principal * 9 as principal, instalment * 9 as instalment) from raw.loans"
        "   qualify row_number() over (partition by loan_id order by known_at desc) = 1;"
        "insert into raw.credit_bureau by name"
        f" select * replace ({late}, 7777 as total_balance, reported_on + 20 as reported_on)"
        " from raw.credit_bureau;"
        f"insert into raw.labels by name select * replace ({late}, 'false' as value) from raw.labels"
        f" where client_id = '{LENDER}';"
        "insert into raw.labels by name select client_id, 'desk' as source, 'customer' as entity,"
        " customer_id as entity_id, 'default' as label, 'true' as value,"
        f" timestamp '{LAST}' - interval 90 day as event_at, {late}, 1 as _record"
        " from raw.loans where loan_id = 'L0'"
        f" and _load_id <> 'late' limit 1;"
        f"insert into raw.accounts by name select * replace ({late}, 9999 as credit_limit) from raw.accounts"
        f" where client_id = '{LENDER}'"
    )


def change_merchants(warehouse: Warehouse) -> None:
    """A person's correction, and a rule for other merchants, both since the last publication."""
    base = [dict(client_id=client, as_of_date=LAST, cutoff_at=LATE) for client in (CLIENT, "uk", "in")]
    warehouse.insert("ops.base_horizon", base)
    correction = dict(id=1, action="correct", merchant="Brindlemere and Oakenshade", subcategory="gambling")
    correction |= dict(
        pattern="%BRINDLEMERE%".lower(), reason="one house", ordered_by="test", publication_id="x"
    )
    warehouse.insert("operations.merchant_corrections", [correction | dict(known_at=LATE, recorded_at=LATE)])
    alias = "insert into staging.merchant_aliases by name select * replace ('{key}' as alias_key) from"
    alias += " staging.merchant_aliases limit 1"
    for merchant in MERCHANTS[:2]:
        warehouse.execute(alias.format(key=merchant.lower()))


def test_a_past_vector_never_learns_later_news(past: Warehouse) -> None:
    """A condition on known_at or superseded_at lost anywhere between raw and the features."""
    later = Warehouse(past.home, "later", past)
    add_rows(later)
    add_other_news(later)
    change_merchants(later)
    later.set_dates(DATES, tonight=[NEXT])
    build = ("build", "--select", *(f"+{table}" for table in BORROWED), "--resource-type", "model")
    add_lending_news(later)
    later.dbt(*build, "--full-refresh")
    for table in BORROWED:
        pd.testing.assert_frame_equal(vectors(later, table), vectors(past, table), obj=table)
    _assert_news_arrived(later)


def _assert_news_arrived(later: Warehouse) -> None:
    """A canary that was never in the mine proves nothing."""
    news = later.frame(
        f"""
        select count(*) filter (where _load_id = 'late') as late,
               count(*) filter (where _load_id = 'corrected') as corrected,
               count(*) filter (where _load_id = 'moved') as moved,
               count(*) filter (where _load_id = 'posted') as posted,
               count(*) filter (where superseded_at = timestamp '{LATE}') as ended,
               count(*) filter (where merchant_tier = 'correction') as by_correction,
               count(*) filter (where merchant_tier = 'alias' and known_at >= timestamp '{LATE}') as by_rule
        from intermediate.int_transactions
        """
    )
    assert (news.iloc[0] > 0).all(), news.to_dict("records")
    verdicts = later.frame(
        "select count(*) filter (where is_fraud) as fraud, count(*) filter (where not is_fraud) as genuine"
        f" from intermediate.int_fraud_reports where known_at = timestamp '{LATE}'"
    )
    assert (verdicts.iloc[0] > 0).all(), verdicts.to_dict("records")
    described = later.frame(
        "select count(*) filter (where transaction_key like 'late-%') as late, max(is_away) as away"
        f" from features.features_transactions where as_of_date = date '{NEXT}'"
    )
    lent = later.frame(
        "select count(*) filter (where is_in_default) as failed, max(own_credit_limit) as own_limit,"
        " max(total_balance) as owed from features.features_credit"
        f" where as_of_date = date '{NEXT}' and client_id = '{LENDER}'"
    )
    assert lent.failed[0] > 8 and lent.own_limit[0] == 9999 and lent.owed[0] == 7777
    # Two of the fourteen stand in the period that was taken back.
    assert described.values.tolist() == [[12, 1.0]]
    (told,) = later.frame(
        "select seconds_since_new_device, amount_to_merchant_mean_30d, merchant_transactions_1h"
        " from features.features_velocity where transaction_key = 'late-pay-2'"
    ).to_dict("records")
    assert told["seconds_since_new_device"] == 22 * 3600, "the device that became known late"
    assert told["amount_to_merchant_mean_30d"] > 10 and told["merchant_transactions_1h"] >= 0


# Below: real files and real nights.

HEADER = ["id", "customer", "card", "at", "amount", "text", "status", "original"]
FIRST_NIGHT = date(2026, 3, 2)
NIGHTS = [FIRST_NIGHT + timedelta(days=number) for number in range(3)]
CONTRACT: dict[str, Any] = {
    "client": "bank",
    "source": "cards",
    "files": "cards_*",
    "format": {"type": "csv"},
    "delivery": {"mode": "upsert", "required": False},
    "feeds": {
        "transactions": {
            "key": ["transaction_id"],
            "known_at": "manifest",
            "columns": {
                "transaction_id": "id",
                "customer_id": "customer",
                "account_id": "customer",
                "card_token": "card",
                "event_at": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
                "amount": "amount",
                "description": "text",
                "status": "status",
                "original_transaction_id": "original",
                "payment_mode": {"constant": "card"},
            },
        }
    },
}


class Sender:
    """Sends a history and then, night after night, new rows, late ones, corrections and postings."""

    def __init__(self, seed: int = 3) -> None:
        self.rng = random.Random(seed)
        self.files: list[tuple[str, datetime, list[list[str]]]] = []
        self.rows: list[list[str]] = []
        history = [self._row(FIRST_NIGHT - timedelta(days=ago)) for ago in range(1, 130) for _ in range(2)]
        self._send("cards_history.csv", hour(FIRST_NIGHT, -20), history)
        for day in NIGHTS:
            new = [self._row(day) for _ in range(8)]
            late = [self._row(day - timedelta(days=self.rng.randint(1, 40))) for _ in range(3)]
            told = [row for row in self.rows if row[6] == "posted"]
            corrected = [[*row[:4], f"{float(row[4]) * 3:.2f}", *row[5:]] for row in self.rng.sample(told, 4)]
            pending = [row for row in self.rows if row[6] == "pending"]
            posted = [[f"{row[0]}p", *row[1:6], "posted", row[0]] for row in self.rng.sample(pending, 4)]
            self._send(f"cards_{day}.csv", hour(day), [*new, *late, *corrected, *posted])

    def _row(self, day: date) -> list[str]:
        at = datetime.combine(day, datetime.min.time()) + timedelta(minutes=self.rng.randint(0, 1439))
        customer = self.rng.choice(["ann", "bob"])
        status = self.rng.choice(["posted", "posted", "posted", "pending"])
        amount = f"{-self.rng.uniform(1, 90):.2f}"
        merchant = self.rng.choice(MERCHANTS)
        self.rows.append(
            [f"t{len(self.rows)}", customer, f"{customer}-card", str(at), amount, merchant, status, ""]
        )
        return self.rows[-1]

    def _send(self, name: str, known_at: datetime, rows: list[list[str]]) -> None:
        self.files.append((name, known_at, rows))

    def drop(self, nights: Nights, *, after: datetime, before: datetime) -> None:
        """Put the files that became known in a time into the inbox."""
        for name, known_at, rows in self.files:
            if after <= known_at < before:
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
                path = nights.settings.home / "inbox" / name
                path.write_text(text.getvalue())
                path.with_name(f"{name}.manifest.json").write_text(
                    json.dumps({"known_at": known_at.isoformat()})
                )


def described(nights: Nights, table: str, days: list[date]) -> pd.DataFrame:
    """Published feature rows of some dates, in order."""
    listed = ", ".join(f"date '{day}'" for day in days)
    columns = [name for name, *_ in nights.rows(f"describe features.{table}")]
    rows = nights.rows(
        f"select * from features.{table} where as_of_date in ({listed}) order by {FEATURES[table]}"
    )
    return pd.DataFrame(rows, columns=columns)


ALWAYS, NEVER = datetime(2000, 1, 1), datetime(2100, 1, 1)


@pytest.fixture(scope="module")
def sender() -> Sender:
    """The files of all nights."""
    return Sender()


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory, sender: Sender) -> Nights:
    """Each night finds the files that came since the last one."""
    nights = Nights(tmp_path_factory.mktemp("daily"), cards=CONTRACT)
    last = ALWAYS
    for day in NIGHTS:
        sender.drop(nights, after=last, before=cutoff(day))
        nights.run(day)
        last = cutoff(day)
    return nights


@pytest.mark.slow
def test_files_that_all_lie_there_give_what_daily_files_gave(
    daily: Nights, tmp_path: Path, sender: Sender
) -> None:
    """A row that counts from when its file was read, not from when it could have been known."""
    at_once = Nights(tmp_path, cards=CONTRACT)
    sender.drop(at_once, after=ALWAYS, before=NEVER)
    at_once.run(NIGHTS[0], tests=False)
    at_once.run(NIGHTS[-1], tests=False)
    for table in FEATURES:
        expected = described(daily, table, NIGHTS)
        assert len(expected) > 5
        pd.testing.assert_frame_equal(described(at_once, table, NIGHTS), expected, obj=table)


@pytest.mark.slow
def test_a_snapshot_of_files_cut_at_its_cutoff_equals_the_stored_one(
    daily: Nights, tmp_path: Path, sender: Sender
) -> None:
    """A stored vector that used anything which came after its cutoff, or lacks what was there."""
    day = NIGHTS[1]
    cut = Nights(tmp_path, cards=CONTRACT)
    sender.drop(cut, after=ALWAYS, before=cutoff(day))
    cut.run(day, tests=False)
    stored = described(daily, "features_customers", [day])
    pd.testing.assert_frame_equal(described(cut, "features_customers", [day]), stored)
    # Where the cut date is the first, it describes the whole history: its own part must be the same.
    for table in ("features_movements", "features_transactions", "features_velocity"):
        stored = described(daily, table, [day]).set_index("transaction_key")
        whole = described(cut, table, [day]).set_index("transaction_key")
        assert len(stored) > 10 and len(whole) > len(stored)
        pd.testing.assert_frame_equal(whole.loc[stored.index], stored, obj=table)
