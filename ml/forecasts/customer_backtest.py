"""What the methods for customers would have said at past origins, and what a version learns from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ml.forecasts import customer_history, customers
from ml.forecasts.accuracy import INTERVALS, row
from ml.forecasts.backtest import Asked
from ml.forecasts.challengers import challenge
from ml.forecasts.customers import ALL, CANDIDATES, FLOOR, POOLED, SMOOTHED, Known
from ml.forecasts.series import Span, amounts_sql, month_end

_LEAST, _MOST = 0.2, 5.0
"""Between these a group's correction lies."""
_SAID = {SMOOTHED: "smoothed", POOLED: "pooled", FLOOR: "floor"}


@dataclass(frozen=True)
class Learnt:
    """What a backtest of customers gives."""

    known: Known
    metrics: tuple[dict[str, Any], ...]
    values: Mapping[str, float]
    """mase, floor_mase, coverage_80, coverage_95 of all groups."""
    by_group: tuple[Mapping[str, Any], ...]
    """bracket, method, customers and MAE of each candidate, for the model card."""


def learn(
    connection: duckdb.DuckDBPyConnection,
    asked: Asked,
    spans: Sequence[Span],
    truth: Span,
    totals: Mapping[date, Sequence[float]],
    window: str,
) -> Learnt | None:
    """Backtest customers.

    Each candidate is scaled to the totals that were forecast at the origin, as forecasts are; a group keeps
    the one with the least absolute error. Widths come from all origins; the coverage of each origin is
    measured with the widths of the others.

    Args:
        connection: on a publication.
        asked: whose, by which rules.
        spans: what each origin knew.
        truth: the targets, as they are judged.
        totals: by origin and step, what was forecast of the whole client.
        window: of the metrics.

    Returns:
        None where no customer is to be forecast.
    """
    rules, horizon = asked.described.customers, asked.described.horizon_months
    shares, sizes, offset = [], [], 1.0
    for place, span in enumerate(spans):
        sizes.append(customer_history.prepare(connection, span, asked.described.measure, rules, rules.sample))
        if place == 0:
            offset = customer_history.usual_amount(connection)
        index = customer_history.seasonal_index(connection, span.last, offset)
        customers.forecast(connection, span.last, horizon, Known(index, offset, {}, {}, ()), rules)
        shares.append(_test(connection, asked, span, truth, is_first=place == 0))
    if min(sizes) == 0:
        return None
    everybody, sampled = np.mean(np.array(shares), axis=0)
    _scale(connection, totals, sampled)
    chosen, by_group = _choose(connection)
    _judge(connection, chosen, offset)
    known = Known(
        index=index_of_all(connection, asked, truth, offset),
        offset=offset,
        methods=chosen,
        corrections=_corrections(connection, chosen),
        share=tuple(round(float(value), 6) for value in everybody),
        widths=customers.widths(connection, horizon, rules.least_residuals, "true"),
    )
    coverage = _coverage(connection, [span.last for span in spans], horizon, rules.least_residuals, offset)
    metrics, values = _measured(connection, asked, window, coverage)
    challenged = challenge(connection, asked, spans[-1], window) if rules.challenged else []
    return Learnt(known, (*metrics, *challenged), values, by_group)


def index_of_all(
    connection: duckdb.DuckDBPyConnection, asked: Asked, truth: Span, offset: float
) -> tuple[float, ...]:
    """The seasonal index by everything that is known at the end."""
    rules = asked.described.customers
    first = max(truth.first, month_end(truth.last, -asked.described.history_months + 1).replace(day=1))
    customer_history.prepare(
        connection, replace(truth, first=first), asked.described.measure, rules, rules.sample
    )
    return customer_history.seasonal_index(connection, truth.last, offset)


def _corrections(connection: duckdb.DuckDBPyConnection, chosen: Mapping[str, str]) -> dict[str, float]:
    """Of each group, by its method."""
    table = connection.execute("from _corrections").df().set_index("bracket")
    return {bracket: round(float(table.loc[bracket, _SAID[name]]), 6) for bracket, name in chosen.items()}


