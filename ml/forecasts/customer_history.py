"""The months of customers that are looked back at, and what all of them have in common."""

from datetime import date

import duckdb
import numpy as np

from ml.forecasts.config import Customers
from ml.forecasts.series import Span, amounts_sql

_YEAR = 12


def prepare(
    connection: duckdb.DuckDBPyConnection, span: Span, measure: str, rules: Customers, sample: int | None
) -> int:
    """Make the relations `_population` (customer_id) and `_months` (customer_id, months_ago, amount).

    The population at the end of a span is who had a movement in the last `active_months` months and was not
    known to have left; `_months` holds the sample of it.

    Args:
        connection: on a build or publication.
        span: what is known.
        measure: spend or revenue.
        rules: of customers.
        sample: no more customers than these, by the hash of their id; None: all.

    Returns:
        Customers in `_months`.
    """
    closed = _CLOSED if _has_customers(connection) else "select null as customer_id where false"
    limit = "" if sample is None else f"order by md5(customer_id), customer_id limit {sample:d}"
    connection.execute(
        f"""
        create or replace temp table _months as
        select customer_id, months_ago, sum(amount)::decimal(18, 4) as amount
        from ({amounts_sql(measure)}) group by all
        """,  # noqa: S608 - names of columns
        span.parameters,
    )
    connection.execute(
        f"""
        create or replace temp table _population as
        select customer_id from _months group by customer_id
        having min(months_ago) < {rules.active_months:d} and customer_id not in ({closed})
        """,  # noqa: S608 - a number
        {name: value for name, value in span.parameters.items() if name != "first"}
        if closed == _CLOSED
        else {},
    )
    connection.execute(
        f"""
        create or replace temp table _months as
        from _months semi join (from _population {limit}) using (customer_id)
        """
    )
    found = connection.execute("select count(distinct customer_id) from _months").fetchone()
    return int(found[0]) if found else 0


def usual_amount(connection: duckdb.DuckDBPyConnection) -> float:
    """Median of the months with money in `_months`; 1 without any."""
    found = connection.execute(
        "select coalesce(quantile_disc(amount, 0.5), 1)::double from _months where amount > 0"
    ).fetchone()
    return float(found[0]) if found else 1.0


def seasonal_index(connection: duckdb.DuckDBPyConnection, last: date, offset: float) -> tuple[float, ...]:
    """The index of `_months`, whose newest month ends on `last`; zeros under 13 months of history.

    The mean of ln(1 + amount / c) of the customers who were there, each less the customer's own mean, by
    month; less a straight line; averaged by calendar month and drawn towards 0 by n/(n + 1) where n years
    were seen.
    """
    rows = connection.execute(
        """
        with logs as (
            select
                customer_id, months_ago, ln(1 + greatest(amount, 0) / $offset)::decimal(9, 6) as x
            from _months
        ),
        customers as (
            select
                customer_id, max(months_ago) + 1 as months,
                (sum(x) / (max(months_ago) + 1))::decimal(9, 6) as mean
            from logs group by customer_id
        ),
        there as (select months, count(*) as customers, sum(mean) as mean from customers group by months),
        sums as (select months_ago, sum(x) as x from logs group by months_ago)
        select months_ago::integer, any_value(x)::double, sum(mean)::double, sum(customers)::double
        from sums inner join there on there.months > sums.months_ago
        group by months_ago order by months_ago
        """,
        {"offset": offset},
    ).fetchall()
    if len(rows) <= _YEAR:
        return (0.0,) * _YEAR
    place = np.array([row[0] for row in rows], dtype=np.float64)
    deviation = np.array([(x - mean) / customers for _, x, mean, customers in rows])
    slope, start = np.polyfit(place, deviation, 1)
    rest = deviation - (slope * place + start)
    index = np.zeros(_YEAR)
    for month in range(_YEAR):
        own = rest[[(last.month - 1 - int(ago)) % _YEAR == month for ago in place]]
        index[month] = own.sum() / (len(own) + 1)
    return tuple(round(float(value), 6) for value in index - index.mean())


_CLOSED = """
    select customer_id from intermediate.int_customers
    where client_id = $client and closed_on <= $last and known_at < $cutoff
        and (superseded_at is null or superseded_at >= $cutoff)
"""


def _has_customers(connection: duckdb.DuckDBPyConnection) -> bool:
    return (
        connection.execute(
            "select 1 from information_schema.tables where table_schema = 'intermediate'"
            " and table_name = 'int_customers'"
        ).fetchone()
        is not None
    )
