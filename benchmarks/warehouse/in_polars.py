"""From the raw file to the 65 customer features, as somebody fluent in Polars writes it.

The early steps do less than ours, to its advantage: no versions of what was corrected, no as-of moments, one
pass of merchant rules (a cleaned text, an exact brand or its first words) instead of eight tiers, and own
transfers are those that the file says. Everything from there on is the same 65 definitions.
"""

from datetime import date
from pathlib import Path

import polars as pl

from benchmarks.warehouse.in_pandas import SHARES

C = "customer_id"
STEPS = {"7d": 3, "14d": 5, "1mo": 10, "3mo": 20, "12mo": 30}
# Name of the step, shortest and longest gap, gaps that must agree, most by which amounts differ.
PERIODS = [
    ("7d", 6, 8, 3, 1.5), ("14d", 12, 16, 3, 1.5), ("1mo", 26, 35, 2, 1.5), ("3mo", 85, 98, 2, 1.5),
    ("12mo", 351, 380, 1, 1.1),
]  # fmt: skip
SCHEMA = {
    "id": pl.String, "booked": pl.Datetime, "customer": pl.String, "account": pl.String, "amount": pl.Float64,
    "currency": pl.String, "description": pl.String, "mcc": pl.String, "category": pl.String,
    "mode": pl.String, "channel": pl.String, "city": pl.String, "country": pl.String, "status": pl.String,
    "original": pl.String, "balance": pl.Float64,
}  # fmt: skip


def understood(files: Path, seeds: Path, day: date) -> pl.DataFrame:
    """The transactions of the file: deduplicated, with merchant, category and movement."""
    told = (
        pl.scan_csv(files / "core_history.csv", schema=SCHEMA)
        .filter(pl.col("booked").dt.date() <= day)
        .unique("id", keep="last", maintain_order=False)
    )
    posted = told.filter(pl.col("original").is_not_null() & (pl.col("amount") < 0)).select(id="original")
    told = told.join(posted, on="id", how="anti")
    rules = pl.scan_csv(seeds / "movement_rules.csv")
    words = pl.scan_csv(seeds / "source_categories.csv")
    categories = pl.scan_csv(seeds / "categories.csv")
    brands = pl.scan_csv(seeds / "brands.csv", schema_overrides={"brand_key": pl.String})
    brands = brands.select("brand_key", brand="merchant", brand_subcategory="subcategory").unique("brand_key")
    cleaned = (
        pl.col("description")
        .str.to_lowercase()
        .str.replace(r"^(pos \w+|sq \*|upi/p2m/\d+/)\s*", "")
        .str.replace_all(r"[/*].*$|\b(ltd|town)\b|\d+", " ")
        .str.replace_all(r"\s+", " ")
        .str.strip_chars()
    )
    descriptors = (
        told.select("description")
        .unique()
        .with_columns(text=cleaned)
        .with_columns(first_words=pl.col("text").str.extract(r"^(\S+ \S+)"))
        .join(brands, left_on="text", right_on="brand_key", how="left")
        .join(brands, left_on="first_words", right_on="brand_key", how="left", suffix="_2")
        .select(
            "description",
            merchant=pl.coalesce("brand", "brand_2", "text"),
            merchant_subcategory=pl.coalesce("brand_subcategory", "brand_subcategory_2"),
        )
    )
    mccs = pl.scan_csv(seeds / "mcc_categories.csv", schema_overrides={"mcc": pl.String})
    mccs = mccs.select("mcc", mcc_subcategory="subcategory").unique("mcc")
    direction = pl.when(pl.col("amount") < 0).then(pl.lit("out")).otherwise(pl.lit("in"))

    def rule(on: str, name: str) -> pl.LazyFrame:
        return rules.filter(pl.col("rule_on") == on).select("direction", value="value", **{name: "movement"})

    return (
        told.join(descriptors, on="description", how="left")
        .join(mccs, on="mcc", how="left")
        .join(words, left_on="category", right_on="source_category", how="left")
        .with_columns(direction=direction)
        .join(rule("source_category", "by_word"), left_on=["category", "direction"],
              right_on=["value", "direction"], how="left")
        .join(rule("payment_mode", "by_mode"), left_on=["mode", "direction"],
              right_on=["value", "direction"], how="left")
        .join(rule("subcategory", "by_source"), left_on=["subcategory", "direction"],
              right_on=["value", "direction"], how="left")
        .with_columns(
            movement=pl.when((pl.col("amount") > 0) & pl.col("original").is_not_null())
            .then(pl.lit("refund"))
            .otherwise(
                pl.coalesce("by_word", "by_source", "by_mode",
                            pl.when(pl.col("amount") < 0).then(pl.lit("purchase")).otherwise(pl.lit("other")))
            ),
            subcategory=pl.coalesce("subcategory", "merchant_subcategory", "mcc_subcategory",
                                    pl.lit("unknown")),
        )
        .drop("category")
        .join(categories, on="subcategory", how="left")
        .with_columns(pl.col("category").fill_null("other"), pl.col("is_risky").fill_null(False))
        .with_columns(
            spend=pl.when(pl.col("movement").is_in(["own_transfer", "card_repayment"]))
            .then(0.0)
            .when((pl.col("amount") < 0) | (pl.col("movement") == "refund"))
            .then(-pl.col("amount"))
            .otherwise(0.0),
            income=pl.when(pl.col("movement").is_in(["salary", "other_income"]))
            .then(pl.col("amount"))
            .otherwise(0.0),
            is_made=(pl.col("amount") < 0)
            & ~pl.col("mode").is_in(["direct_debit", "standing_order", "fee", "interest"]).fill_null(False),
            local_at=pl.col("booked").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/London"),
        )
        .select(
            pl.col("customer").alias(C), pl.col("account").alias("account_id"), "local_at",
            pl.col("local_at").dt.date().alias("business_date"),
            (pl.lit(day) - pl.col("local_at").dt.date()).dt.total_days().alias("ago"),
            "amount", "spend", "income", "movement", "is_made", "merchant", "category", "subcategory",
            "is_risky", pl.col("city").str.to_lowercase().str.strip_chars(), pl.col("mode"), "channel",
            "balance",
        )
        .filter(pl.col("ago") >= 0)
        .collect(engine="streaming")
    )  # fmt: skip


