"""The features of borrowers once more, in plain Python over the facts: no SQL, day by day."""

from datetime import date, timedelta
from typing import Any

from tests.dbt.factory import cutoff
from tests.dbt.lending import FIRST, Lender, Standing, add_months

Features = dict[str, Any]


def features_of(lender: Lender, customer: str, as_of: date) -> Features | None:
    """Features of one customer as of a date, None is missing; no features of who borrows nothing."""
    at = cutoff(as_of)
    loans = _loans(lender, customer, as_of)
    reports = [
        report
        for report in lender.reports
        if report.customer_id == customer and report.day <= as_of and report.known_at < at
    ]
    limit, limit_at = lender.limits.get(customer, (None, None))
    has_limit = limit_at is not None and limit_at < at
    if not loans and not reports and not has_limit:
        return None
    defaults = [
        default
        for default in lender.defaults
        if default.customer_id == customer
        and default.day <= as_of
        and default.known_at < at
        and (default.superseded_at is None or default.superseded_at >= at)
    ]
    closed = {loan for loan, told in loans.items() if told[-1].standing == "closed"}
    latest = max(reports, key=lambda report: report.day, default=None)
    return {
        "is_in_default": any(told[-1].standing == "defaulted" for told in loans.values())
        or any(default.loan_id not in closed for default in defaults),
        "total_balance": latest and latest.balance,
        "total_credit_limit": latest and latest.limit,
        "number_of_open_accounts": latest and latest.accounts,
        "number_of_accounts_in_arrears": latest and latest.in_arrears,
        "bureau_utilisation": (
            latest.balance / latest.limit if latest and latest.limit and latest.balance is not None else None
        ),
        "bureau_report_age_days": latest and (as_of - latest.day).days,
        "own_credit_limit": limit if has_limit else None,
        "previous_defaults": len(defaults),
        "returned_debits_90d": sum(
            booking.is_returned_debit
            for booking in _bookings(lender, as_of)
            if booking.customer_id == customer and (as_of - booking.day).days < 90
        ),
        **_of_loans(lender, customer, loans, as_of),
        **_of_accounts(lender, loans, as_of),
    }


def _bookings(lender: Lender, as_of: date) -> list[Any]:
    at = cutoff(as_of)
    return [
        booking
        for booking in lender.bookings
        if booking.day <= as_of
        and booking.known_at < at
        and (booking.superseded_at is None or booking.superseded_at >= at)
    ]


def _loans(lender: Lender, customer: str, as_of: date) -> dict[str, list[Standing]]:
    """By loan, what had been said of it by the date, in the order in which it was known."""
    loans: dict[str, list[Standing]] = {}
    for told in sorted(lender.standings, key=lambda told: told.known_at):
        if told.customer_id == customer and told.known_at < cutoff(as_of) and told.since <= as_of:
            loans.setdefault(told.loan_id, []).append(told)
    return loans


def _open(loans: dict[str, list[Standing]]) -> list[Standing]:
    return [told[-1] for told in loans.values() if told[-1].standing in ("running", "arrears")]


def _months(told: Standing, as_of: date) -> int:
    months = 0
    while add_months(told.granted_on, months + 1) <= as_of:
        months += 1
    return months


def _of_loans(lender: Lender, customer: str, loans: dict[str, list[Standing]], as_of: date) -> Features:
    is_open = _open(loans)
    left = sum(told.principal * max(told.term - _months(told, as_of), 0) / told.term for told in is_open)
    principal = sum(told.principal for told in is_open)
    instalments = sum(told.instalment for told in is_open)
    income = sum(
        booking.income
        for booking in _bookings(lender, as_of)
        if booking.customer_id == customer and (as_of - booking.day).days < 90
    )
    declared = lender.incomes[customer]
    bad = []
    for told in loans.values():
        for now, following in zip(told, [*told[1:], None], strict=True):
            if now.standing in ("arrears", "defaulted"):
                bad.append(following.since if following else as_of)
    since = [(as_of - told.since).days if told.standing == "arrears" else 0 for told in is_open]
    return {
        "open_loans": len(is_open),
        "outstanding_principal": left if is_open else None,
        "outstanding_share": left / principal if is_open else None,
        "months_on_book": max((_months(told, as_of) for told in is_open), default=None),
        "instalment_to_income_90d": instalments * 3 / income if is_open and income > 0 else None,
        "instalment_to_declared_income": instalments / declared if is_open and declared else None,
        "days_in_arrears": max(since, default=None),
        "months_since_arrears": (as_of - max(bad)).days / 30.4375 if bad else None,
    }


def _of_accounts(lender: Lender, loans: dict[str, list[Standing]], as_of: date) -> Features:
    """Walks through the days of each account: what falls due is owed until paid, never less than 0."""
    owed_now, past_due, most = [], [], []
    for told in _open(loans):
        paid: dict[date, int] = {}
        for booking in _bookings(lender, as_of):
            if booking.account_id == told.account_id and booking.paid:
                paid[booking.day] = paid.get(booking.day, 0) + booking.paid
        if not paid:
            continue
        due = [add_months(told.granted_on, n) for n in range(1, told.term + 1)]
        owed, worst, day, dues = 0, 0, min(paid), []
        assert day >= FIRST
        while day <= as_of:
            if day in due:
                owed += told.instalment
                dues.append(day)
            owed = max(owed - paid.get(day, 0), 0)
            if (as_of - day).days < 365:
                worst = max(worst, owed)
            day += timedelta(days=1)
        covered, unpaid = 0, as_of
        while covered < owed:
            unpaid, covered = dues.pop(), covered + told.instalment
        owed_now.append(owed / told.instalment)
        past_due.append((as_of - unpaid).days)
        most.append(worst / told.instalment)
    return {
        "instalments_owed": sum(owed_now) if owed_now else None,
        "days_past_due": max(past_due, default=None),
        "most_owed_365d": max(most, default=None),
    }
