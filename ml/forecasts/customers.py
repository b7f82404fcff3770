"""Forecasts of customers, all of them by the same few SQL statements.

Of each customer the sums by month back from the origin are enough, and months without money need no row:

    level = (Σ w_k · ln(1 + max(amount_k, 0) / c) − Σ w_k · s_m(k)) / Σ w_k,  w_k = (1 − α)^k
    forecast of step h = c · (exp(level + s_m(h)) − 1) · the group's correction

over the months k = 0, 1, … of the customer's history; α is `smoothing`, c the client's usual amount of a
month with money (a started logarithm, Mosteller & Tukey 1977), s the pooled seasonal index by
calendar month (all 0: the method `smoothed`). The two sums over w do not depend on the customer but on the
length of the history. That is exponential smoothing (Brown 1959) with a shared season. An exponential
of a mean of logarithms is a median and comes out low; the correction is outcomes over forecasts in the
backtest, and `reconciled` scales all customers to what is forecast of their sum.

Sums over customers are of decimals, so that threads change no digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.forecasts.accuracy import ENDS, INTERVALS
from ml.forecasts.config import Customers
from ml.forecasts.methods import MEAN, SEASONAL_NAIVE
from ml.forecasts.series import month_end

FLOOR, SMOOTHED, POOLED = "floor", "smoothed", "pooled_seasonal"
CANDIDATES = (FLOOR, SMOOTHED, POOLED)
ALL = ""
"""Name of all groups together."""

_YEAR = 12
_MOST = 99_999_999_999_999
"""More than a DECIMAL(18,4) can hold is cut off."""
_GROUP = f"""
    case when months < 6 then 'under 6 months' when months < {_YEAR} then '6 to 11 months'
    else '12 months and more' end
    || case when active_months = least(months, 6) then ', every month' else ', not every month' end
"""
"""How long a customer has been there, and whether money moved in each of the last six months."""


@dataclass(frozen=True)
class Known:
    """What a version knows about customers; numbers by group and step."""

    index: tuple[float, ...]
    """Seasonal index of January to December, in logarithms; their mean is 0."""
    offset: float
    """c: the median amount of a customer's month with money."""
    methods: Mapping[str, str]
    """By group; a group that is not named has `SMOOTHED`."""
    corrections: Mapping[str, float]
    """By group, what its forecasts are multiplied by; default: 1."""
    share: tuple[float, ...]
    """By step: what customers known at the origin make of all the money that comes then."""
    widths: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    """By group and step: quantiles (`ENDS`) of ln(1 + outcome / c) − ln(1 + forecast / c)."""


def forecast(
    connection: duckdb.DuckDBPyConnection, origin: date, horizon: int, known: Known, rules: Customers
) -> None:
    """Make the relation `_said` from `_months` (`ml.forecasts.customer_history`).

    Columns: customer_id, bracket (the group), months, step, method (the group's) and the forecast of each of
    CANDIDATES and of the method, `yhat`, in base currency, not below 0 and not scaled.
    """
    most = connection.execute("select coalesce(max(months_ago), 0) + 1 from _months").fetchone()
    lengths = int(most[0]) if most else 1
    weights = (1 - rules.smoothing) ** np.arange(lengths)
    index = np.array([known.index[(origin.month - 1 - ago) % _YEAR] for ago in range(lengths)])
    _table(
        connection,
        "_curve",
        {
            "months": np.arange(1, lengths + 1),
            "weights": weights.cumsum(),
            "seasons": (weights * index).cumsum(),
        },
    )
    _table(connection, "_weights", {"months_ago": np.arange(lengths), "weight": weights})
    _table(
        connection,
        "_methods",
        {
            "bracket": list(known.methods),
            "method": list(known.methods.values()),
            "correction": np.array([known.corrections.get(name, 1.0) for name in known.methods]),
        },
    )
    last_year = ", ".join(
        f"coalesce(sum(amount) filter (months_ago = {(_YEAR - step) % _YEAR}), 0)"
        for step in range(1, horizon + 1)
    )
    seasons = [float(known.index[month_end(origin, step).month - 1]) for step in range(1, horizon + 1)]
    connection.execute(
        f"""
        create or replace temp table _said as
        with summed as (
            select
                customer_id,
                max(months_ago)::integer + 1 as months,
                count(*) filter (months_ago < 6 and amount > 0) as active_months,
                sum(
                    ln(1 + greatest(amount, 0) / $offset)::decimal(9, 6) * weight::decimal(9, 6)
                )::double as weighted,
                greatest(sum(amount) filter (months_ago < 3), 0)::double as recent,
                [{last_year}] as last_year
            from _months inner join _weights using (months_ago)
            group by customer_id
        ),
        grouped as (select *, {_GROUP} as bracket from summed),
        levels as (
            select
                grouped.*,
                coalesce(_methods.method, '{SMOOTHED}') as method,
                coalesce(_methods.correction, 1) as correction,
                weighted / weights as smoothed_level,
                (weighted - seasons) / weights as pooled_level
            from grouped
            inner join _curve using (months)
            left join _methods using (bracket)
        ),
        steps as (select unnest(range(1, {horizon:d} + 1))::integer as step),
        said as (
            select
                customer_id, bracket, months, step, method, correction,
                case when months >= {_YEAR} then greatest(last_year[step], 0)::double
                else recent / least(months, 3) end as "{FLOOR}",
                $offset * greatest(exp(smoothed_level) - 1, 0) as "{SMOOTHED}",
                $offset * greatest(exp(pooled_level + $seasons[step]) - 1, 0) as "{POOLED}"
            from levels cross join steps
        )
        select
            * replace (
                case when method <> '{FLOOR}' then method when months >= {_YEAR} then '{SEASONAL_NAIVE}'
                else '{MEAN}' end as method
            ),
            (
                correction
                * case method when '{FLOOR}' then "{FLOOR}" when '{POOLED}' then "{POOLED}"
                else "{SMOOTHED}" end
            )::decimal(18, 4) as yhat
        from said
        """,  # noqa: S608 - numbers and names from closed sets
        {"seasons": seasons, "offset": known.offset},
    )


