"""Two small seeded banks with everything that makes a point in time hard, and what the rows really are.

`uk` sends log-ins and has a daylight-saving zone; `in` has no events feed. Rows arrive late, twice, and as
pending ones that post with another amount; customers close, are known from transactions only, or have none.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.dbt.factory import Warehouse

FIRST, LAST = date(2025, 3, 1), date(2026, 5, 31)
DATES = [date(2026, 3, 31), date(2026, 4, 30), LAST]
CLIENTS = {"uk": ("GBP", "Europe/London", "GB"), "in": ("INR", "Asia/Kolkata", "IN")}
CUSTOMERS = 8

# kind: (movement, direction, is customer-initiated, payment mode, channel, category)
KINDS: dict[str, tuple[str, int, bool, str | None, str | None, str | None]] = {
    "card": ("purchase", -1, True, "card", "pos", None),
    "bare": ("purchase", -1, True, None, None, None),
    "upi": ("purchase", -1, True, "upi", "app", "Dining"),
    "debit": ("purchase", -1, False, "direct_debit", None, "utilities_telecom"),
    "rent": ("rent", -1, False, "standing_order", None, "Rent-Mortgage"),
    "cash": ("cash", -1, True, "cash", "atm", None),
    "fee": ("fee", -1, False, "fee", None, None),
    "person": ("transfer_to_people", -1, True, "upi", "app", "people_transfers"),
    "own": ("own_transfer", -1, True, "transfer", "app", "own transfer"),
    "own_in": ("own_transfer", 1, False, "transfer", None, "own transfer"),
    "refund": ("refund", 1, False, "card", "pos", None),
    "salary": ("salary", 1, False, "transfer", None, "salary"),
    "gift": ("other", 1, False, "transfer", None, None),
    "groceries": ("purchase", -1, True, "wallet", "app", "groceries"),
    "shopping": ("purchase", -1, True, "card", "online", "shopping"),
    "bet": ("purchase", -1, True, "card", "online", "gambling"),
    "pills": ("purchase", -1, True, "card", "pos", "health"),
    "back": ("reversal", 1, False, "card", None, "chargeback"),
    "emi": ("loan_instalment", -1, False, "direct_debit", None, "emi_loans"),
    "plan": ("investment", -1, True, "transfer", "app", "investments"),
    "dividend": ("other_income", 1, False, "transfer", None, "dividend"),
    "charged": ("interest", -1, False, "interest", None, None),
}
CATEGORIES = {
    "upi": ("dining", "restaurant"),
    "debit": ("utilities_telecom", "energy_water"),
    "rent": ("rent_mortgage", "rent"),
    "cash": ("cash", "cash_withdrawal"),
    "fee": ("fees", "bank_fee"),
    "person": ("people_transfers", "people"),
    "groceries": ("groceries", "supermarket"),
    "shopping": ("shopping", "general_merchandise"),
    "bet": ("entertainment", "gambling"),
    "pills": ("health", "pharmacy"),
    "emi": ("emi_loans", "loan_instalment"),
    "plan": ("investments", "funds_savings"),
    "charged": ("fees", "interest"),
}
CITIES = ["Leeds", "Leeds", "LEEDS ", "York", "Bath", None]
IRREGULAR = sorted(KINDS.keys() - {"salary", "rent"})


@dataclass(frozen=True)
class Fact:
    """What the generator knows about a transaction, whatever the models make of it."""

    client_id: str
    customer_id: str
    business_date: date
    known_at: datetime
    amount: float | None  # in base currency; None: not given in it
    movement: str
    is_customer_initiated: bool
    merchant: str
    superseded_at: datetime | None = None
    category: str = "other"
    subcategory: str = "unknown"
    payment_mode: str | None = None
    channel: str | None = None
    city: str | None = None
    hour: int | None = None
    account_id: str = ""
    balance: Decimal | None = None  # only where the account is in base currency
    balance_place: tuple[Any, ...] = ()  # day and order within it


@dataclass
class Bank:
    """Rows as ingestion would have left them, and the facts behind them."""

    transactions: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)

    def book(self, client: str, account: str, amount: float) -> Decimal:
        """Balance of an account after an amount, whatever its currency."""
        before = self.balances.get((client, account), Decimal(300))
        self.balances[client, account] = before + Decimal(f"{amount:.2f}")
        return self.balances[client, account]

    def write(self, warehouse: Warehouse) -> None:
        """Fill the raw tables and the clients."""
        warehouse.insert(
            "ops.clients",
            [
                {"client_id": client, "base_currency": currency, "timezone": zone, "country": country}
                | {"interchange_rate": Decimal("0.0125")}
                for client, (currency, zone, country) in CLIENTS.items()
            ],
        )
        warehouse.insert("raw.transactions", self.transactions)
        warehouse.insert("raw.customers", self.customers)
        warehouse.insert("raw.accounts", self.accounts)
        warehouse.insert("raw.events", self.events)


def known(day: date, late: int = 0) -> datetime:
    """When the daily file with a day's rows arrives."""
    return datetime.combine(day + timedelta(days=1 + late), time(1))


