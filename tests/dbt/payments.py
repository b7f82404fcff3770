"""A small seeded bank whose payments have times, cards, terminals, places and fraud reports, and its facts.

Some customers are known by days only, one by both. Payments arrive late, are corrected, or post with another
amount; reports name the bank's own ids, come late and are taken back. Devices are told from March 2026 on.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.dbt.factory import Warehouse

CLIENT, ZONE = "pay", ZoneInfo("Europe/London")
FIRST, LAST = date(2025, 3, 1), date(2026, 5, 31)
# Month-ends as in a history, then two nights in a row; the clocks change between.
DATES = [date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 1), LAST]
DEVICES_FROM = date(2026, 3, 10)
MERCHANTS = ["QUILLBROOK", "HARROWVALE", "BRINDLEMERE", "THISTLEWICK", "OAKENSHADE", "FENWORTHY"]
CITIES = ["Leeds", "York", "Hull"]
CUSTOMERS = 7

# kind: (is purchase, is customer-initiated, sign, share of the amount that is spend, payment mode, category)
KINDS: dict[str, tuple[bool, bool, int, int, str | None, str | None]] = {
    "card": (True, True, -1, 1, "card", None),
    "upi": (True, True, -1, 1, "upi", None),
    "debit": (True, False, -1, 1, "direct_debit", None),
    "fee": (False, False, -1, 1, "fee", None),
    "own": (False, True, -1, 0, "transfer", "own transfer"),
    "refund": (False, False, 1, -1, "card", None),
    "salary": (False, False, 1, 0, "transfer", "salary"),
}


@dataclass(frozen=True)
class Payment:
    """What the generator knows about one version of a transaction."""

    customer_id: str
    key: str
    transaction_id: str
    kind: str
    instrument: str
    merchant: str
    terminal: str | None
    city: str | None
    country: str | None
    amount: float
    business_date: date
    event_at: datetime | None
    known_at: datetime
    superseded_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True)
class Use:
    """An event that tells with which device it was."""

    customer_id: str
    device: str
    event_at: datetime
    known_at: datetime


@dataclass(frozen=True)
class Report:
    """A statement that a transaction is a fraud, or is not."""

    key: str
    is_fraud: bool
    known_at: datetime


@dataclass
class PaymentsBank:
    """Rows as ingestion would have left them, and the facts behind them."""

    transactions: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    homes: list[tuple[str, str | None, datetime]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)

    def write(self, warehouse: Warehouse) -> None:
        """Fill the raw tables and the client."""
        client = dict(client_id=CLIENT, base_currency="GBP", timezone=str(ZONE), country="GB")
        warehouse.insert("ops.clients", [client])
        warehouse.insert("raw.transactions", self.transactions)
        warehouse.insert("raw.customers", self.customers)
        warehouse.insert("raw.labels", self.labels)
        warehouse.insert("raw.events", self.events)


def make_payments(seed: int = 5) -> PaymentsBank:
    """The bank; the same seed gives the same rows."""
    bank, rng = PaymentsBank(), random.Random(seed)
    for number in range(CUSTOMERS):
        customer = f"P{number}"
        _add_home(bank, customer, number)
        for offset in range((LAST - FIRST).days + 1):
            for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
                is_timed = number != 4 and (number != 5 or rng.random() < 0.5)
                _add(bank, rng, customer, FIRST + timedelta(days=offset), is_timed)
    _add_bursts(bank, random.Random(seed))
    for number in range(CUSTOMERS - 1):
        _add_uses(bank, random.Random(seed + number), f"P{number}")
    return bank


def _add_bursts(bank: PaymentsBank, rng: random.Random) -> None:
    """Now and then a card pays a few times within the hour, anywhere; some of it becomes known late."""
    paid = [p for p in bank.payments if p.kind == "card" and not p.superseded_at]
    for payment in rng.sample(paid, 120):
        if payment.event_at is None or payment.event_at.hour > 20 or payment.key.endswith("p"):
            continue
        for number in range(rng.randint(1, 3)):
            key, merchant = f"{payment.key}-{number}", rng.choice(MERCHANTS)
            again = replace(
                payment,
                **{"key": key, "transaction_id": f"bank-{key}", "merchant": merchant},
                terminal=f"{merchant[:3]}1" if rng.random() < 0.7 else None,
                event_at=payment.event_at + timedelta(minutes=rng.choice([2, 15, 30])),
                known_at=_known(payment.business_date, rng.choice([0, 0, 0, 9])),
            )
            _tell(bank, again, status="posted")


def _known(day: date, late: int = 0) -> datetime:
    return datetime.combine(day + timedelta(days=1 + late), time(0, 30))


def _add_home(bank: PaymentsBank, customer: str, number: int) -> None:
    """Customer 6 is in no file, 3 states no city, 2 moves in April."""
    moves = (
        [("Leeds", _known(FIRST)), ("York", datetime(2026, 4, 10))]
        if number == 2
        else [("Leeds", _known(FIRST))]
    )
    for city, known_at in moves if number != 6 else []:
        stated = None if number == 3 else city
        row = dict(client_id=CLIENT, source="crm", customer_id=customer, city=stated, country="GB")
        bank.customers.append(row | dict(known_at=known_at, _load_id="crm", _record=len(bank.customers)))
        bank.homes.append((customer, stated, known_at))


def _add_uses(bank: PaymentsBank, rng: random.Random, customer: str) -> None:
    """Every other day, now and then with another device; a fifth is told late, and some tell no device."""
    device = 0
    for offset in range(0, (LAST - DEVICES_FROM).days, 2):
        day = DEVICES_FROM + timedelta(days=offset)
        device += rng.random() < 0.1
        at = datetime.combine(day, time(rng.randint(5, 22), rng.randint(0, 59)))
        token = f"{customer}-phone{rng.randint(0, device)}" if rng.random() < 0.9 else None
        use = Use(customer, str(token), at, _known(day, rng.choice([0, 0, 0, 0, 12])))
        row = dict(client_id=CLIENT, source="app", customer_id=customer, event_type="app_open", event_at=at)
        row |= dict(device_token=token, known_at=use.known_at, _load_id="app", _record=len(bank.events))
        bank.events.append(row)
        if token:
            bank.uses.append(use)


def _coordinates(key: str) -> tuple[float | None, float | None]:
    """Somewhere in England, most of the time; drawn apart, so that no other draw depends on it."""
    rng = random.Random(key)
    if rng.random() < 0.3:
        return None, None
    return round(rng.uniform(51, 55), 6), round(rng.uniform(-2.5, 0.5), 6)


def _event_at(rng: random.Random, day: date) -> datetime:
    """A moment of the local day, whole hours more often than not, so that some stand at the same moment."""
    clock = (
        time(rng.choice([9, 12, 18, 23]))
        if rng.random() < 0.6
        else time(rng.randint(2, 23), rng.randint(0, 59))
    )
    return datetime.combine(day, clock, ZONE).astimezone(UTC).replace(tzinfo=None)


def _add(bank: PaymentsBank, rng: random.Random, customer: str, day: date, is_timed: bool) -> None:
    kind = rng.choices(list(KINDS), weights=[10, 4, 1, 1, 1, 1, 1])[0]
    late = rng.choice([2, 9, 33]) if rng.random() < 0.06 else 0
    key = f"{customer}-{len(bank.payments):05d}"
    merchant = rng.choices(MERCHANTS, weights=[8, 4, 4, 2, 1, 0.2])[0]
    is_pos = kind == "card" and rng.random() < 0.6
    payment = Payment(
        customer_id=customer,
        key=key,
        transaction_id=f"bank-{key}",
        kind=kind,
        instrument=f"card{rng.randint(1, 2)}-{customer}" if kind == "card" else f"A{customer}",
        merchant=merchant,
        terminal=f"{merchant[:3]}{rng.randint(1, 2)}" if is_pos else None,
        city=rng.choices([*CITIES, None], weights=[8, 2, 1, 2])[0],
        country="FR" if rng.random() < 0.04 else None if rng.random() < 0.2 else "GB",
        amount=KINDS[kind][2] * round(rng.choice([5, 20, 80]) * rng.uniform(0.5, 1.5), 2),
        business_date=day,
        event_at=_event_at(rng, day) if is_timed else None,
        known_at=_known(day, late),
        latitude=_coordinates(key)[0],
        longitude=_coordinates(key)[1],
    )
    if kind == "card" and rng.random() < 0.2:
        posted_at = _known(day, late + rng.randint(1, 4))
        _tell(bank, replace(payment, superseded_at=posted_at), status="pending")
        amount = payment.amount * rng.choice([1, 2])
        posted = replace(
            payment, key=f"{key}p", transaction_id=f"bank-{key}p", amount=amount, known_at=posted_at
        )
        _tell(bank, posted, status="posted", original_transaction_id=payment.transaction_id)
    elif rng.random() < 0.05:
        corrected_at = payment.known_at + timedelta(days=rng.choice([1, 3, 20, 50]))
        _tell(bank, replace(payment, superseded_at=corrected_at), status="posted")
        _tell(bank, replace(payment, amount=payment.amount * 3, known_at=corrected_at), status="posted")
    else:
        _tell(bank, payment, status="posted")
    if KINDS[kind][1] and rng.random() < 0.04:
        _report(bank, rng, payment)


def _tell(bank: PaymentsBank, payment: Payment, **columns: Any) -> None:
    is_card = payment.instrument.startswith("card")
    row = dict(
        client_id=CLIENT,
        source="core",
        customer_id=payment.customer_id,
        account_id=f"A{payment.customer_id}",
        card_token=payment.instrument if is_card else None,
        transaction_key=payment.key,
        transaction_id=payment.transaction_id,
        business_date=payment.business_date,
        event_at=payment.event_at,
        amount=payment.amount,
        currency="GBP",
        description=payment.merchant,
        merchant_name=payment.merchant,
        terminal_id=payment.terminal,
        city=payment.city and payment.city.upper(),
        country=payment.country,
        latitude=payment.latitude,
        longitude=payment.longitude,
        payment_mode=KINDS[payment.kind][4],
        source_category=KINDS[payment.kind][5],
        known_at=payment.known_at,
        _content_hash=f"{payment.amount}",
        _load_id=f"l{payment.known_at:%Y%m%d}",
        _record=len(bank.transactions),
    )
    bank.transactions.append(row | columns)
    bank.payments.append(payment)


def _report(bank: PaymentsBank, rng: random.Random, payment: Payment) -> None:
    """Half of the reports are taken back after a month."""
    reported_at = payment.known_at + timedelta(days=rng.randint(1, 15), hours=5)
    statements = [(True, reported_at), (False, reported_at + timedelta(days=30))][: rng.randint(1, 2)]
    for is_fraud, known_at in statements:
        bank.reports.append(Report(payment.key, is_fraud, known_at))
        row = dict(client_id=CLIENT, source="desk", entity="transaction", entity_id=payment.transaction_id)
        row |= dict(label="fraud", value=str(is_fraud).lower(), event_at=known_at, known_at=known_at)
        bank.labels.append(row | dict(_load_id="desk", _record=len(bank.labels)))
