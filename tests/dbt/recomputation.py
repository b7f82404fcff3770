"""The 21 customer features once more, in plain Python over the facts: no SQL, one customer at a time."""

import math
import statistics
from datetime import UTC, date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from tests.dbt.bank import CLIENTS, Bank
from tests.dbt.factory import cutoff


def features_of(bank: Bank, client: str, customer: str, as_of: date) -> dict[str, float | None]:
    """Features of one customer as of a date; None is missing."""
    at = cutoff(as_of)
    rows = [
        (fact, (as_of - fact.business_date).days)
        for fact in bank.facts
        if (fact.client_id, fact.customer_id) == (client, customer)
        and fact.business_date <= as_of
        and fact.known_at < at
        and (fact.superseded_at is None or fact.superseded_at >= at)
        and fact.amount is not None
    ]
    made = [(fact, ago) for fact, ago in rows if fact.is_customer_initiated]
    days = sorted({ago for _, ago in made if ago < 90}, reverse=True)
    gaps = [earlier - later for earlier, later in pairwise(days)]
    purchases = [-fact.amount for fact, ago in rows if fact.movement == "purchase" and ago < 90]

    def spend(start: int, end: int) -> float:
        spent = [
            -fact.amount
            for fact, ago in rows
            if start <= ago < end
            and (fact.movement == "refund" or (fact.amount < 0 and fact.movement != "own_transfer"))
        ]
        return math.fsum(spent)

    def count(start: int, end: int) -> int:
        return sum(start <= ago < end for _, ago in made)

    periods = [spend(30 * number, 30 * number + 30) for number in reversed(range(6))]
    mean = statistics.fmean(periods)
    slope = statistics.linear_regression(range(6), periods).slope
    logins = _login_days(bank, client, customer, as_of)
    has_feed = any(row["client_id"] == client for row in bank.events)
    recent, prior = sum(ago < 30 for ago in logins), sum(30 <= ago < 120 for ago in logins)
    return {
        "days_since_last_transaction": min((ago for _, ago in made), default=None),
        "days_since_last_income": min((ago for fact, ago in rows if fact.movement == "income"), default=None),
        "days_since_last_login": min(logins, default=None),
        "total_transactions": count(0, 365),
        "transactions_30d": count(0, 30),
        "transactions_90d": count(0, 90),
        "active_days_90d": len(days),
        "median_gap_days_90d": statistics.median(gaps) if gaps else None,
        "distinct_merchants_90d": len({fact.merchant for fact, ago in made if ago < 90}),
        "login_days_30d": recent if has_feed else None,
        "total_spend_30d": spend(0, 30),
        "total_spend_90d": spend(0, 90),
        "total_spend_365d": spend(0, 365),
        "avg_transaction_amount": statistics.fmean(purchases) if purchases else None,
        "median_transaction_amount_90d": statistics.median(purchases) if purchases else None,
        "max_transaction_amount_90d": max(purchases, default=None),
        "stddev_transaction_amount_90d": statistics.stdev(purchases) if len(purchases) > 1 else None,
        "transaction_count_trend": math.log((count(0, 30) + 1) / (count(30, 120) / 3 + 1)),
        "login_trend": math.log((recent + 1) / (prior / 3 + 1)) if has_feed else None,
        "spend_slope_180d": slope / mean if mean > 0 else None,
        "spend_volatility_180d": statistics.stdev(periods) / mean if mean > 0 else None,
    }


def _login_days(bank: Bank, client: str, customer: str, as_of: date) -> set[int]:
    """Days before the date with a log-in that was known by its cutoff."""
    zone = ZoneInfo(CLIENTS[client][1])
    days = {
        row["event_at"].replace(tzinfo=UTC).astimezone(zone).date()
        for row in bank.events
        if (row["client_id"], row["customer_id"], row["event_type"]) == (client, customer, "login")
        and row["known_at"] < cutoff(as_of)
    }
    return {(as_of - day) // timedelta(days=1) for day in days if day <= as_of}
