"""Rolling origins: every method on what each origin knew, and which of them each series keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from ml.families import TooLittle
from ml.forecasts import methods, series
from ml.forecasts.accuracy import Widths, scale, widths, with_intervals
from ml.forecasts.config import Forecast
from ml.forecasts.methods import FLOOR, PROPHET
from ml.forecasts.series import Key, Series, Span, Vector

TierKey = tuple[str, str, str, str]
"""Grain, level, entity, category."""
SERIES = ["grain", "level", "entity", "category"]
CLIENT: Key = ("client", "", "")


@dataclass(frozen=True)
class Asked:
    """Whose forecasts, by which rules."""

    described: Forecast
    client: str
    country: str
    threads: int
    yearly: bool = False
    """Whether Prophet has a yearly term."""


@dataclass(frozen=True)
class Said:
    """What a method says of a series at an origin."""

    grain: str
    key: Key
    method: str
    values: Vector
    scale: float
    is_positive: bool
    months: int
    """Of history."""


def origins(described: Forecast, first: date, last: date) -> list[date]:
    """Month-ends whose history and targets both lie in the months from `first` to `last`.

    Raises:
        TooLittle: fewer than `least_origins`; says how many months there are and would do.
    """
    horizon = described.horizon_months
    months = series.months(first, last)
    possible = months - described.least_months - horizon + 1
    if possible < described.least_origins:
        needed = described.least_months + horizon + described.least_origins - 1
        raise TooLittle(
            f"{max(months, 0)} complete months of history, {first} to {last}; {needed} are needed: "
            f"{described.least_months} before the first origin, {described.least_origins} origins, each "
            f"judged by {horizon} months."
        )
    count = min(described.origins, possible)
    return [series.month_end(last, -horizon - back) for back in reversed(range(count))]


def read(connection: duckdb.DuckDBPyConnection, asked: Asked, span: Span) -> dict[Key, Series]:
    """The series of the levels that are forecast one by one."""
    rules = asked.described
    return series.read(connection, span, rules.measure, rules.levels, rules.segments)


def say(
    asked: Asked, known: Mapping[Key, Series], origin: date, only: Mapping[TierKey, str] | None = None
) -> list[Said]:
    """What methods say at an origin.

    Args:
        asked: by which rules.
        known: series as known at the origin.
        origin: end of a month.
        only: the method of each series; None: all methods speak. A series that is not named has the floor.
    """
    rules = asked.described
    days = (series.month_start(origin, rules.horizon_months + 1) - origin).days - 1
    wanted = (
        _largest(known, rules.prophet.most_series)
        if only is None
        else {
            (level, entity, category)
            for (_, level, entity, category), method in only.items()
            if method == PROPHET
        }
    )
    fitted = methods.prophet(
        {key: one for key, one in known.items() if key in wanted},
        origin,
        rules.horizon_months,
        rules.prophet,
        asked.country,
        asked.threads,
        yearly=asked.yearly,
        seed=rules.seed,
    )
    found = []
    for key, one in known.items():
        values = one.monthly
        for grain, history, lag in (("month", values, 1), ("day", one.daily, 7)):
            if grain == "day" and key != CLIENT:
                continue
            chosen = None if only is None else only.get((grain, *key), FLOOR)
            said = _all(grain, history, rules.horizon_months if grain == "month" else days, chosen)
            if key in fitted:
                said[PROPHET] = fitted[key] if grain == "day" else methods.months_of(fitted[key], origin)
            if chosen is not None:
                method = chosen if chosen in said else FLOOR
                said = {method: said[method]}
            found += [
                Said(grain, key, name, forecast, scale(history, lag), bool(history.min() >= 0), len(values))
                for name, forecast in said.items()
            ]
    return found


def frame(said: Sequence[Said], origin: date) -> pd.DataFrame:
    """One row per series, method and target, in this order."""
    rows = []
    for one in said:
        for step, value in enumerate(one.values, 1):
            target = (
                series.month_start(origin, step) if one.grain == "month" else origin + timedelta(days=step)
            )
            rows.append(
                (
                    one.grain,
                    *one.key,
                    origin,
                    step,
                    target,
                    one.method,
                    value,
                    one.scale,
                    one.is_positive,
                    one.months,
                )
            )
    names = [*SERIES, "origin", "step", "target", "method", "yhat", "scale", "is_positive", "months"]
    return pd.DataFrame(rows, columns=names)


def run(
    connection: duckdb.DuckDBPyConnection, asked: Asked, spans: Sequence[Span], truth: Span
) -> pd.DataFrame:
    """Every method at every origin, beside what came.

    Args:
        connection: on a publication.
        asked: whose, by which rules.
        spans: what each origin knew.
        truth: the targets, as they are judged.

    Returns:
        The columns of `frame`, and `actual`.
    """
    said = [frame(say(asked, read(connection, asked, span), span.last), span.last) for span in spans]
    table = pd.concat(said, ignore_index=True)
    return table.assign(actual=actuals(connection, asked, table, spans, truth))


def actuals(
    connection: duckdb.DuckDBPyConnection,
    asked: Asked,
    table: pd.DataFrame,
    spans: Sequence[Span],
    truth: Span,
) -> Vector:
    """What came at each target of `table`; nothing is 0. Segments are those of the origin."""
    rules, found = asked.described, {}
    plain = [level for level in rules.levels if not level.startswith("segment")]
    grouped = [level for level in rules.levels if level.startswith("segment")]
    everywhere = series.read(connection, truth, rules.measure, plain, rules.segments)
    for span in spans:
        came = dict(everywhere)
        if grouped:
            came |= series.read(connection, truth, rules.measure, grouped, rules.segments, span.last)
        found[span.last] = came
    values = np.zeros(len(table))
    places = zip(table.origin, *(table[name] for name in SERIES), table.target, strict=True)
    months: dict[tuple[date, Key], Vector] = {}
    for at, (origin, grain, level, entity, category, target) in enumerate(places):
        key = (level, entity, category)
        one = found[origin].get(key)
        if one is None or target < one.first:
            continue
        if grain == "day":
            values[at] = one.daily[(target - one.first).days]
        else:
            if (origin, key) not in months:
                months[origin, key] = one.monthly
            values[at] = months[origin, key][series.months(one.first, target) - 1]
    return values


def tiers(table: pd.DataFrame, rules: Forecast) -> dict[TierKey, str]:
    """The method that each series keeps.

    Of the methods that spoke wherever the floor did, the one with the least MASE; Prophet only where its MASE
    is below `least_gain` of the best other's; the floor where the series has fewer than `least_origins`
    origins.
    """
    errors = table.assign(error=(table.yhat - table.actual).abs())
    summed = errors.groupby([*SERIES, "method"], sort=True).agg(
        error=("error", "sum"), scale=("scale", "sum"), rows=("error", "size"), origins=("origin", "nunique")
    )
    found: dict[TierKey, str] = {}
    for key, group in summed.groupby(SERIES, sort=True):
        by_method = group.droplevel(SERIES)
        floor = by_method.loc[FLOOR]
        full = by_method[by_method.rows == floor.rows]
        mase = (full.error / full.scale).to_dict()
        cheap = min(
            (name for name in mase if name != PROPHET), key=lambda name: (mase[name], name != FLOOR, name)
        )
        best = cheap
        if PROPHET in mase and mase[PROPHET] < rules.prophet.least_gain * mase[cheap]:
            best = PROPHET
        found[key] = best if floor.origins >= min(rules.least_origins, table.origin.nunique()) else FLOOR
    return found


def chosen(table: pd.DataFrame, by: Mapping[TierKey, str]) -> pd.DataFrame:
    """The rows of the method of each series; of the floor where it said nothing or is not named."""
    wanted = [by.get(key, FLOOR) for key in zip(*(table[name] for name in SERIES), strict=True)]
    own = table[table.method == wanted]
    said = pd.MultiIndex.from_frame(own[[*SERIES, "origin"]])
    rest = table[table.method == FLOOR]
    rest = rest[~pd.MultiIndex.from_frame(rest[[*SERIES, "origin"]]).isin(said)]
    return pd.concat([own, rest]).sort_values([*SERIES, "origin", "step"], ignore_index=True)


def with_floors(by: Mapping[TierKey, str]) -> dict[TierKey, str]:
    """The same with the floor for each monthly series."""
    return {key: FLOOR if key[0] == "month" else method for key, method in by.items()}


def crossed(table: pd.DataFrame, rules: Forecast, *, floors: bool = False) -> pd.DataFrame:
    """Each origin by the methods and widths of the other origins, so that none is judged by itself.

    With `floors`, monthly series have the floor.
    """
    parts = []
    for origin in sorted(table.origin.unique()):
        others, own = table[table.origin != origin], table[table.origin == origin]
        by = with_floors(tiers(others, rules)) if floors else tiers(others, rules)
        parts.append(with_intervals(chosen(own, by), widths(chosen(others, by), rules.least_residuals)))
    return pd.concat(parts, ignore_index=True)


def final_widths(table: pd.DataFrame, by: Mapping[TierKey, str], rules: Forecast) -> Widths:
    """Widths from all origins."""
    return widths(chosen(table, by), rules.least_residuals)


def _all(grain: str, history: Vector, horizon: int, chosen: str | None) -> dict[str, Vector]:
    if chosen in (PROPHET, FLOOR):
        return (
            {FLOOR: methods.floor(history, horizon)} if grain == "month" else methods.daily(history, horizon)
        )
    return methods.monthly(history, horizon) if grain == "month" else methods.daily(history, horizon)


def _largest(known: Mapping[Key, Series], most: int) -> set[Key]:
    """The series with the most money; the client's own is always among them."""
    ranked = sorted(known, key=lambda key: (key != CLIENT, -float(np.abs(known[key].daily).sum()), key))
    return set(ranked[:most])
