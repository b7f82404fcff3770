"""A small seeded lender: loans, instalments that come back, arrears, defaults, a bureau, and the facts.

Everything may become known late; standings and bookings are corrected, defaults are taken back.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.dbt.factory import Warehouse

CLIENT = "loans"
FIRST, LAST = date(2024, 12, 1), date(2026, 5, 31)
DATES = [date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30), LAST]
CUSTOMERS = 14


@dataclass(frozen=True)
class Standing:
    """A loan as one record tells it."""

    loan_id: str
    customer_id: str
    account_id: str | None
    principal: int
    instalment: int
    term: int
    granted_on: date
    standing: str
    since: date
    known_at: datetime


@dataclass(frozen=True)
class Booking:
    """One version of a movement: `paid` on a loan's account (negative: it came back), or income."""

    customer_id: str
    account_id: str
    day: date
    paid: int
    income: int
    is_returned_debit: bool
    known_at: datetime
    superseded_at: datetime | None = None


@dataclass(frozen=True)
class Default:
    """A reported default."""

    customer_id: str
    loan_id: str | None
    day: date
    known_at: datetime
    superseded_at: datetime | None = None


@dataclass(frozen=True)
class Report:
    """A bureau's report; None: a code stood there."""

    customer_id: str
    day: date
    balance: int | None
    limit: int | None
    accounts: int | None
    in_arrears: int | None
    known_at: datetime


@dataclass
class Lender:
    """Rows as ingestion would have left them, and the facts behind them."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    standings: list[Standing] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    defaults: list[Default] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    incomes: dict[str, int] = field(default_factory=dict)
    limits: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def tell(self, feed: str, known_at: datetime, **columns: Any) -> None:
        """One raw row."""
        rows = self.rows.setdefault(feed, [])
        common = dict(client_id=CLIENT, source="core", known_at=known_at, _load_id=f"l{known_at:%Y%m%d%H}")
        rows.append(common | dict(_record=len(rows)) | columns)

    def write(self, warehouse: Warehouse) -> None:
        """Fill the raw tables and the client."""
        client = dict(client_id=CLIENT, base_currency="EUR", timezone="Europe/Berlin", country="DE")
        warehouse.insert("ops.clients", [client | dict(interchange_rate=0)])
        for feed, rows in self.rows.items():
            warehouse.insert(f"raw.{feed}", rows)


def known(day: date, late: int = 0) -> datetime:
    """When the file with a day's rows arrives."""
    return datetime.combine(day + timedelta(days=1 + late), time(1))


