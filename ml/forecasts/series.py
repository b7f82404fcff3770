"""Sums of money by day, as they were known at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import numpy as np
from numpy.typing import NDArray

from nightledger.clients import load_clients
from nightledger.settings import Settings

Vector = NDArray[np.float64]
Key = tuple[str, str, str]
"""Level, entity and category, as `fct_forecasts` has them."""

AMOUNTS = """
    select
        customer_id, category, coalesce(region, '') as region, business_date,
        date_diff('month', business_date, $last::date)::integer as months_ago,
        {column} as amount
    from intermediate.int_revenue
    where
        client_id = $client
        and business_date between $first and $last
        and known_at < $cutoff
        and (superseded_at is null or superseded_at >= $cutoff)
"""
"""Movements of a client from `$first` to `$last` as known before `$cutoff`; no later correction is seen."""

_LATEST_DAY_OF_A_FIRST_MONTH = 5
"""A history that begins later in a month has that month in part only; it is left out."""
_LEAST_OF_A_USUAL_MONTH = 0.1
"""Share of the median month's movements that a month must have for the history to begin with it."""


def amounts_sql(measure: str) -> str:
    """`AMOUNTS` of a measure."""
    return AMOUNTS.format(column={"spend": "spend_amount", "revenue": "revenue"}[measure])


@dataclass(frozen=True)
class Span:
    """What is read: days of a client, and what was known of them."""

    client: str
    first: date
    """First day of a month."""
    last: date
    """Last day of a month."""
    cutoff: datetime
    """First instant (UTC) that is too late."""

    @property
    def parameters(self) -> dict[str, object]:
        """Of `AMOUNTS`."""
        return {"client": self.client, "first": self.first, "last": self.last, "cutoff": self.cutoff}

    @property
    def months(self) -> int:
        """Number of its months."""
        return months(self.first, self.last)


@dataclass(frozen=True)
class Series:
    """One series up to its origin, in the client's base currency."""

    first: date
    """First day of the first month with money."""
    daily: Vector
    """A value for each day to the origin; nothing is 0."""

    @property
    def monthly(self) -> Vector:
        """Sums of its months."""
        return by_month(self.daily, self.first)