def reconciled(
    connection: duckdb.DuckDBPyConnection, totals: Sequence[float], known: Known, rules: Customers
) -> None:
    """Make the relation `_reconciled`: `_said` with `yhat` scaled to the totals, and `INTERVALS` around it.

    Args:
        connection: with `_said`.
        totals: by step, what is forecast of these customers together; nan: no scaling.
        known: widths; without any there are no intervals (null).
        rules: of customers.
    """
    steps = np.arange(1, len(totals) + 1)
    _table(connection, "_totals", {"step": steps, "total": np.asarray(totals, dtype=np.float64)})
    widths = [
        {"bracket": bracket, "step": step, **{name: ends[place] for place, name in enumerate(INTERVALS)}}
        for bracket, by_step in known.widths.items()
        for step, ends in enumerate(by_step, 1)
    ]
    connection.register("_given", pa.Table.from_pylist(widths, _WIDTHS))
    connection.execute("create or replace temp table _widths as from _given")
    connection.unregister("_given")
    ends = ", ".join(f"{end} as {name}" for name, end in interval_sql(known.offset).items())
    connection.execute(
        f"""
        create or replace temp view _reconciled as
        with factors as (
            select
                step,
                case when isnan(any_value(total)) or sum(yhat) <= 0 then 1
                else any_value(total) / sum(yhat)::double end as factor
            from _said inner join _totals using (step)
            group by step
        ),
        scaled as (
            select _said.* replace ((yhat::double * factor)::decimal(18, 4) as yhat), yhat as unscaled
            from _said inner join factors using (step)
        )
        select scaled.*, {ends}
        from scaled
        left join _widths as own on own.bracket = scaled.bracket and own.step = scaled.step
        left join _widths as everybody on everybody.bracket = '{ALL}' and everybody.step = scaled.step
        """  # noqa: S608 - names from closed sets
    )


def interval_sql(offset: float) -> dict[str, str]:
    """`INTERVALS` around `yhat` by the widths of relation `own`, or else of `everybody`; they hold `yhat`."""
    found = {}
    for place, name in enumerate(INTERVALS):
        end = f"(exp(ln(1 + yhat / {offset!r}) + coalesce(own.{name}, everybody.{name})) - 1) * {offset!r}"
        kept = f"greatest(least({end}, {_MOST}), 0)::decimal(18, 4)"
        found[name] = f"{'least' if place < 2 else 'greatest'}(yhat, {kept})"
    return found


def widths(
    connection: duckdb.DuckDBPyConnection, horizon: int, least: int, where: str
) -> dict[str, list[list[float]]]:
    """Quantiles of the residuals in `_judged` (bracket, step, residual, origin) by group, and of all."""
    found: dict[str, list[list[float]]] = {}
    for bracket, step, rows, ends in connection.execute(
        f"""
        select coalesce(bracket, '{ALL}') as bracket, step, count(*), quantile_disc(residual, {list(ENDS)})
        from _judged where {where}
        group by grouping sets ((bracket, step), (step)) order by all
        """  # noqa: S608 - our own condition
    ).fetchall():
        if bracket == ALL or rows >= least:
            by_step = found.setdefault(bracket, [[]] * horizon)
            by_step[step - 1] = [round(float(end), 6) for end in ends]
    return {bracket: by_step for bracket, by_step in found.items() if all(by_step)}


_WIDTHS = pa.schema(
    [("bracket", pa.string()), ("step", pa.int32()), *((name, pa.float64()) for name in INTERVALS)]
)


def _table(
    connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, NDArray[Any] | list[str]]
) -> None:
    """A small temporary table."""
    given = pa.table(
        {
            key: pa.array(values, pa.string()) if isinstance(values, list) else pa.array(values)
            for key, values in columns.items()
        }
    )
    connection.register("_given", given)
    connection.execute(f"create or replace temp table {name} as from _given")
    connection.unregister("_given")