def features(files: Path, seeds: Path, day: date) -> pl.DataFrame:
    """All features of one as-of date, a row a customer; from the raw files."""
    frame = understood(files, seeds, day)
    t = frame.lazy()
    accounts = pl.scan_csv(files / "accounts.csv", try_parse_dates=True)
    logins = (
        pl.scan_csv(files / "logins.csv", try_parse_dates=True)
        .select(pl.col("customer").alias(C), ago=(pl.lit(day) - pl.col("at").dt.date()).dt.total_days())
        .filter(pl.col("ago") >= 0)
        .unique()
        .group_by(C)
        .agg(
            days_since_last_login=pl.col("ago").min(),
            login_days_30d=(pl.col("ago") < 30).sum(),
            prior_logins=pl.col("ago").is_between(30, 119).sum(),
        )
    )
    opened = accounts.group_by(pl.col("customer").alias(C)).agg(opened=pl.col("opened").min())
    customers = pl.scan_csv(files / "customers.csv").select(pl.col("customer").alias(C))
    parts = [
        sums(t), logins, opened, days_of(t), recurring(t, day), merchants(t), weekdays(t), cities(t), risk(t),
        paydays(t), categories(t), balances(t, accounts, day),
    ]  # fmt: skip
    wide = customers
    for part in parts:
        wide = wide.join(part, on=C, how="left")
    return (
        wide.with_columns(
            pl.col("login_days_30d", "prior_logins", "active_days_90d", "distinct_merchants_90d",
                   "active_recurring_payments").fill_null(0)
        )
        .with_columns(
            season_index=pl.when(pl.col("first_ago") >= 364).then("season_index"),
            tenure_days=pl.coalesce((pl.lit(day) - pl.col("opened")).dt.total_days(), "first_ago"),
            login_trend=((pl.col("login_days_30d") + 1) / (pl.col("prior_logins") / 3 + 1)).log(),
        )
        .with_columns(pl.col("tenure_days").cast(pl.Float64))
        .select(pl.exclude("prior_logins", "opened", "first_ago"))
        .collect(engine="streaming")
    )  # fmt: skip


def _over(value: pl.Expr, by: pl.Expr) -> pl.Expr:
    return pl.when(by > 0).then(value / by)


