"""The velocity features once more, in plain Python over the facts: no SQL, one transaction at a time."""

import math
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from tests.dbt.factory import cutoff
from tests.dbt.payments import KINDS, Payment, PaymentsBank
from tests.dbt.transaction_recomputation import Vector, fraud_rate, midnight, stands_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EARTH_KM = 6371.0088


def velocities(bank: PaymentsBank, as_of: date, previous: date | None) -> dict[str, Vector]:
    """Features, by transaction key, of all versions that are known on a date for the first time.

    Args:
        bank: its facts.
        as_of: the date.
        previous: the as-of date before it.
    """
    at = cutoff(as_of)
    made = [
        payment
        for payment in bank.payments
        if KINDS[payment.kind][1]
        and payment.business_date <= as_of
        and payment.known_at < at
        and (payment.superseded_at is None or payment.superseded_at >= at)
    ]
    return {
        payment.key: _vector(bank, payment, made, as_of)
        for payment in made
        if not (previous and payment.business_date <= previous and payment.known_at < cutoff(previous))
    }


def _vector(bank: PaymentsBank, payment: Payment, made: list[Payment], as_of: date) -> Vector:
    begins = payment.event_at or midnight(payment.business_date)
    own = [p for p in made if p.customer_id == payment.customer_id and stands_at(p) < begins]
    card = [p for p in own if p.instrument == payment.instrument]
    hourly = _hourly(payment, own, card, made) if payment.event_at else {}
    greatest = max((abs(p.amount) for p in _since(card, begins, 30 * DAY)), default=None)
    return {
        **dict.fromkeys(HOURLY),
        **hourly,
        "card_transactions_7d": len(_since(card, begins, 7 * DAY)),
        "card_amount_7d": _amount(_since(card, begins, 7 * DAY)),
        "amount_to_card_max_30d": abs(payment.amount) / greatest if greatest else None,
        **_devices(bank, payment, begins, as_of),
        **_at_place(bank, payment, made, as_of),
    }


HOURLY = (
    *("card_transactions_1h", "card_amount_1h", "card_amount_24h", "customer_transactions_24h"),
    *("customer_merchants_24h", "km_since_previous", "kmh_since_previous", "merchant_transactions_1h"),
    *("terminal_transactions_1h", "terminal_transactions_24h"),
)
"""What only payments that tell the time have, and count."""


def _hourly(payment: Payment, own: list[Payment], card: list[Payment], made: list[Payment]) -> Vector:
    at = payment.event_at
    assert at
    own, card, made = ([p for p in each if p.event_at and p.event_at < at] for each in (own, card, made))
    there = [p for p in made if p.terminal and p.terminal == payment.terminal]
    return {
        "card_transactions_1h": len(_since(card, at, HOUR)),
        "card_amount_1h": _amount(_since(card, at, HOUR)),
        "card_amount_24h": _amount(_since(card, at, DAY)),
        "customer_transactions_24h": len(_since(own, at, DAY)),
        "customer_merchants_24h": len({p.merchant for p in _since(own, at, DAY)}),
        **_journey(payment, card, at),
        "merchant_transactions_1h": len(
            _since([p for p in made if p.merchant == payment.merchant], at, HOUR)
        ),
        "terminal_transactions_1h": len(_since(there, at, HOUR)) if payment.terminal else None,
        "terminal_transactions_24h": len(_since(there, at, DAY)) if payment.terminal else None,
    }


def _journey(payment: Payment, card: list[Payment], at: datetime) -> Vector:
    """By the angle between two points on the sphere, found otherwise than in SQL: from their vectors."""
    located = [p for p in _since(card, at, 30 * DAY) if p.latitude is not None]
    if payment.latitude is None or not located:
        return {}
    before = max(located, key=lambda p: (stands_at(p), p.key))
    here, there = _on_sphere(payment), _on_sphere(before)
    km = EARTH_KM * math.atan2(
        math.hypot(*_cross(here, there)), sum(a * b for a, b in zip(here, there, strict=True))
    )
    seconds = max((at - stands_at(before)).total_seconds(), 60)
    return {"km_since_previous": km, "kmh_since_previous": km / seconds * 3600}


def _on_sphere(payment: Payment) -> tuple[float, float, float]:
    assert payment.latitude is not None and payment.longitude is not None
    north, east = math.radians(payment.latitude), math.radians(payment.longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _cross(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _devices(bank: PaymentsBank, payment: Payment, begins: datetime, as_of: date) -> Vector:
    known = [use for use in bank.uses if use.known_at < cutoff(as_of)]
    if not known:
        return {"seconds_since_new_device": None, "new_devices_7d": None}
    first: dict[str, datetime] = {}
    for use in known:
        if use.customer_id == payment.customer_id:
            first[use.device] = min(use.event_at, first.get(use.device, use.event_at))
    before = [at for at in first.values() if at < begins]
    return {
        "seconds_since_new_device": (begins - max(before)).total_seconds()
        if payment.event_at and before
        else None,
        "new_devices_7d": sum(at >= begins - 7 * DAY for at in before),
    }


def _at_place(bank: PaymentsBank, payment: Payment, made: list[Payment], as_of: date) -> Vector:
    """By whole days: what was paid there in 30, and the frauds of 7 and 90 that had time to be reported."""
    place = payment.terminal or payment.merchant
    ago = {id(p): (payment.business_date - p.business_date).days for p in made}
    there = [p for p in made if (p.terminal or p.merchant) == place]
    month = [abs(p.amount) for p in there if 1 <= ago[id(p)] <= 30]
    vector: Vector = {
        "amount_to_merchant_mean_30d": abs(payment.amount) / (sum(month) / len(month)) if month else None
    }
    for days, prior in ((7, 5), (90, 20)):
        vector[f"merchant_fraud_rate_{days}d"] = fraud_rate(bank, payment, made, as_of, days, prior)
    return vector


def _since(payments: Iterable[Payment], begins: datetime, window: timedelta) -> list[Payment]:
    return [payment for payment in payments if stands_at(payment) >= begins - window]


def _amount(payments: Iterable[Payment]) -> float:
    return round(sum(abs(payment.amount) for payment in payments), 4)
