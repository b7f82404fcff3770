"""The 65 customer features as somebody fluent in pandas writes them: vectorised, a group-by for each idea."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SHARES = [
    "groceries", "dining", "transport_fuel", "travel", "shopping", "luxury", "health", "education_children",
    "entertainment", "subscriptions", "utilities_telecom", "home_improvement", "rent_mortgage", "emi_loans",
    "insurance", "investments", "cash", "people_transfers",
]  # fmt: skip
TEXTS = [
    "customer_id", "account_id", "movement", "merchant", "category", "subcategory", "city", "payment_mode",
    "channel",
]  # fmt: skip
# Name, shortest and longest gap, gaps that must agree, most by which amounts differ, next one, days of grace.
PERIODS: list[tuple[str, int, int, int, float, Any, int]] = [
    ("weekly", 6, 8, 3, 1.5, pd.DateOffset(days=7), 3),
    ("fortnightly", 12, 16, 3, 1.5, pd.DateOffset(days=14), 5),
    ("monthly", 26, 35, 2, 1.5, pd.DateOffset(months=1), 10),
    ("quarterly", 85, 98, 2, 1.5, pd.DateOffset(months=3), 20),
    ("yearly", 351, 380, 1, 1.1, pd.DateOffset(months=12), 30),
]


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The frames, with texts as categories, which makes group-bys several times faster."""
    frames = {
        name: pd.read_parquet(folder / f"{name}.parquet")
        for name in ("transactions", "customers", "accounts", "logins")
    }
    t = frames["transactions"]
    for name in TEXTS:
        t[name] = t[name].astype("category")
    t["business_date"] = pd.to_datetime(t["business_date"])
    frames["customers"]["opened_on"] = pd.to_datetime(frames["customers"]["opened_on"])
    frames["logins"]["business_date"] = pd.to_datetime(frames["logins"]["business_date"])
    return frames


