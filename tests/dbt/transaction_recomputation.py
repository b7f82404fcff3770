"""The 10 transaction features once more, in plain Python over the facts: no SQL, one at a time."""

import statistics
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from tests.dbt.factory import cutoff
from tests.dbt.payments import KINDS, ZONE, Payment, PaymentsBank

MODES = {"card": 1, "upi": 2, "wallet": 3, "transfer": 4}
Vector = dict[str, float | None]


def midnight(day: date) -> datetime:
    """The moment (UTC) at which the bank's day begins."""
    return datetime.combine(day, time(), ZONE).astimezone(UTC).replace(tzinfo=None)


def stands_at(payment: Payment) -> datetime:
    """A payment of which only the day is known is over when the day is."""
    return payment.event_at or midnight(payment.business_date + timedelta(days=1)) - timedelta(microseconds=1)


def known_on(bank: PaymentsBank, as_of: date) -> list[Payment]:
    """The versions that a date sees."""
    at = cutoff(as_of)
    return [
        payment
        for payment in bank.payments
        if payment.business_date <= as_of
        and payment.known_at < at
        and (payment.superseded_at is None or payment.superseded_at >= at)
    ]


def first_known(bank: PaymentsBank, as_of: date, previous: date | None) -> list[Payment]:
    """Those of them that no date before, of which `previous` is the last, could see."""
    return [
        payment
        for payment in known_on(bank, as_of)
        if not (previous and payment.business_date <= previous and payment.known_at < cutoff(previous))
    ]


def vectors(bank: PaymentsBank, as_of: date, previous: date | None) -> dict[str, Vector]:
    """Features, by transaction key, of all versions that are known on a date for the first time.

    Args:
        bank: its facts.
        as_of: the date.
        previous: the as-of date before it.
    """
    known = known_on(bank, as_of)
    return {
        payment.key: _vector(bank, payment, known, as_of)
        for payment in first_known(bank, as_of, previous)
        if KINDS[payment.kind][1]
    }


def _vector(bank: PaymentsBank, payment: Payment, known: list[Payment], as_of: date) -> Vector:
    begins = payment.event_at or midnight(payment.business_date)
    own = [p for p in known if p.customer_id == payment.customer_id and stands_at(p) < begins]
    made = [p for p in own if KINDS[p.kind][1] and stands_at(p) >= begins - timedelta(days=365)]
    with_card = [p.event_at for p in made if p.event_at and p.instrument == payment.instrument]
    amounts = [-p.amount for p in _since(own, begins, days=90) if KINDS[p.kind][0]]
    median = statistics.median(amounts) if amounts else None
    deviation = statistics.median(abs(amount - median) for amount in amounts) if median is not None else None
    quarter = _spend(_since(own, begins, days=90))
    is_timed = payment.event_at is not None
    return {
        "hour_of_day": payment.event_at.replace(tzinfo=UTC).astimezone(ZONE).hour
        if payment.event_at
        else None,
        "is_away": _is_away(bank, payment, as_of),
        "is_new_merchant": float(payment.merchant not in {p.merchant for p in made}),
        "merchant_fraud_rate_28d": fraud_rate(
            bank, payment, [p for p in known if KINDS[p.kind][1]], as_of, days=28, prior=20
        ),
        "seconds_since_previous": (begins - max(with_card)).total_seconds()
        if is_timed and with_card
        else None,
        "transactions_24h": sum(at >= begins - timedelta(days=1) for at in with_card) if is_timed else None,
        "spend_24h_ratio": 90 * _spend(_since(own, begins, days=1)) / quarter
        if is_timed and quarter > 0
        else None,
        "amount_zscore_90d": (abs(payment.amount) - median) / (1.4826 * deviation) if deviation else None,
        "amount": abs(payment.amount),
        "payment_mode": MODES[str(KINDS[payment.kind][4])],
    }


def _since(payments: Iterable[Payment], begins: datetime, *, days: int) -> list[Payment]:
    return [payment for payment in payments if stands_at(payment) >= begins - timedelta(days=days)]


def _spend(payments: Iterable[Payment]) -> float:
    return round(sum(KINDS[payment.kind][3] * abs(payment.amount) for payment in payments), 4)


def _is_away(bank: PaymentsBank, payment: Payment, as_of: date) -> float | None:
    """From the home that was stated last before the cutoff."""
    stated = [
        city for customer, city, at in bank.homes if customer == payment.customer_id and at < cutoff(as_of)
    ]
    if not stated:
        return None
    if payment.country == "FR":
        return 1.0
    if stated[-1] is None:
        return 0.0 if payment.country else None
    return float(payment.city != stated[-1]) if payment.city else None


def fraud_rate(
    bank: PaymentsBank, payment: Payment, made: Iterable[Payment], as_of: date, days: int, prior: int
) -> float | None:
    """Of the days that end 7 days before the payment's, by what had been said by the end of its day.

    Args:
        bank: its facts.
        payment: the one that is described.
        made: the customer-initiated payments that the date knew.
        as_of: the date.
        days: how many.
        prior: as how many payments the client's own rate counts.
    """
    due = [p for p in made if 7 <= (payment.business_date - p.business_date).days <= days + 6]
    said = _said(bank, min(midnight(payment.business_date + timedelta(days=1)), cutoff(as_of)))
    if said is None or not due:
        return None
    place = payment.terminal or payment.merchant
    here = [p for p in due if (p.terminal or p.merchant) == place]
    everywhere = sum(said.get(p.key, False) for p in due) / len(due)
    return (sum(said.get(p.key, False) for p in here) + prior * everywhere) / (len(here) + prior)


def _said(bank: PaymentsBank, until: datetime) -> dict[str, bool] | None:
    """The last word on each transaction before a moment; None before the first word at all.

    What is said of a pending payment is said of its posting once that is known.
    """
    posted = {p.key: p.known_at for p in bank.payments if p.key.endswith("p")}
    words = [(report.known_at, report.key, report.is_fraud) for report in bank.reports]
    words += [(max(at, posted[f"{key}p"]), f"{key}p", word) for at, key, word in words if f"{key}p" in posted]
    heard = [word for word in sorted(words, key=lambda word: word[0]) if word[0] < until]
    return {key: is_fraud for _, key, is_fraud in heard} if heard else None