def _days() -> Iterator[date]:
    for number in range((LAST - FIRST).days + 1):
        yield FIRST + timedelta(days=number)


def make_bank(seed: int = 7) -> Bank:
    """The two banks; the same seed gives the same rows."""
    bank, rng = Bank(), random.Random(seed)
    for client in CLIENTS:
        for number in range(CUSTOMERS):
            _add_customer(bank, client, f"C{number}", number)
            if client == "uk":
                _add_accounts(bank, client, f"C{number}", number)
            if number != 5:
                _add_transactions(bank, rng, client, f"C{number}", activity=0.08 * (1 + number))
            if client == "uk" and number != 3:
                _add_logins(bank, rng, client, f"C{number}")
    return bank


def _add_customer(bank: Bank, client: str, customer: str, number: int) -> None:
    """Customer 6 is in no file, 2 closes in April, 4 closes in May and says so in June."""
    if number == 6:
        return
    closing = {
        2: {"closed_on": date(2026, 4, 15), "closed_known_at": known(date(2026, 4, 15))},
        4: {"closed_on": date(2026, 5, 20), "closed_known_at": datetime(2026, 6, 2)},
    }
    row = dict(client_id=client, source="crm", customer_id=customer, birth_year=1980, city="Leeds")
    row |= dict(known_at=known(FIRST), _load_id="crm", _record=len(bank.customers))
    row |= dict(consents="service;sensitive" if number % 2 else "service")
    bank.customers.append(row | closing.get(number, {}))


def _add_accounts(bank: Bank, client: str, customer: str, number: int) -> None:
    """A current account or wallet, and savings; 1 has a card instead, 6 an account of unknown type."""
    kinds = {1: "card", 4: "wallet", 6: None}
    for prefix, kind in (("A", kinds.get(number, "current")), ("S", "savings")):
        row = dict(client_id=client, source="crm", account_id=f"{prefix}{customer}", customer_id=customer)
        row |= dict(type=kind, opened_on=FIRST - timedelta(days=100 * number), known_at=known(FIRST))
        bank.accounts.append(row | dict(_load_id="crm", _record=len(bank.accounts)))


def _add_transactions(bank: Bank, rng: random.Random, client: str, customer: str, activity: float) -> None:
    for day in _days():
        if client == "in" and customer == "C1" and day > date(2026, 1, 10):
            return  # quiet for the last months
        if day.day == 25:
            _add(bank, rng, client, customer, day, "salary")
            _add(bank, rng, client, customer, day, "rent")
        while rng.random() < activity:
            _add(bank, rng, client, customer, day, rng.choice(IRREGULAR))