def features(frames: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """All features of one as-of date, a row a customer."""
    as_of = pd.Timestamp(day)
    t = frames["transactions"]
    t = t[t["business_date"] <= as_of].copy()
    t["ago"] = (as_of - t["business_date"]).dt.days.astype("int32")
    customers = pd.Index(frames["customers"]["customer_id"], name="customer_id")
    f = pd.DataFrame(index=customers)
    year, half, quarter = t[t["ago"] < 365], t[t["ago"] < 180], t[t["ago"] < 90]
    made, made_90 = t[t["is_made"]], quarter[quarter["is_made"]]

    def by(frame: pd.DataFrame) -> Any:
        return frame.groupby("customer_id", observed=True)

    def total(values: pd.Series) -> pd.Series:
        return values.reindex(customers, fill_value=0)

    logins = frames["logins"]
    logins = logins[logins["business_date"] <= as_of].drop_duplicates()
    logins = logins.assign(ago=(as_of - logins["business_date"]).dt.days)
    f["days_since_last_transaction"] = by(made)["ago"].min()
    f["days_since_last_income"] = by(t[t["income"] > 0])["ago"].min()
    f["days_since_last_login"] = by(logins)["ago"].min()
    f["login_days_30d"] = total(by(logins[logins["ago"] < 30]).size())
    prior_logins = total(by(logins[logins["ago"].between(30, 119)]).size())

    for days, frame in ((30, t[t["ago"] < 30]), (90, quarter), (365, year)):
        f[f"total_spend_{days}d"] = total(by(frame)["spend"].sum())
        name = "total_transactions" if days == 365 else f"transactions_{days}d"
        f[name] = total(by(frame[frame["is_made"]]).size())
    prior = total(by(made[made["ago"].between(30, 119)]).size())

    purchases = quarter[quarter["movement"] == "purchase"].assign(paid=lambda q: -q["amount"])
    paid = by(purchases)["paid"].agg(["mean", "median", "max", "std"])
    for name, column in zip(
        ("avg", "median", "max", "stddev"), ("mean", "median", "max", "std"), strict=True
    ):
        suffix = "" if name == "avg" else "_90d"
        f[f"{name}_transaction_amount{suffix}"] = paid[column]

    periods = (
        half.assign(period=half["ago"] // 30)
        .groupby(["customer_id", "period"], observed=True)[["spend", "income"]]
        .sum()
        .unstack(fill_value=0)
        .reindex(customers, fill_value=0)
    )
    spend, income = (periods[name].reindex(columns=range(6), fill_value=0) for name in ("spend", "income"))
    f["avg_monthly_income_180d"] = income.mean(axis=1)
    f["income_variation_180d"] = (income.std(axis=1) / income.mean(axis=1)).where(income.mean(axis=1) > 0)
    slope = (spend @ np.array([2.5, 1.5, 0.5, -0.5, -1.5, -2.5])) / 17.5
    f["spend_slope_180d"] = (slope / spend.mean(axis=1)).where(spend.mean(axis=1) > 0)
    f["spend_volatility_180d"] = (spend.std(axis=1) / spend.mean(axis=1)).where(spend.mean(axis=1) > 0)

    earned = total(by(quarter)["income"].sum())
    invested = total(by(quarter[quarter["category"] == "investments"])["spend"].sum())
    f["net_savings_90d"] = earned - f["total_spend_90d"] + invested
    rent = total(by(quarter[quarter["movement"] == "rent"])["spend"].sum())
    instalments = total(by(quarter[quarter["movement"] == "loan_instalment"])["spend"].sum())
    for name, value in (("savings_rate", f["net_savings_90d"]), ("rent_to_income", rent),
                        ("emi_to_income", instalments)):  # fmt: skip
        f[f"{name}_90d"] = (value / earned).where(earned > 0)
    charged = quarter[quarter["movement"].isin(["fee", "interest"]) & (quarter["amount"] < 0)]
    f["fees_and_interest_90d"] = total(-by(charged)["amount"].sum())
    f = f.join(balances(t, frames["accounts"], as_of))

    days = made_90[["customer_id", "ago"]].drop_duplicates().sort_values(["customer_id", "ago"])
    days["gap"] = by(days)["ago"].diff()
    f["active_days_90d"] = total(by(days).size())
    f["median_gap_days_90d"] = by(days)["gap"].median()
    f["active_recurring_payments"] = total(recurring(t, as_of))
    f = f.join(merchants(year, customers))

    way = made_90[made_90["payment_mode"].notna() | made_90["channel"].notna()]
    digital = way[(way["channel"] == "online") | way["payment_mode"].isin(["upi", "wallet"])]
    f["digital_share_90d"] = by(digital).size().reindex(by(way).size().index, fill_value=0) / by(way).size()
    timed = made_90[made_90["local_at"].notna()]
    hours = timed["local_at"].dt.hour
    night = by(timed[(hours >= 22) | (hours < 6)]).size()
    f["night_share_90d"] = night.reindex(by(timed).size().index, fill_value=0) / by(timed).size()
    weekdays = (
        made_90.assign(weekday=made_90["business_date"].dt.weekday)
        .groupby(["customer_id", "weekday"], observed=True)
        .size()
        .unstack(fill_value=0)
    )
    weekday_share = weekdays.div(weekdays.sum(axis=1), axis=0)
    f["weekend_share_90d"] = weekday_share.reindex(columns=[5, 6], fill_value=0).sum(axis=1)
    f["weekday_entropy_90d"] = entropy(weekday_share)

    somewhere = year[year["is_made"] & year["city"].notna()]
    cities = (
        somewhere.assign(recent=somewhere["ago"] < 90)
        .groupby(["customer_id", "city"], observed=True)["recent"]
        .agg(["size", "sum"])
        .reset_index()
        .sort_values(["customer_id", "size", "city"], ascending=[True, False, True])
    )
    recent = by(cities)["sum"].sum()
    f["away_share_90d"] = ((recent - by(cities)["sum"].first()) / recent).where(recent > 0)

    risk = half.groupby(["customer_id", "subcategory"], observed=True).agg(
        spend=("spend", "sum"), is_risky=("is_risky", "first")
    )
    risk["spend"] = risk["spend"].clip(lower=0)
    risky = total(by(risk[risk["is_risky"].fillna(False).astype(bool)])["spend"].sum())
    all_spend = total(by(risk)["spend"].sum())
    f["risk_spend_share_180d"] = (risky / all_spend).where(all_spend > 0)
    bought = total(by(half[half["movement"] == "purchase"]).size())
    returned = total(by(half[half["movement"].isin(["refund", "reversal"])]).size())
    f["reversal_rate_180d"] = (returned / bought).where(bought > 0)

    first = by(t)["business_date"].min().reindex(customers)
    opened = frames["customers"].set_index("customer_id")["opened_on"].fillna(first)
    f["tenure_days"] = (as_of - opened).dt.days
    f["payday_share_90d"] = paydays(t[t["ago"] < 97])
    year_ago = total(by(year[year["ago"] >= 335])["spend"].sum())
    season = (year_ago / (f["total_spend_365d"] * 30 / 365)).where(f["total_spend_365d"] > 0)
    f["season_index"] = season.where((as_of - first).dt.days >= 364)
    f["transaction_count_trend"] = np.log((f["transactions_30d"] + 1) / (prior / 3 + 1))
    f["login_trend"] = np.log((f["login_days_30d"] + 1) / (prior_logins / 3 + 1))
    return f.join(categories(half))


def entropy(shares: pd.DataFrame) -> pd.Series:
    """Bits of each row's distribution."""
    return -(shares * np.log2(shares.where(shares > 0, 1))).sum(axis=1)


def balances(t: pd.DataFrame, accounts: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Daily closings carried forward, all accounts of a customer together."""
    owners = accounts[accounts["type"].isin(["current", "savings", "wallet"])].set_index("account_id")
    told = t[t["balance"].notna() & t["account_id"].isin(owners.index)].sort_values("local_at")
    daily = told.groupby(["business_date", "account_id"], observed=True)["balance"].last().unstack()
    window = pd.date_range(end=as_of, periods=90)
    daily = daily.reindex(daily.index.union(window)).ffill().loc[window]
    of = owners.loc[daily.columns, "customer_id"].to_numpy()
    together = daily.T.groupby(of).sum(min_count=1)
    below = (daily < 0).T.groupby(of).any().sum(axis=1)
    return pd.DataFrame(
        {
            "avg_balance_90d": together.mean(axis=1),
            "min_balance_90d": together.min(axis=1),
            "overdraft_days_90d": below,
        }
    ).rename_axis("customer_id")


def merchants(year: pd.DataFrame, customers: pd.Index) -> pd.DataFrame:
    """Where the money goes, and whether it went there before."""
    told = year[(year["spend"] != 0) | year["is_made"]]
    is_recent = told["ago"] < 90
    told = told.assign(
        net=told["spend"].where(is_recent, 0),
        visited=is_recent & told["is_made"],
        known=~is_recent & (told["spend"] > 0),
        recent=is_recent,
    )
    m = told.groupby(["customer_id", "merchant"], observed=True)[["net", "visited", "known", "recent"]].agg(
        {"net": "sum", "visited": "max", "known": "max", "recent": "max"}
    )
    m = m[m["recent"]]
    m["net"] = m["net"].clip(lower=0)
    spend = m.groupby("customer_id", observed=True)["net"].transform("sum")
    share = (m["net"] / spend).where(spend > 0)
    bits = -(share * np.log2(share.where(share > 0, 1)))
    of = m.index.get_level_values("customer_id")
    found = pd.DataFrame(
        {
            "merchant_entropy_90d": bits.groupby(of, observed=True).sum(min_count=1),
            "top_merchant_share_90d": share.groupby(of, observed=True).max(),
            "new_merchant_share_90d": share.where(~m["known"], share * 0)
            .groupby(of, observed=True)
            .sum(min_count=1),
        }
    )
    visits = m["visited"].groupby(of, observed=True).sum()
    return found.reindex(customers).assign(distinct_merchants_90d=visits.reindex(customers, fill_value=0))


def paydays(recent: pd.DataFrame) -> pd.Series:
    """Share of spend on the day of an income and the seven after it."""
    days = recent.groupby(["customer_id", "ago"], observed=True)[["spend", "income"]].sum().reset_index()
    paid = days.loc[days["income"] > 0, ["customer_id", "ago"]]
    near = pd.concat([paid.assign(ago=paid["ago"] - later) for later in range(8)]).drop_duplicates()
    days = days[days["ago"] < 90].merge(near.assign(is_near=True), on=["customer_id", "ago"], how="left")
    is_near = days["is_near"].eq(True)
    spend = pd.DataFrame({"near": days["spend"].where(is_near, 0), "other": days["spend"].where(~is_near, 0)})
    sums = spend.groupby(days["customer_id"], observed=True).sum().clip(lower=0)
    both = sums["near"] + sums["other"]
    return (sums["near"] / both).where(both > 0)


def categories(half: pd.DataFrame) -> pd.DataFrame:
    """Shares of spend, their entropy, and how far they are from those of the quarter before."""
    spend = (
        half.assign(is_recent=half["ago"] < 90)
        .groupby(["customer_id", "is_recent", "category"], observed=True)["spend"]
        .sum()
        .clip(lower=0)
        .unstack(fill_value=0)
    )
    totals = spend.sum(axis=1)
    shares = spend.div(totals.where(totals > 0), axis=0)
    now = shares.xs(True, level="is_recent").dropna()
    before = shares.xs(False, level="is_recent").dropna()
    f = now.reindex(columns=SHARES, fill_value=0).add_prefix("share_")
    f["category_entropy_90d"] = entropy(now)
    both = now.index.intersection(before.index)
    p, q = now.loc[both], before.loc[both]
    divergence = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    f["category_shift_90d"] = np.sqrt(divergence.clip(lower=0))
    return f


def recurring(t: pd.DataFrame, as_of: pd.Timestamp) -> pd.Series:
    """Standing payments that have not lapsed."""
    subscribed = (t["movement"] == "purchase") & (
        t["payment_mode"].isin(["direct_debit", "standing_order"])
        | t["category"].isin(
            ["subscriptions", "utilities_telecom", "insurance", "education_children", "other"]
        )
        | (t["subcategory"] == "sport_fitness")
    )
    kind = np.select(
        [t["spend"] <= 0, t["category"] == "rent_mortgage", t["category"] == "emi_loans",
         t["category"] == "investments", subscribed],
        ["", "rent", "loan_instalment", "investment", "subscription"], "",
    )  # fmt: skip
    told = t.assign(kind=kind)[kind != ""]
    paid = told["amount"].abs()
    is_loan = told["kind"].isin(["loan_instalment", "investment"])
    told = told.assign(
        payee=told["merchant"]
        .astype(object)
        .where(told["kind"] != "rent", told["account_id"].astype(object)),
        instalment=paid.where(is_loan, 0),
        paid=paid,
    )
    series = ["customer_id", "kind", "payee", "instalment"]
    days = told.groupby([*series, "business_date"], observed=True)["paid"].sum().reset_index()
    groups = days.groupby(series, observed=True)
    gaps, amounts = {}, {0: days["paid"]}
    for back in (1, 2, 3):
        dates = groups["business_date"].shift(back - 1)
        gaps[back] = (dates - groups["business_date"].shift(back)).dt.days
        amounts[back] = groups["paid"].shift(back)
    until = pd.Series(pd.NaT, index=days.index, dtype="datetime64[ns]")
    open_ = pd.Series(True, index=days.index)
    for name, shortest, longest, count, ratio, step, grace in PERIODS:
        values = pd.concat([amounts[back] for back in range(count + 1)], axis=1)
        fits = open_ & (values.max(axis=1) <= ratio * values.min(axis=1)) & values.notna().all(axis=1)
        for back in range(1, count + 1):
            fits &= gaps[back].between(shortest, longest)
        if name == "yearly":
            fits &= days["kind"] == "subscription"
        until[fits] = days.loc[fits, "business_date"] + step + pd.Timedelta(days=grace)
        open_ &= ~fits
    active = days[until.ge(as_of)].drop_duplicates(series)
    return active.groupby("customer_id", observed=True).size()


def rolling(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Count and sum of each transaction's 1, 7 and 30 days before it, itself left out."""
    t = frames["transactions"].loc[:, ["customer_id", "local_at", "amount"]]
    t = t.sort_values(["customer_id", "local_at"]).set_index("local_at")
    parts = {}
    for days in (1, 7, 30):
        window = t.groupby("customer_id", observed=True)["amount"].rolling(f"{days}D", closed="left")
        parts[f"count_{days}d"] = window.count().to_numpy()
        parts[f"sum_{days}d"] = window.sum().to_numpy()
    return t.reset_index().assign(**parts)