def sums(t: pl.LazyFrame) -> pl.LazyFrame:
    """What one group-by by customer gives."""
    ago, made, spend, income = pl.col("ago"), pl.col("is_made"), pl.col("spend"), pl.col("income")
    in_90, in_180, in_365 = ago < 90, ago < 180, ago < 365
    way = made & in_90 & (pl.col("mode").is_not_null() | pl.col("channel").is_not_null())
    digital = way & ((pl.col("channel") == "online") | pl.col("mode").is_in(["upi", "wallet"])).fill_null(
        False
    )
    hour = pl.col("local_at").dt.hour()
    timed = made & in_90 & hour.is_not_null()
    paid = (-pl.col("amount")).filter((pl.col("movement") == "purchase") & in_90)
    periods = {
        f"{name}_{period}": column.filter(ago // 30 == period).sum()
        for name, column in (("spend", spend), ("income", income))
        for period in range(6)
    }
    spends, incomes = (pl.concat_list([f"{name}_{i}" for i in range(6)]) for name in ("spend", "income"))
    earned, total = pl.col("earned"), pl.col("total_spend_365d")
    slope = sum(w * pl.col(f"spend_{i}") for i, w in enumerate((2.5, 1.5, 0.5, -0.5, -1.5, -2.5))) / 17.5
    return (
        t.group_by(C)
        .agg(
            first_ago=ago.max(),
            days_since_last_transaction=ago.filter(made).min(),
            days_since_last_income=ago.filter(income > 0).min(),
            total_spend_30d=spend.filter(ago < 30).sum(),
            total_spend_90d=spend.filter(in_90).sum(),
            total_spend_365d=spend.filter(in_365).sum(),
            total_transactions=(made & in_365).sum(),
            transactions_30d=(made & (ago < 30)).sum(),
            transactions_90d=(made & in_90).sum(),
            prior=(made & ago.is_between(30, 119)).sum(),
            avg_transaction_amount=paid.mean(),
            median_transaction_amount_90d=paid.median(),
            max_transaction_amount_90d=paid.max(),
            stddev_transaction_amount_90d=paid.std(),
            earned=income.filter(in_90).sum(),
            invested=spend.filter(in_90 & (pl.col("category") == "investments")).sum(),
            rent=spend.filter(in_90 & (pl.col("movement") == "rent")).sum(),
            instalments=spend.filter(in_90 & (pl.col("movement") == "loan_instalment")).sum(),
            fees_and_interest_90d=(-pl.col("amount"))
            .filter(in_90 & pl.col("movement").is_in(["fee", "interest"]) & (pl.col("amount") < 0))
            .sum(),
            digital_share_90d=_over(digital.sum(), way.sum()),
            night_share_90d=_over((timed & ((hour >= 22) | (hour < 6))).sum(), timed.sum()),
            reversal_rate_180d=_over(
                (in_180 & pl.col("movement").is_in(["refund", "reversal"])).sum(),
                (in_180 & (pl.col("movement") == "purchase")).sum(),
            ),
            year_ago=spend.filter(ago.is_between(335, 364)).sum(),
            **periods,
        )
        .with_columns(
            avg_monthly_income_180d=incomes.list.mean(),
            income_variation_180d=_over(incomes.list.std(), incomes.list.mean()),
            spend_slope_180d=_over(slope, spends.list.mean()),
            spend_volatility_180d=_over(spends.list.std(), spends.list.mean()),
            net_savings_90d=earned - pl.col("total_spend_90d") + pl.col("invested"),
            rent_to_income_90d=_over(pl.col("rent"), earned),
            emi_to_income_90d=_over(pl.col("instalments"), earned),
            season_index=_over(pl.col("year_ago"), total * 30 / 365),
            transaction_count_trend=((pl.col("transactions_30d") + 1) / (pl.col("prior") / 3 + 1)).log(),
        )
        .with_columns(savings_rate_90d=_over(pl.col("net_savings_90d"), earned))
        .drop("earned", "invested", "rent", "instalments", "year_ago", "prior", *periods)
    )


def _entropy(share: pl.Expr) -> pl.Expr:
    return -(pl.when(share > 0).then(share * share.log(2)).otherwise(0)).sum()


def days_of(t: pl.LazyFrame) -> pl.LazyFrame:
    """Active days and the gaps between them."""
    days = t.filter(pl.col("is_made") & (pl.col("ago") < 90)).select(C, "ago").unique().sort(C, "ago")
    return days.group_by(C).agg(
        active_days_90d=pl.len(), median_gap_days_90d=pl.col("ago").sort().diff().median()
    )


def merchants(t: pl.LazyFrame) -> pl.LazyFrame:
    """Where the money goes, and whether it went there before."""
    recent = pl.col("ago") < 90
    return (
        t.filter((pl.col("ago") < 365) & ((pl.col("spend") != 0) | pl.col("is_made")))
        .group_by(C, "merchant")
        .agg(
            net=pl.col("spend").filter(recent).sum().clip(lower_bound=0),
            visited=(recent & pl.col("is_made")).any(),
            known=(~recent & (pl.col("spend") > 0)).any(),
            recent=recent.any(),
        )
        .filter("recent")
        .group_by(C)
        .agg(
            distinct_merchants_90d=pl.col("visited").sum(),
            merchant_entropy_90d=pl.when(pl.col("net").sum() > 0)
            .then(_entropy(pl.col("net") / pl.col("net").sum())),
            top_merchant_share_90d=_over(pl.col("net").max(), pl.col("net").sum()),
            new_merchant_share_90d=_over(pl.col("net").filter(~pl.col("known")).sum(), pl.col("net").sum()),
        )
    )  # fmt: skip


def weekdays(t: pl.LazyFrame) -> pl.LazyFrame:
    """How the week is used."""
    share = pl.col("n") / pl.col("n").sum()
    return (
        t.filter(pl.col("is_made") & (pl.col("ago") < 90))
        .group_by(C, weekday=pl.col("business_date").dt.weekday())
        .agg(n=pl.len())
        .group_by(C)
        .agg(
            weekend_share_90d=pl.col("n").filter(pl.col("weekday") >= 6).sum() / pl.col("n").sum(),
            weekday_entropy_90d=_entropy(share),
        )
    )


def cities(t: pl.LazyFrame) -> pl.LazyFrame:
    """Transactions outside the most frequent city."""
    recent = pl.col("recent")
    return (
        t.filter((pl.col("ago") < 365) & pl.col("is_made") & pl.col("city").is_not_null())
        .group_by(C, "city")
        .agg(n=pl.len(), recent=(pl.col("ago") < 90).sum())
        .group_by(C)
        .agg(
            away_share_90d=_over(
                recent.sum() - recent.sort_by(["n", "city"], descending=[True, False]).first(), recent.sum()
            )
        )
    )


def risk(t: pl.LazyFrame) -> pl.LazyFrame:
    """Share of spend in risky subcategories."""
    spend = pl.col("spend")
    return (
        t.filter(pl.col("ago") < 180)
        .group_by(C, "subcategory")
        .agg(spend=spend.sum().clip(lower_bound=0), is_risky=pl.col("is_risky").first())
        .group_by(C)
        .agg(risk_spend_share_180d=_over(spend.filter("is_risky").sum(), spend.sum()))
    )


def paydays(t: pl.LazyFrame) -> pl.LazyFrame:
    """Share of spend on the day of an income and the seven after it."""
    days = (
        t.filter(pl.col("ago") < 97)
        .group_by(C, "ago")
        .agg(spend=pl.col("spend").sum(), income=pl.col("income").sum())
    )
    near = (
        days.filter(pl.col("income") > 0)
        .select(C, ago=pl.concat_list([pl.col("ago") - later for later in range(8)]))
        .explode("ago")
        .unique()
        .with_columns(is_near=True)
    )
    spend, is_near = pl.col("spend"), pl.col("is_near").fill_null(False)
    return (
        days.filter(pl.col("ago") < 90)
        .join(near, on=[C, "ago"], how="left")
        .group_by(C)
        .agg(
            near=spend.filter(is_near).sum().clip(lower_bound=0),
            other=spend.filter(~is_near).sum().clip(lower_bound=0),
        )
        .select(C, payday_share_90d=_over(pl.col("near"), pl.col("near") + pl.col("other")))
    )


def categories(t: pl.LazyFrame) -> pl.LazyFrame:
    """Shares of spend, their entropy, and how far they are from those of the quarter before."""
    recent, spend, before = pl.col("ago") < 90, pl.col("spend"), pl.col("before")
    p = pl.when(spend.sum() > 0).then(spend / spend.sum())
    q = pl.when(before.sum() > 0).then(before / before.sum())
    shift = (_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2).clip(lower_bound=0).sqrt()
    return (
        t.filter(pl.col("ago") < 180)
        .group_by(C, "category")
        .agg(
            spend=spend.filter(recent).sum().clip(lower_bound=0),
            before=spend.filter(~recent).sum().clip(lower_bound=0),
        )
        .group_by(C)
        .agg(
            **{
                f"share_{name}": _over(spend.filter(pl.col("category") == name).sum(), spend.sum())
                for name in SHARES
            },
            category_entropy_90d=pl.when(spend.sum() > 0).then(_entropy(p)),
            category_shift_90d=pl.when((spend.sum() > 0) & (before.sum() > 0)).then(shift),
        )
    )


def balances(t: pl.LazyFrame, accounts: pl.LazyFrame, day: date) -> pl.LazyFrame:
    """Daily closings carried forward, all accounts of a customer together."""
    closings = (
        t.filter(pl.col("balance").is_not_null())
        .group_by("account_id", "ago")
        .agg(balance=pl.col("balance").sort_by("local_at").last())
        .sort("account_id", "ago", descending=[False, True])
    )
    # Each closing holds until the next one; its days within the window are counted, not written out.
    held = closings.with_columns(
        until=pl.col("ago").shift(-1).over("account_id").fill_null(-1),
        since=pl.col("ago").clip(upper_bound=89),
    ).filter(pl.col("until") < 89)
    days = (
        held.join(
            accounts.select("account", pl.col("customer").alias(C)), left_on="account_id", right_on="account"
        )
        .select(C, "balance", ago=pl.int_ranges(pl.col("until") + 1, pl.col("since") + 1))
        .explode("ago")
        .group_by(C, "ago")
        .agg(balance=pl.col("balance").sum(), is_below=(pl.col("balance") < 0).any())
    )
    return days.group_by(C).agg(
        avg_balance_90d=pl.col("balance").mean(),
        min_balance_90d=pl.col("balance").min(),
        overdraft_days_90d=pl.col("is_below").sum(),
    )


def recurring(t: pl.LazyFrame, day: date) -> pl.LazyFrame:
    """Standing payments that have not lapsed."""
    category = pl.col("category")
    obligations = ["subscriptions", "utilities_telecom", "insurance", "education_children", "other"]
    subscribed = (pl.col("movement") == "purchase") & (
        pl.col("mode").is_in(["direct_debit", "standing_order"]).fill_null(False)
        | category.is_in(obligations)
        | (pl.col("subcategory") == "sport_fitness")
    )
    kind = (
        pl.when(pl.col("spend") <= 0).then(None)
        .when(category == "rent_mortgage").then(pl.lit("rent"))
        .when(category == "emi_loans").then(pl.lit("loan_instalment"))
        .when(category == "investments").then(pl.lit("investment"))
        .when(subscribed).then(pl.lit("subscription"))
    )  # fmt: skip
    series = [C, "kind", "payee", "instalment"]
    is_loan = pl.col("kind").is_in(["loan_instalment", "investment"])
    paid, on = pl.col("paid"), pl.col("business_date")
    days = (
        t.with_columns(kind=kind, paid=pl.col("amount").abs())
        .filter(pl.col("kind").is_not_null())
        .with_columns(
            payee=pl.when(pl.col("kind") == "rent").then("account_id").otherwise("merchant"),
            instalment=pl.when(is_loan).then("paid").otherwise(0.0),
        )
        .group_by(*series, "business_date")
        .agg(paid=paid.sum())
        .sort(*series, "business_date")
        .with_columns(
            *[on.shift(back).over(series).alias(f"on_{back}") for back in (1, 2, 3)],
            *[paid.shift(back).over(series).alias(f"paid_{back}") for back in (1, 2, 3)],
        )
    )
    until = pl.lit(None, dtype=pl.Date)
    for step, shortest, longest, gaps, ratio in reversed(PERIODS):
        dates = ["business_date", "on_1", "on_2", "on_3"]
        amounts = [pl.col(name) for name in ("paid", "paid_1", "paid_2", "paid_3")[: gaps + 1]]
        fits = pl.max_horizontal(amounts) <= ratio * pl.min_horizontal(amounts)
        for back in range(gaps):
            gap = (pl.col(dates[back]) - pl.col(dates[back + 1])).dt.total_days()
            fits &= gap.is_between(shortest, longest)
        if step == "12mo":
            fits &= pl.col("kind") == "subscription"
        until = pl.when(fits).then(on.dt.offset_by(step).dt.offset_by(f"{STEPS[step]}d")).otherwise(until)
    return (
        days.filter(until >= pl.lit(day))
        .select(series)
        .unique()
        .group_by(C)
        .agg(active_recurring_payments=pl.len())
    )