def month_end(day: date, months: int = 0) -> date:
    """Last day of the month that lies `months` after the one of `day`."""
    number = day.year * 12 + day.month - 1 + months + 1
    return date(number // 12, number % 12 + 1, 1) - timedelta(days=1)


def month_start(day: date, months: int = 0) -> date:
    """First day of that month."""
    return month_end(day, months).replace(day=1)


def months(first: date, last: date) -> int:
    """Number of calendar months from one day to another, both counted."""
    return (last.year - first.year) * 12 + last.month - first.month + 1


def by_month(daily: Vector, first: date) -> Vector:
    """Sums of whole months, of which the first begins on `first`."""
    starts, at = [], first
    while (at - first).days < len(daily):
        starts.append((at - first).days)
        at = month_start(at, 1)
    return np.add.reduceat(daily, starts) if starts else np.zeros(0)


def cutoff_of(connection: duckdb.DuckDBPyConnection, settings: Settings, client: str, day: date) -> datetime:
    """When a day of a client was over: the recorded cutoff, or the one of the client's settings."""
    found = connection.execute(
        "select cutoff_at from ops.as_of_dates where client_id = ? and as_of_date = ?", [client, day]
    ).fetchone()
    if found is not None and isinstance(found[0], datetime):
        return found[0]
    return load_clients(settings)[client].cutoff_at(day)


def first_month(
    connection: duckdb.DuckDBPyConnection, client: str, measure: str, cutoff: datetime
) -> date | None:
    """First day of the first month whose movements are all there; None without any movement.

    A few rows that lie long before all others (a late refund, a date with a slip) are no month of history.
    """
    found = connection.execute(
        f"""
        with months as (
            select count(*) as movements, min(business_date) as earliest from ({amounts_sql(measure)})
            group by date_trunc('month', business_date)
        )
        select min(earliest) from months where movements >= $least * (select median(movements) from months)
        """,  # noqa: S608 - our own SQL
        {
            "client": client,
            "first": date.min,
            "last": date.max,
            "cutoff": cutoff,
            "least": _LEAST_OF_A_USUAL_MONTH,
        },
    ).fetchone()
    earliest: date | None = found[0] if found else None
    if earliest is None:
        return None
    return month_start(earliest, 0 if earliest.day <= _LATEST_DAY_OF_A_FIRST_MONTH else 1)


def has_money(connection: duckdb.DuckDBPyConnection, span: Span, measure: str) -> bool:
    """Whether any movement of a span has an amount of a measure."""
    found = connection.execute(
        f"select 1 from ({amounts_sql(measure)}) where amount <> 0 limit 1",  # noqa: S608
        span.parameters,
    ).fetchone()
    return found is not None


def read(
    connection: duckdb.DuckDBPyConnection,
    span: Span,
    measure: str,
    levels: Sequence[str],
    segments: str,
    members_on: date | None = None,
) -> dict[Key, Series]:
    """Every series of these levels that has money in the span, in the order of their keys.

    A segment's series is the money, past and future, of those who were in it at the latest date of segments
    before `members_on`: a night forecasts before it says who is where. Without such a date there is none.

    Args:
        connection: on a build or publication.
        span: days, and what was known of them.
        measure: spend or revenue.
        levels: some of those of `ml.forecasts.config`; customers are not read one by one.
        segments: model whose segments are meant.
        members_on: when segments are looked at; default: the last day of the span.
    """
    amounts = amounts_sql(measure)
    in_segments = {"segment", "segment_category"} & set(levels)
    if in_segments and not _has_segments(connection):
        levels = [level for level in levels if level not in in_segments]
        in_segments = set()
    names = {
        "client": ("''", "''"),
        "category": ("category", "category"),
        "region": ("region", "''"),
        "segment": ("segment", "''"),
        "segment_category": ("segment", "category"),
    }
    parts = " union all ".join(
        f"select '{'segment' if level == 'segment_category' else level}' as level, {entity} as entity,"  # noqa: S608
        f" {category} as category, business_date, sum(amount) as amount from days"
        f" {'where segment is not null' if level in in_segments else ''} group by all"
        for level, (entity, category) in names.items()
        if level in levels
    )
    if not parts:
        return {}
    members = _MEMBERS if in_segments else "select null as customer_id, null as segment where false"
    rows = connection.execute(
        f"""
        with days as (
            select members.segment, category, region, business_date, sum(amount) as amount
            from ({amounts}) as amounts
            left join ({members}) as members on amounts.customer_id = members.customer_id
            group by all
        )
        select level, entity, category, (business_date - $first::date)::integer as place, amount::double
        from ({parts}) where amount <> 0 and (level <> 'region' or entity <> '') order by all
        """,  # noqa: S608 - names of columns from a closed set
        span.parameters
        | ({"segments": segments, "members_on": members_on or span.last} if in_segments else {}),
    ).fetchall()
    length = (span.last - span.first).days + 1
    found: dict[Key, Vector] = {}
    for level, entity, category, place, amount in rows:
        found.setdefault((level, entity, category), np.zeros(length))[place] = amount
    return {key: _trimmed(span.first, daily) for key, daily in found.items()}


_MEMBERS = """
    select customer_id, name as segment
    from marts.fct_segments
    where client_id = $client and model = $segments
        and as_of_date = (
            select max(as_of_date) from marts.fct_segments
            where client_id = $client and model = $segments
                and as_of_date between $members_on::date - 62 and $members_on::date - 1
        )
"""


def _has_segments(connection: duckdb.DuckDBPyConnection) -> bool:
    return (
        connection.execute(
            "select 1 from information_schema.tables where table_schema = 'marts'"
            " and table_name = 'fct_segments'"
        ).fetchone()
        is not None
    )


def _trimmed(first: date, daily: Vector) -> Series:
    """Without the months before the first money: a new category is no old one that sold nothing."""
    at = first + timedelta(days=int(np.flatnonzero(daily)[0]))
    start = month_start(at)
    return Series(start, daily[(start - first).days :])