def _add(bank: Bank, rng: random.Random, client: str, customer: str, day: date, kind: str) -> None:
    movement, sign, initiated, mode, channel, category = KINDS[kind]
    merchant = f"{kind} shop {rng.choice('abcdefgh')}"
    amount = sign * round(rng.uniform(1, 400), 2)
    late = rng.choice([2, 9, 33]) if rng.random() < 0.05 else 0
    is_pending = kind == "card" and rng.random() < 0.2
    key = f"{client}{len(bank.facts):06d}"
    account = f"{'S' if kind == 'own_in' else 'A'}{customer}"
    hour, city = rng.choice([3, 9, 13, 18, 22, 23]), rng.choice(CITIES)
    event_at = _utc(client, day, hour) if client == "uk" else None
    currency, base = CLIENTS[client][0], amount
    original: dict[str, Any] = {}
    if rng.random() < 0.03:
        base = round(amount / 2, 2) if rng.random() < 0.5 else None
        original = {"original_amount": abs(base), "original_currency": currency} if base else {}
        currency = "USD"
    row = dict(
        client_id=client,
        source="core",
        customer_id=customer,
        account_id=account,
        transaction_key=key,
        transaction_id=key,
        business_date=day,
        event_at=event_at,
        city=city,
        amount=amount,
        currency=currency,
        description=f"{merchant.upper()}  {rng.randint(1000, 99999)}",
        payment_mode=mode,
        channel=channel,
        source_category=category,
        status="pending" if is_pending else "posted",
        known_at=known(day, late),
        _load_id=f"{day}+{late}",
        _record=len(bank.facts),
        **original,
    )
    if not is_pending:
        row["balance_after"] = bank.book(client, account, amount)
    bank.transactions.append(dict(row))
    if rng.random() < 0.04:
        bank.transactions.append(row | {"known_at": row["known_at"] + timedelta(days=1), "_load_id": "again"})
    category, subcategory = CATEGORIES.get(kind, ("other", "unknown"))
    fact = Fact(
        *(client, customer, day, row["known_at"], base, movement, initiated, merchant),
        **dict(category=category, subcategory=subcategory, payment_mode=mode, channel=channel, city=city),
        hour=None if event_at is None else hour,
        account_id=account,
        balance=row.get("balance_after") if currency == CLIENTS[client][0] else None,
        balance_place=(day, event_at, row["known_at"], row["_load_id"], row["_record"]),
    )
    if not is_pending:
        bank.facts.append(fact)
        return
    posted_at = known(day, late + 3)
    bank.facts.append(replace(fact, superseded_at=posted_at))
    factor = rng.choice([1, 2])
    if original:
        row["original_amount"] *= factor
    posting = dict(transaction_key=f"{key}p", transaction_id=f"{key}p", original_transaction_id=key)
    posting |= dict(amount=amount * factor, status="posted", known_at=posted_at, _load_id=f"{day}+posted")
    booked_on = day + timedelta(days=2)
    posting |= dict(booked_at=_utc(client, booked_on, 12))
    posting |= dict(balance_after=bank.book(client, account, amount * factor))
    bank.transactions.append(row | posting)
    posted = replace(fact, known_at=posted_at, amount=None if base is None else base * factor)
    if currency == CLIENTS[client][0]:
        place = (booked_on, posting["booked_at"], posted_at, posting["_load_id"], row["_record"])
        posted = replace(posted, balance=posting["balance_after"], balance_place=place)
    bank.facts.append(posted)


def _utc(client: str, day: date, hour: int) -> datetime:
    """A local hour of a client's day, as stored."""
    local = datetime.combine(day, time(hour), ZoneInfo(CLIENTS[client][1]))
    return local.astimezone(UTC).replace(tzinfo=None)


def _add_logins(bank: Bank, rng: random.Random, client: str, customer: str) -> None:
    for day in _days():
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            at = datetime.combine(day, time(rng.choice([7, 12, 22, 23]), 30))
            late = 6 if rng.random() < 0.05 else 0
            row = dict(client_id=client, source="app", customer_id=customer, event_at=at)
            row |= dict(event_type=rng.choice(["login", "login", "app_open"]), known_at=known(day, late))
            bank.events.append(row | dict(_load_id="app", _record=len(bank.events)))
