"""What the pandas side reads: the understood transactions of one date, as anybody would export them."""

from pathlib import Path

import duckdb

EXPORTS = {
    "transactions": """
        select
            t.customer_id, t.account_id, t.business_date,
            timezone(c.timezone, timezone('UTC', t.event_at)) as local_at,
            t.base_amount::double as amount, t.spend_amount::double as spend,
            t.income_amount::double as income,
            t.movement, t.is_customer_initiated as is_made, t.merchant, t.category, t.subcategory, k.is_risky,
            lower(trim(t.city)) as city, t.payment_mode, t.channel, t.balance_after::double as balance
        from intermediate.int_transactions as t
        join ops.horizon as h using (client_id)
        join ops.clients as c using (client_id)
        left join staging.categories as k using (subcategory)
        where t.has_base_amount and t.business_date <= h.as_of_date and t.known_at < h.cutoff_at
          and (t.superseded_at is null or t.superseded_at >= h.cutoff_at)
    """,
    "customers": """
        select f.customer_id, min(a.opened_on) as opened_on
        from features.features_customers as f
        join ops.horizon as h using (client_id, as_of_date)
        left join staging.stg_accounts as a using (client_id, customer_id)
        group by all
    """,
    "accounts": "select account_id, customer_id, type from staging.stg_accounts",
    "logins": """
        select customer_id, business_date from staging.stg_events where event_type = 'login'
    """,
    "features": """
        select * exclude (client_id, as_of_date, _definition_hash)
        from features.features_customers join ops.horizon using (client_id, as_of_date)
    """,
}


def export(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write the frames of the horizon's date as Parquet, and our features beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sql in EXPORTS.items():
        connection.execute(f"copy ({sql}) to '{folder / name}.parquet'")


def differences(connection: duckdb.DuckDBPyConnection, ours: Path, theirs: Path) -> dict[str, int]:
    """Customers whose feature differs by more than a thousandth, by feature; none where all agree."""
    connection.execute(f"create or replace temp view ours as from '{ours}'")
    connection.execute(f"create or replace temp view theirs as from '{theirs}'")
    names = [row[0] for row in connection.execute("describe ours").fetchall()]
    found = {}
    for name in names:
        if name in ("customer_id", "cutoff_at"):
            continue
        row = connection.execute(
            f"""
            select count(*) from ours full join theirs using (customer_id)
            where (ours."{name}" is null) <> (theirs."{name}" is null)
               or abs(ours."{name}" - theirs."{name}") > 1e-3 * greatest(abs(ours."{name}"), 1)
            """  # noqa: S608 - names of features
        ).fetchone()
        if row and row[0]:
            found[name] = int(row[0])
    return found