def _test(
    connection: duckdb.DuckDBPyConnection, asked: Asked, span: Span, truth: Span, *, is_first: bool
) -> tuple[list[float], list[float]]:
    """Add an origin to `_tested`; returns what population and sample made of all the money, by step."""
    horizon = asked.described.horizon_months
    later = replace(truth, first=month_end(span.last, 1).replace(day=1), last=month_end(span.last, horizon))
    connection.execute(
        f"""
        create or replace temp table _came as
        select customer_id, {horizon:d} - months_ago as step, sum(amount)::decimal(18, 4) as actual
        from ({amounts_sql(asked.described.measure)}) group by all
        """,  # noqa: S608 - a number
        later.parameters,
    )
    connection.execute(
        f"""
        {"create or replace temp table _tested as" if is_first else "insert into _tested"}
        with changes as (
            select customer_id, sum(abs(newer - older))::double as change
            from (
                select customer_id, coalesce(_months.amount, 0) as newer, coalesce(earlier.amount, 0) as older
                from _months
                full join (select customer_id, months_ago - 1 as months_ago, amount from _months) as earlier
                    using (customer_id, months_ago)
                where months_ago >= 0
                qualify months_ago < max(months_ago) over (partition by customer_id)
            )
            group by customer_id
        )
        select
            $origin::date as origin, customer_id, bracket, step, "{FLOOR}" as floor, "{SMOOTHED}" as smoothed,
            "{POOLED}" as pooled, coalesce(actual, 0) as actual,
            greatest(coalesce(change, 0) / greatest(months - 1, 1), 0.01)::decimal(18, 4) as scale
        from _said
        left join _came using (customer_id, step)
        left join changes using (customer_id)
        """,  # noqa: S608 - names from a closed set
        {"origin": span.last},
    )
    rows = connection.execute("""
        with sums as (
            select
                step,
                sum(actual)::double as everybody,
                coalesce(sum(actual) filter (_population.customer_id is not null), 0)::double as population,
                coalesce(sum(actual) filter (sampled.customer_id is not null), 0)::double as sample
            from _came
            left join _population using (customer_id)
            left join (select distinct customer_id from _months) as sampled using (customer_id)
            group by step
        )
        select
            step, coalesce(population / nullif(everybody, 0), 1), coalesce(sample / nullif(everybody, 0), 1)
        from sums
    """).fetchall()
    # Where nothing came there is nothing to share.
    found = {step: (population, sample) for step, population, sample in rows}
    by_step = [found.get(step, (1.0, 1.0)) for step in range(1, horizon + 1)]
    return [population for population, _ in by_step], [sample for _, sample in by_step]


def _scale(connection: duckdb.DuckDBPyConnection, totals: Mapping[date, Sequence[float]], share: Any) -> None:
    """Make `_scaled`: `_tested` with each candidate corrected by group, and scaled to the origin's totals."""
    given = pd.DataFrame(
        [
            (origin, step, total * share[step - 1])
            for origin, steps in totals.items()
            for step, total in enumerate(steps, 1)
        ],
        columns=["origin", "step", "total"],
    ).astype({"total": float})
    connection.register("_given", given)
    connection.execute(
        "create or replace temp table _wanted as select origin::date as origin, step, total from _given"
    )
    connection.unregister("_given")
    corrections = ", ".join(
        f"case when sum({name}::decimal(18, 4)) <= 0 then 1 else"
        f" greatest({_LEAST}, least({_MOST}, sum(actual)::double / sum({name}::decimal(18, 4))::double)) end"
        f" as {name}"
        for name in _SAID.values()
    )
    corrected = ", ".join(
        f"(_tested.{name} * corrections.{name})::decimal(18, 4) as {name}" for name in _SAID.values()
    )
    factors = ", ".join(
        f"case when isnan(any_value(total)) or sum({name}) <= 0 then 1"
        f" else any_value(total) / sum({name})::double end as {name}"
        for name in _SAID.values()
    )
    scaled = ", ".join(
        f"corrected.{name}, (corrected.{name}::double * factors.{name})::decimal(18, 4) as {name}_scaled"
        for name in _SAID.values()
    )
    connection.execute(f"""
        create or replace temp table _corrections as
        select bracket, {corrections} from _tested group by bracket;
        create or replace temp table _scaled as
        with corrected as (
            select
                origin, customer_id, bracket, step, _tested.floor as plain_floor, actual, scale, {corrected}
            from _tested inner join _corrections as corrections using (bracket)
        ),
        factors as (
            select origin, step, {factors} from corrected inner join _wanted using (origin, step) group by all
        )
        select origin, customer_id, bracket, step, plain_floor, actual, scale, {scaled}
        from corrected inner join factors using (origin, step)
    """)  # noqa: S608 - names from a closed set


def _choose(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, str], tuple[Mapping[str, Any], ...]]:
    """The method of each group."""
    errors = ", ".join(
        f'(sum(abs({column}_scaled - actual)) / count(*))::double as "{name}"'
        for name, column in _SAID.items()
    )
    table = connection.execute(
        f"select bracket, count(distinct customer_id) as customers, {errors}"  # noqa: S608 - a closed set
        " from _scaled group by bracket order by bracket"
    ).df()
    rows, chosen = [], {}
    for one in table.to_dict("records"):
        best = min(CANDIDATES, key=lambda name: (one[name], CANDIDATES.index(name)))
        chosen[str(one["bracket"])] = best
        rows.append({**one, "method": best})
    return chosen, tuple(rows)


