"""The 65 customer features once more, in plain Python over the facts: no SQL, one customer at a time."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from tests.dbt.bank import CLIENTS, Bank, Fact
from tests.dbt.factory import cutoff
from tests.dbt.recomputed_payments import active_payments, spent

Features = dict[str, float | None]
INCOME = ("salary", "other_income")
RISKY = ("gambling", "crypto", "trading", "cash_advance")
HOLDING_MONEY = ("current", "savings", "wallet")
CATEGORIES = (
    *("groceries", "dining", "transport_fuel", "travel", "shopping", "luxury", "health"),
    *("education_children", "entertainment", "subscriptions", "utilities_telecom", "home_improvement"),
    *("rent_mortgage", "emi_loans", "insurance", "investments", "cash", "people_transfers"),
)


class History:
    """What a date knows of one customer: (fact, days ago), and everything that is asked of it."""

    def __init__(self, bank: Bank, client: str, customer: str, as_of: date) -> None:
        at = cutoff(as_of)
        mine = [fact for fact in bank.facts if (fact.client_id, fact.customer_id) == (client, customer)]
        self.as_of = as_of
        self.known = [
            fact
            for fact in mine
            if fact.known_at < at and (fact.superseded_at is None or fact.superseded_at >= at)
        ]
        self.rows = [
            (fact, (as_of - fact.business_date).days)
            for fact in self.known
            if fact.business_date <= as_of and fact.amount is not None
        ]
        self.accounts = [
            row
            for row in bank.accounts
            if (row["client_id"], row["customer_id"]) == (client, customer) and row["known_at"] < at
        ]

    def between(self, start: int, end: int) -> list[Fact]:
        """Facts of the days `start` to `end` − 1 before the date."""
        return [fact for fact, ago in self.rows if start <= ago < end]

    def made(self, start: int, end: int) -> list[Fact]:
        """The customer-initiated ones."""
        return [fact for fact in self.between(start, end) if fact.is_customer_initiated]


def total(facts: Iterable[Fact], *movements: str) -> float:
    """Spend of facts, of these movements only if any are named."""
    return math.fsum(spent(fact) for fact in facts if not movements or fact.movement in movements)


def income(facts: Iterable[Fact]) -> float:
    return math.fsum(fact.amount or 0.0 for fact in facts if fact.movement in INCOME)


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def shares(facts: Iterable[Fact], by: str) -> dict[str, float]:
    """Shares of spend, the net spend of each group floored at 0; empty without any."""
    groups: dict[str, list[float]] = defaultdict(list)
    for fact in facts:
        if spent(fact):
            groups[getattr(fact, by)].append(spent(fact))
    floored = {name: max(round(math.fsum(values), 4), 0.0) for name, values in groups.items()}
    whole = math.fsum(floored.values())
    return {name: value / whole for name, value in floored.items()} if whole else {}


def entropy(distribution: Iterable[float]) -> float:
    return -math.fsum(share * math.log2(share) for share in distribution if share > 0)


def features_of(bank: Bank, client: str, customer: str, as_of: date) -> Features:
    """Features of one customer as of a date; None is missing."""
    history = History(bank, client, customer, as_of)
    return {
        **_recency_and_frequency(history),
        **_money(history),
        **_behaviour(history),
        **_time(history),
        **_trend(history),
        **_categories(history),
        **_balances(history),
        **_logins(bank, client, customer, as_of),
        "active_recurring_payments": active_payments([fact for fact, _ in history.rows], as_of),
    }


def _recency_and_frequency(history: History) -> Features:
    days = sorted({fact.business_date for fact in history.made(0, 90)})
    active = [ago for fact, ago in history.rows if fact.is_customer_initiated]
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    return {
        "days_since_last_transaction": min(active, default=None),
        "days_since_last_income": min((n for f, n in history.rows if f.movement in INCOME), default=None),
        "total_transactions": len(history.made(0, 365)),
        "transactions_30d": len(history.made(0, 30)),
        "transactions_90d": len(history.made(0, 90)),
        "active_days_90d": len(days),
        "median_gap_days_90d": statistics.median(gaps) if gaps else None,
        "distinct_merchants_90d": len({fact.merchant for fact in history.made(0, 90)}),
    }


def _money(history: History) -> Features:
    quarter = history.between(0, 90)
    purchases = [-(fact.amount or 0.0) for fact in quarter if fact.movement == "purchase"]
    incomes = [income(history.between(30 * n, 30 * n + 30)) for n in range(6)]
    monthly, earned = statistics.fmean(incomes), income(quarter)
    saved = earned - total(quarter) + total(fact for fact in quarter if fact.category == "investments")
    charged = [-(fact.amount or 0.0) for fact in quarter if fact.movement in ("fee", "interest")]
    return {
        "total_spend_30d": total(history.between(0, 30)),
        "total_spend_90d": total(quarter),
        "total_spend_365d": total(history.between(0, 365)),
        "avg_transaction_amount": statistics.fmean(purchases) if purchases else None,
        "median_transaction_amount_90d": statistics.median(purchases) if purchases else None,
        "max_transaction_amount_90d": max(purchases, default=None),
        "stddev_transaction_amount_90d": statistics.stdev(purchases) if len(purchases) > 1 else None,
        "avg_monthly_income_180d": monthly,
        "income_variation_180d": ratio(statistics.stdev(incomes), monthly),
        "net_savings_90d": saved,
        "savings_rate_90d": ratio(saved, earned),
        "rent_to_income_90d": ratio(total(quarter, "rent"), earned),
        "emi_to_income_90d": ratio(total(quarter, "loan_instalment"), earned),
        "fees_and_interest_90d": math.fsum(amount for amount in charged if amount > 0),
    }


def _behaviour(history: History) -> Features:
    made, quarter, half = history.made(0, 90), history.between(0, 90), history.between(0, 180)
    merchants = shares(quarter, "merchant")
    before = {fact.merchant for fact in history.between(90, 365) if spent(fact) > 0}
    told = [fact for fact in made if fact.payment_mode or fact.channel]
    digital = [f for f in told if f.channel == "online" or f.payment_mode in ("upi", "wallet")]
    year = Counter(_city(fact) for fact in history.made(0, 365) if fact.city)
    home = min(year, key=lambda city: (-year[city], city)) if year else None
    placed = [_city(fact) for fact in made if fact.city]
    risky = max(total(fact for fact in half if fact.subcategory in RISKY), 0.0)
    riskless = max(total(fact for fact in half if fact.subcategory not in RISKY), 0.0)
    reversed_ = sum(fact.movement in ("refund", "reversal") for fact in half)
    return {
        "merchant_entropy_90d": entropy(merchants.values()) if merchants else None,
        "top_merchant_share_90d": max(merchants.values(), default=None),
        "new_merchant_share_90d": (
            math.fsum(share for name, share in merchants.items() if name not in before) if merchants else None
        ),
        "digital_share_90d": ratio(len(digital), len(told)),
        "away_share_90d": ratio(sum(city != home for city in placed), len(placed)),
        "risk_spend_share_180d": ratio(risky, risky + riskless),
        "reversal_rate_180d": ratio(reversed_, sum(fact.movement == "purchase" for fact in half)),
    }


def _city(fact: Fact) -> str:
    return (fact.city or "").strip().lower()


def _time(history: History) -> Features:
    made, quarter = history.made(0, 90), history.between(0, 90)
    first = max((ago for _, ago in history.rows), default=None)
    opened = [row["opened_on"] for row in history.accounts]
    weekdays = Counter(fact.business_date.isoweekday() for fact in made)
    hours = [fact.hour for fact in made if fact.hour is not None]
    paydays = {fact.business_date for fact in history.between(0, 97) if fact.movement in INCOME}
    near, other = [], []
    for fact in quarter:
        is_near = any(0 <= (fact.business_date - payday).days <= 7 for payday in paydays)
        (near if is_near else other).append(fact)
    near_spend, other_spend = max(total(near), 0.0), max(total(other), 0.0)
    year = total(history.between(0, 365))
    has_year = first is not None and first >= 364
    return {
        "tenure_days": (history.as_of - min(opened)).days if opened else first,
        "weekend_share_90d": ratio(weekdays[6] + weekdays[7], len(made)),
        "night_share_90d": ratio(sum(hour >= 22 or hour < 6 for hour in hours), len(hours)),
        "payday_share_90d": ratio(near_spend, near_spend + other_spend),
        "weekday_entropy_90d": entropy(n / len(made) for n in weekdays.values()) if made else None,
        "season_index": ratio(total(history.between(335, 365)), year * 30 / 365) if has_year else None,
    }


def _trend(history: History) -> Features:
    periods = [total(history.between(30 * n, 30 * n + 30)) for n in reversed(range(6))]
    mean = statistics.fmean(periods)
    recent, prior = len(history.made(0, 30)), len(history.made(30, 120))
    return {
        "transaction_count_trend": math.log((recent + 1) / (prior / 3 + 1)),
        "spend_slope_180d": ratio(statistics.linear_regression(range(6), periods).slope, mean),
        "spend_volatility_180d": ratio(statistics.stdev(periods), mean),
    }


def _categories(history: History) -> Features:
    now, before = shares(history.between(0, 90), "category"), shares(history.between(90, 180), "category")
    shift = None
    if now and before:
        middle = {name: (now.get(name, 0) + before.get(name, 0)) / 2 for name in now | before}
        divergence = entropy(middle.values()) - (entropy(now.values()) + entropy(before.values())) / 2
        shift = math.sqrt(max(divergence, 0.0))
    return {
        **{f"share_{name}": now.get(name, 0.0) if now else None for name in CATEGORIES},
        "category_entropy_90d": entropy(now.values()) if now else None,
        "category_shift_90d": shift,
    }


def _balances(history: History) -> Features:
    """Day by day: the last known closing of each account that counts, on each of the 90 days."""
    types = {row["account_id"]: row["type"] for row in history.accounts}
    closings: dict[str, dict[date, Decimal]] = defaultdict(dict)
    stated = [fact for fact in history.known if types.get(fact.account_id) in HOLDING_MONEY]
    for fact in sorted(stated, key=lambda fact: fact.balance_place[1:]):
        if fact.balance is not None:
            closings[fact.account_id][fact.balance_place[0]] = fact.balance
    totals, overdrawn = [], 0
    for day in (history.as_of - timedelta(days=n) for n in range(90)):
        begun = [by_day for by_day in closings.values() if min(by_day) <= day]
        held = [by_day[max(d for d in by_day if d <= day)] for by_day in begun]
        if held:
            totals.append(sum(held))
            overdrawn += any(balance < 0 for balance in held)
    return {
        "avg_balance_90d": float(sum(totals) / len(totals)) if totals else None,
        "min_balance_90d": float(min(totals)) if totals else None,
        "overdraft_days_90d": overdrawn if totals else None,
    }


def _logins(bank: Bank, client: str, customer: str, as_of: date) -> Features:
    zone = ZoneInfo(CLIENTS[client][1])
    days = {
        row["event_at"].replace(tzinfo=UTC).astimezone(zone).date()
        for row in bank.events
        if (row["client_id"], row["customer_id"], row["event_type"]) == (client, customer, "login")
        and row["known_at"] < cutoff(as_of)
    }
    ago = {(as_of - day).days for day in days if day <= as_of}
    recent, prior = sum(n < 30 for n in ago), sum(30 <= n < 120 for n in ago)
    has_feed = any(row["client_id"] == client for row in bank.events)
    return {
        "days_since_last_login": min(ago, default=None),
        "login_days_30d": recent if has_feed else None,
        "login_trend": math.log((recent + 1) / (prior / 3 + 1)) if has_feed else None,
    }
