"""Methods that forecast one series: a floor, statsforecast's, and Prophet.

A method says nothing (None) of a series that it cannot forecast. What never was negative is not forecast to
be.
"""

import logging
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import numpy as np

from ml.forecasts.config import Prophet
from ml.forecasts.series import Key, Series, Vector, by_month, month_start

SEASONAL_NAIVE, MEAN, THETA, ETS, PROPHET = "seasonal_naive", "mean", "theta", "ets", "prophet"
WEEKDAYS = "weekday_mean"
FLOOR = "floor"
"""What stands in a backtest for the floor, which is the seasonal naive or, under a year, the mean."""

_YEAR, _WEEK = 12, 7
_LAST_MONTHS, _LAST_WEEKS = 3, 8


def floor_name(months: int) -> str:
    """How the floor of a series of so many months forecasts."""
    return SEASONAL_NAIVE if months >= _YEAR else MEAN


def floor(values: Vector, horizon: int) -> Vector:
    """The same month of last year; under a year of history the mean of the last three months."""
    if len(values) >= _YEAR:
        return np.array([values[len(values) - _YEAR + step % _YEAR] for step in range(horizon)])
    return np.full(horizon, values[-_LAST_MONTHS:].mean())


def monthly(values: Vector, horizon: int) -> dict[str, Vector]:
    """What the cheap methods say of the months after `values`, by method.

    Theta: Assimakopoulos & Nikolopoulos 2000; ETS: Hyndman et al. 2008, chosen by AICc.
    """
    found = {FLOOR: floor(values, horizon)}
    from statsforecast.models import AutoETS, Theta

    season = _YEAR if len(values) >= 2 * _YEAR else 1
    for name, model in ((THETA, Theta(season_length=season)), (ETS, AutoETS(season_length=season))):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                said = np.asarray(model.forecast(values, horizon)["mean"], dtype=np.float64)
        except (NotImplementedError, ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
            continue  # too short or constant for this method: it does not compete
        if np.isfinite(said).all():
            found[name] = bounded(said, values)
    return found


def daily(values: Vector, horizon: int) -> dict[str, Vector]:
    """The same of days: last week's day, or the mean of that weekday in eight weeks."""
    if len(values) < _LAST_WEEKS * _WEEK:
        return {FLOOR: np.full(horizon, values[-_WEEK:].mean() if len(values) else 0.0)}
    weeks = values[-_LAST_WEEKS * _WEEK :].reshape(_LAST_WEEKS, _WEEK)
    places = np.arange(horizon) % _WEEK
    return {FLOOR: weeks[-1][places], WEEKDAYS: weeks.mean(axis=0)[places]}


def prophet(
    series: Mapping[Key, Series],
    origin: date,
    months: int,
    rules: Prophet,
    country: str,
    threads: int,
    *,
    yearly: bool,
    seed: int,
) -> dict[Key, Vector]:
    """What Prophet says of each day of the months after the origin.

    Each fit is a process of its own with a fixed seed and start, so that threads change nothing.

    Args:
        series: up to the origin; short ones are left out.
        origin: end of a month.
        months: how far.
        rules: its numbers.
        country: ISO 3166 alpha-2, for the holidays; empty or unknown: none.
        threads: fits at a time.
        yearly: a yearly term, for the series that are `yearly_from_days` long.
        seed: of Stan.
    """
    wanted = {key: one for key, one in series.items() if len(one.daily) >= rules.least_days}
    if not wanted:
        return {}
    days = (month_start(origin, months + 1) - origin).days - 1
    holidays = _holidays(country, min(one.first for one in wanted.values()), origin + timedelta(days=days))
    import cmdstanpy

    cmdstanpy.disable_logging()
    logging.getLogger("prophet").setLevel(logging.CRITICAL)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        said = pool.map(
            lambda one: _fit(one, origin, days, rules, holidays, yearly=yearly, seed=seed), wanted.values()
        )
        return {key: found for key, found in zip(wanted, said, strict=True) if found is not None}


def months_of(days: Vector, origin: date) -> Vector:
    """Sums by month of values that begin on the day after the origin."""
    return by_month(days, origin + timedelta(days=1))


def bounded(said: Vector, history: Iterable[float]) -> Vector:
    """Not below 0 where the history never was."""
    return np.maximum(said, 0) if min(history, default=0.0) >= 0 else said


def _holidays(country: str, first: date, last: date) -> Any:
    """Frame of `ds` and `holiday`, or None; Prophet's own list would be made again for each fit."""
    import holidays
    import pandas as pd

    try:
        known = holidays.country_holidays(country, years=range(first.year, last.year + 1))
    except (NotImplementedError, KeyError, AttributeError):
        return None
    return pd.DataFrame(
        sorted((pd.Timestamp(day), name) for day, name in known.items()), columns=["ds", "holiday"]
    )


def _fit(
    series: Series, origin: date, days: int, rules: Prophet, holidays: Any, *, yearly: bool, seed: int
) -> Vector | None:
    import pandas as pd
    from prophet import Prophet as Model

    values = series.daily
    model = Model(
        seasonality_mode=rules.mode,
        changepoint_prior_scale=rules.changepoint_prior_scale,
        weekly_seasonality=True,
        daily_seasonality=False,
        yearly_seasonality=yearly and len(values) >= rules.yearly_from_days,
        holidays=holidays,
        uncertainty_samples=0,
    )
    if rules.monthly_order:
        model.add_seasonality("monthly", 365.25 / 12, rules.monthly_order)
    dates = pd.date_range(series.first, origin)
    try:
        model.fit(pd.DataFrame({"ds": dates, "y": values}), seed=seed)
    except (RuntimeError, ValueError):
        return None
    ahead = pd.DataFrame({"ds": pd.date_range(origin + timedelta(days=1), periods=days)})
    said = np.asarray(model.predict(ahead)["yhat"], dtype=np.float64)
    return bounded(said, values) if np.isfinite(said).all() else None