def add_months(day: date, months: int) -> date:
    """The same day some months later, the last one where that month is shorter."""
    year, month = divmod(day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(day.year + year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


def make_lender(seed: int = 10) -> Lender:
    """The lender; the same seed gives the same rows.

    Customers 0 to 9 have a loan (0 a second one), 10 only a limit, 11 only reports, 12 neither, 13 a loan
    that the ledger never shows. 4 closes in April.
    """
    lender, rng = Lender(), random.Random(seed)
    for number in range(CUSTOMERS):
        customer = f"B{number}"
        income = rng.choice([0, 1500, 3000])
        lender.incomes[customer] = income
        closing = dict(closed_on=date(2026, 4, 15), closed_known_at=known(date(2026, 4, 15)))
        row = dict(customer_id=customer, birth_year=1980, declared_income=income or None)
        lender.tell("customers", known(FIRST), **row, **(closing if number == 4 else {}))
        if number < 10 or number == 13:
            _add_loan(lender, rng, customer, f"L{number}", is_booked=number != 13)
        if number == 0:
            _add_loan(lender, rng, customer, "L0b", is_booked=True)
        if number in (1, 10):
            at = known(date(2026, 3, 10))
            lender.limits[customer] = (500, at)
            lender.tell(
                "accounts", at, account_id=f"K{number}", customer_id=customer, type="card", credit_limit=500
            )
        if number in (2, 3, 5, 11):
            _add_reports(lender, rng, customer)
        if number % 3 == 0:
            _add_salary(lender, rng, customer)
    _add_default(lender, "B7", "L7", date(2025, 9, 5), taken_back=date(2026, 3, 20))
    _add_default(lender, "B8", None, date(2026, 4, 10), taken_back=None)
    _add_default(lender, "B9", "L9", date(2025, 10, 1), taken_back=None)
    return lender


def _add_loan(lender: Lender, rng: random.Random, customer: str, loan: str, *, is_booked: bool) -> None:
    granted = FIRST + timedelta(days=rng.randint(-400, 300))
    if loan == "L1":
        granted = date(2025, 1, 31)
    instalment, term = rng.choice([50, 80, 120]), rng.choice([9, 24, 36])
    account = f"D{loan}"
    loan_of = dict(loan_id=loan, customer_id=customer, account_id=account, principal=instalment * term)
    loan_of |= dict(instalment=instalment, term_months=term, granted_on=granted)
    at = known(max(granted, FIRST))

    def state(standing: str, since: date, known_at: datetime) -> None:
        told = Standing(
            *(loan, customer, account, instalment * term, instalment, term),
            *(granted, standing, since, known_at),
        )
        lender.standings.append(told)
        lender.tell("loans", known_at, **loan_of, status=standing, status_on=since)

    state("running", granted, at)
    since = max(granted, FIRST)
    for standing in rng.choice([["arrears", "running"], ["arrears"], [], ["arrears", "running", "arrears"]]):
        since += timedelta(days=rng.randint(60, 200))
        if since <= LAST:
            state(standing, since, known(since, rng.choice([0, 0, 7])))
    if loan == "L9":
        state("closed", date(2026, 3, 15), known(date(2026, 3, 15), 20))
    if loan == "L5":  # announced before it is
        state("closed", date(2026, 4, 20), known(date(2026, 3, 10)))
    if loan == "L6":
        state("defaulted", date(2026, 4, 20), known(date(2026, 4, 20)))
    if is_booked:
        _add_bookings(lender, rng, customer, account, granted, instalment, term)


def _add_bookings(
    lender: Lender,
    rng: random.Random,
    customer: str,
    account: str,
    granted: date,
    instalment: int,
    term: int,
) -> None:
    owed = 0
    for number in range(1, term + 1):
        due = add_months(granted, number)
        if not FIRST <= due <= LAST:
            continue
        owed += 1
        way = rng.random()
        if way < 0.6:
            paid = owed if rng.random() < 0.5 else 1
            _book(lender, rng, customer, account, due, instalment * paid, "emi_loans", "direct_debit")
            owed -= paid
        elif way < 0.85:
            _book(lender, rng, customer, account, due, instalment, "emi_loans", "direct_debit")
            back = due + timedelta(days=3)
            _book(lender, rng, customer, account, back, -instalment, "refund", "direct_debit")
            _book(lender, rng, customer, account, back, 9, "fees", "fee")
    # Ahead of time, and from before the ledger begins.
    if rng.random() < 0.3:
        day = max(granted, FIRST) + timedelta(days=100)
        _book(lender, rng, customer, account, day, instalment * 3, "emi_loans", "transfer")
    day = LAST - timedelta(days=rng.randint(0, 120))
    _book(lender, rng, customer, f"C{customer}", day, -40, "returned debit", "direct_debit")


def _book(
    lender: Lender,
    rng: random.Random,
    customer: str,
    account: str,
    day: date,
    amount: int,
    category: str,
    mode: str,
) -> None:
    """An amount that leaves the customer; negative comes back. Some are told late, some corrected later."""
    if day > LAST:
        return
    key = f"b{len(lender.rows.get('transactions', []))}"
    at = known(day, rng.choice([2, 20]) if rng.random() < 0.08 else 0)
    versions = [(amount, at, None)]
    if rng.random() < 0.2:
        corrected_at = at + timedelta(days=rng.choice([4, 40]))
        versions = [(amount, at, corrected_at), (amount * 3 // 2, corrected_at, None)]
    for value, known_at, superseded_at in versions:
        row = dict(transaction_key=key, transaction_id=key, account_id=account, customer_id=customer)
        row |= dict(business_date=day, amount=-value, currency="EUR", description="MOVEMENT", status="posted")
        row |= dict(source_category=category, payment_mode=mode, _content_hash=f"{value}")
        lender.tell("transactions", known_at, **row)
        is_of_loan = account.startswith("DL") and category != "fees"
        lender.bookings.append(
            Booking(
                customer_id=customer,
                account_id=account,
                day=day,
                paid=value if is_of_loan else 0,
                income=-value if category == "salary" else 0,
                is_returned_debit=value < 0 and mode == "direct_debit",
                known_at=known_at,
                superseded_at=superseded_at,
            )
        )


def _add_salary(lender: Lender, rng: random.Random, customer: str) -> None:
    day = FIRST
    while day <= LAST:
        if rng.random() < 0.8:
            _book(lender, rng, customer, f"C{customer}", day, -1000, "salary", "transfer")
        day = add_months(day, 1)


def _add_reports(lender: Lender, rng: random.Random, customer: str) -> None:
    for number in range(16):
        day = add_months(date(2025, 1, 31), number)
        balance, limit = rng.choice([-1, 0, 900, 2500]), rng.choice([0, 1000, 5000])
        accounts, in_arrears = rng.choice([0, 3, 98]), rng.choice([0, 1, 96])
        at = known(day, rng.choice([5, 5, 45]))
        report = Report(
            customer_id=customer,
            day=day,
            balance=balance if balance >= 0 else None,
            limit=limit,
            accounts=accounts if accounts < 96 else None,
            in_arrears=in_arrears if in_arrears < 96 else None,
            known_at=at,
        )
        lender.reports.append(report)
        lender.tell(
            "credit_bureau",
            at,
            customer_id=customer,
            reported_on=day,
            total_balance=balance,
            total_credit_limit=limit,
            number_of_open_accounts=accounts,
            number_of_accounts_in_arrears=in_arrears,
        )


def _add_default(lender: Lender, customer: str, loan: str | None, day: date, taken_back: date | None) -> None:
    of = dict(entity="loan", entity_id=loan) if loan else dict(entity="customer", entity_id=customer)
    # A file that tells days only: midnight at the lender's.
    at = datetime.combine(day, time(), ZoneInfo("Europe/Berlin")).astimezone(UTC).replace(tzinfo=None)
    said = [(True, known(day, 12)), *([(False, known(taken_back))] if taken_back else [])]
    for is_default, known_at in said:
        value = str(is_default).lower()
        lender.tell("labels", known_at, **of, label="default", value=value, event_at=at)
    ended = said[1][1] if taken_back else None
    lender.defaults.append(Default(customer, loan, day, said[0][1], ended))
