"""Recurring payments once more, in plain Python over the facts that a date knows."""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise

from tests.dbt.bank import Fact

OWN = ("own_transfer", "card_repayment")
SUBSCRIBED = ("subscriptions", "utilities_telecom", "insurance", "education_children", "other")
COLLECTED = ("direct_debit", "standing_order")
# days between payments, gaps that must agree, most by which amounts differ, (months, days) to the next, grace
PERIODS = (
    (range(6, 9), 3, 1.5, (0, 7), 3),
    (range(12, 17), 3, 1.5, (0, 14), 5),
    (range(26, 36), 2, 1.5, (1, 0), 10),
    (range(85, 99), 2, 1.5, (3, 0), 20),
    (range(351, 381), 1, 1.1, (12, 0), 30),
)


def spent(fact: Fact) -> float:
    """What a fact adds to spend."""
    amount = fact.amount or 0.0
    if fact.movement in ("refund", "reversal") or (amount < 0 and fact.movement not in OWN):
        return -amount
    return 0.0


def active_payments(facts: Iterable[Fact], as_of: date) -> int:
    """Number of series of payments of which the next one is not overdue."""
    series: dict[tuple[str, str, float], dict[date, float]] = defaultdict(dict)
    for fact in facts:
        kind = _kind(fact)
        if kind:
            payee = fact.account_id if kind == "rent" else fact.merchant
            instalment = spent(fact) if kind in ("loan_instalment", "investment") else 0.0
            days = series[kind, payee, instalment]
            days[fact.business_date] = days.get(fact.business_date, 0.0) + spent(fact)
    return sum(_is_active(kind, days, as_of) for (kind, _, _), days in series.items())


def _kind(fact: Fact) -> str | None:
    named = {"rent_mortgage": "rent", "emi_loans": "loan_instalment", "investments": "investment"}
    if spent(fact) <= 0:
        return None
    if fact.category in named:
        return named[fact.category]
    is_standing = fact.payment_mode in COLLECTED or fact.category in SUBSCRIBED
    return "subscription" if fact.movement == "purchase" and is_standing else None


def _is_active(kind: str, paid: dict[date, float], as_of: date) -> bool:
    days = sorted(paid)
    for last, day in enumerate(days):
        for gaps, needed, most, (months, more), grace in PERIODS[: 5 if kind == "subscription" else 4]:
            if last < needed:
                continue
            run = days[last - needed : last + 1]
            amounts = [paid[one] for one in run]
            if all((b - a).days in gaps for a, b in pairwise(run)) and max(amounts) <= most * min(amounts):
                if as_of <= _later(day, months) + timedelta(days=more + grace):
                    return True
                break
    return False


def _later(day: date, months: int) -> date:
    """The same day so many months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