def _judge(connection: duckdb.DuckDBPyConnection, chosen: Mapping[str, str], offset: float) -> None:
    """Make `_judged`: the chosen method of each group, scaled once more together, and its residuals."""
    connection.register("_given", pd.DataFrame(list(chosen.items()), columns=["bracket", "method"]))
    connection.execute("create or replace temp table _chosen as from _given")
    connection.unregister("_given")
    said = " ".join(f"when '{name}' then {column}" for name, column in _SAID.items())
    connection.execute(
        f"""
        create or replace temp table _judged as
        with said as (
            select _scaled.*, (case method {said} end)::decimal(18, 4) as unscaled
            from _scaled inner join _chosen using (bracket)
        ),
        factors as (
            select
                origin, step,
                case when isnan(any_value(total)) or sum(unscaled) <= 0 then 1
                else any_value(total) / sum(unscaled)::double end as factor
            from said inner join _wanted using (origin, step) group by all
        ),
        scaled as (
            select said.*, (unscaled::double * factor)::decimal(18, 4) as yhat
            from said inner join factors using (origin, step)
        )
        select *, ln(1 + greatest(actual, 0) / $offset) - ln(1 + yhat / $offset) as residual from scaled
        """,  # noqa: S608 - names from a closed set
        {"offset": offset},
    )


def _coverage(
    connection: duckdb.DuckDBPyConnection, origins: Sequence[date], horizon: int, least: int, offset: float
) -> dict[str, float]:
    """Share of outcomes inside the intervals that the other origins' widths make."""
    inside = {"80": 0, "95": 0}
    rows, of = 0, customers.interval_sql(offset)
    for origin in origins:
        widths = customers.widths(connection, horizon, least, f"origin <> date '{origin.isoformat()}'")
        ends = pd.DataFrame(
            [(bracket, step, *by) for bracket, steps in widths.items() for step, by in enumerate(steps, 1)],
            columns=["bracket", "step", *INTERVALS],
        )
        connection.register("_given", ends)
        found = connection.execute(
            f"""
            select
                count(*),
                count(*) filter (actual between {of["lo80"]} and {of["hi80"]}),
                count(*) filter (actual between {of["lo95"]} and {of["hi95"]})
            from _judged
            left join _given as own on own.bracket = _judged.bracket and own.step = _judged.step
            left join _given as everybody on everybody.bracket = '{ALL}' and everybody.step = _judged.step
            where origin = ?
            """,  # noqa: S608 - names from a closed set
            [origin],
        ).fetchone() or (0, 0, 0)
        connection.unregister("_given")
        rows += found[0]
        inside = {"80": inside["80"] + found[1], "95": inside["95"] + found[2]}
    return {name: count / rows for name, count in inside.items()}


def _measured(
    connection: duckdb.DuckDBPyConnection, asked: Asked, window: str, coverage: Mapping[str, float]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Metrics of the chosen methods, of each candidate for everybody, and of the floor as it is."""
    columns = {
        "": "yhat",
        "unscaled": "unscaled",
        "plain floor": "plain_floor",
        FLOOR: "floor_scaled",
        SMOOTHED: "smoothed_scaled",
        POOLED: "pooled_scaled",
    }
    sums = (
        connection.execute(
            "select count(*), sum(scale)::double, sum(abs(actual))::double, "  # noqa: S608 - names from a closed set
            + ", ".join(
                f"sum(abs({column}::decimal(18, 4) - actual))::double,"
                f" sum({column}::decimal(18, 4) - actual)::double"
                for column in columns.values()
            )
            + " from _judged"
        ).fetchone()
        or ()
    )
    n, scale, size = int(sums[0]), float(sums[1]), float(sums[2])
    rows, values = [], {"coverage_80": coverage["80"], "coverage_95": coverage["95"]}
    for place, baseline in enumerate(columns):
        error, bias = sums[3 + 2 * place], sums[4 + 2 * place]
        found = {
            "mase": error / scale,
            "wape": error / size if size else np.nan,
            "bias": bias / size if size else np.nan,
        }
        if baseline == "":
            found |= {f"coverage_{name}": share for name, share in coverage.items()}
            values["mase"] = found["mase"]
        elif baseline == FLOOR:
            values["floor_mase"] = found["mase"]
        rows += [
            row(asked.client, "customer", window, metric, value, n, baseline)
            for metric, value in found.items()
        ]
    return rows, values
