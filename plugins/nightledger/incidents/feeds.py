"""What a night's records say of their own feed: days that were told again, and columns that became empty."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb

from nightledger import operations
from nightledger.settings import Settings

LEAST_ROWS = 50
"""Records of a day below which a share says nothing."""
DAYS = 28
"""Days before, whose records say what is usual."""
JUMP = 0.1
"""Share of the records by which a column must be emptier, or fuller, than is usual for such records."""
LEAST_USUAL = 200
"""Records of a kind, in those days, that say what is usual for it."""
_MIX = {"transactions": ("source_category", "payment_mode", "channel", "status"), "events": ("event_type",)}
"""What kind of record it is: that customers pay in another way than they did is no fault of the feed."""
_OUR_OWN = frozenset({"client_id", "source", "transaction_key", "known_at", "business_date", "loaded_at"})


def feeds_of(connection: duckdb.DuckDBPyConnection, source: str, client: str) -> list[str]:
    """Feeds that a source has brought so far."""
    rows = connection.execute(
        "select distinct feed from ops.coverage where source = ? and client_id = ? order by 1",
        [source, client],
    ).fetchall()
    return [feed for (feed,) in rows]


def corrected(
    connection: duckdb.DuckDBPyConnection, run_id: str, settings: Settings
) -> dict[tuple[str, str, str], list[date]]:
    """Business days before tonight's of which a run's files told transactions again with another content.

    Returns:
        The days, oldest first, by client, source and feed.
    """
    verdicts = operations.file_verdicts(settings, run_id)
    loads = [row["load_id"] for row in verdicts if row["verdict"] == "loaded"]
    if not loads:
        return {}
    rows = connection.execute(
        """
        with told as (
            select transaction_key, client_id, source, business_date, _content_hash, _load_id
            from raw.transactions where _load_id in (select unnest($loads))
        )
        select told.client_id, told.source, told.business_date
        from told
        inner join raw.transactions as earlier
            on earlier.transaction_key = told.transaction_key
            and earlier._load_id not in (select unnest($loads))
        where earlier._content_hash <> told._content_hash
            and told.business_date < (select max(as_of_date) from ops.horizon)
        group by all order by all
        """,
        {"loads": loads},
    ).fetchall()
    found: dict[tuple[str, str, str], list[date]] = {}
    for client, source, day in rows:
        found.setdefault((client, source, "transactions"), []).append(day)
    return found


def emptied(connection: duckdb.DuckDBPyConnection, day: date) -> Iterator[tuple[str, str, str, str, str]]:
    """Columns of a feed that are much emptier or fuller on a day than its kinds of records used to be.

    Args:
        connection: on the publication.
        day: the business date to look at.

    Yields:
        Client, feed, source, column, and a sentence.
    """
    for feed, mix in _MIX.items():
        for client, source, column, usual, now in _shares(connection, feed, mix, day):
            way = "empty" if now > usual else "filled"
            was, is_now = (usual, now) if now > usual else (1 - usual, 1 - now)
            what = f"{column} is {way} in {is_now:.0%} of the records of {source}; usual was {was:.0%}."
            yield client, feed, source, column, what


def _shares(
    connection: duckdb.DuckDBPyConnection, feed: str, mix: tuple[str, ...], day: date
) -> list[tuple[Any, ...]]:
    """(client, source, column, usual share of empty, share now) of the columns that jumped."""
    there = connection.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = 'raw' and table_name = ?"
        " and database_name = current_database()",
        [feed],
    ).fetchall()
    columns = [
        name for name, _ in there if not name.startswith("_") and name not in _OUR_OWN and name not in mix
    ]
    if not columns:
        return []
    moment = "business_date" if feed == "transactions" else "cast(event_at as date)"
    kinds = ", ".join(f"coalesce(cast({name} as varchar), '') as {name}" for name in mix)
    counted = ", ".join(f'count(*) - count("{name}") as "{name}"' for name in columns)
    missing = ", ".join(f'"{name}"' for name in columns)
    return connection.execute(
        f"""
        with kinds as (
            select client_id, source, {kinds}, {moment} = $day as is_now, count(*) as n, {counted}
            from raw.{feed} where {moment} between $first and $day group by all
        ),
        long as (unpivot kinds on {missing} into name column_name value missing),
        shares as (
            select client_id, source, column_name, {", ".join(mix)},
                   coalesce(sum(n) filter (not is_now), 0) as usual_n,
                   sum(missing) filter (not is_now) as usual_missing,
                   coalesce(sum(n) filter (is_now), 0) as n, sum(missing) filter (is_now) as missing
            from long group by all
        )
        select client_id, source, column_name,
               sum(n * usual_missing / usual_n) / sum(n) as usual, sum(missing) / sum(n) as now
        from shares
        where n > 0 and usual_n >= {LEAST_USUAL}
        group by all
        having sum(n) >= {LEAST_ROWS} and abs(now - usual) >= {JUMP}
            and abs(now - usual) >= 5 * sqrt(greatest(usual * (1 - usual), 0.01) / sum(n))
        order by all
        """,  # noqa: S608 - names of feeds and of their columns
        {"day": day, "first": day - timedelta(days=DAYS)},
    ).fetchall()
