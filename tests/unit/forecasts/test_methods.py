"""The methods: sense on any history, the same answer again, the right holidays."""

from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from ml.forecasts import methods, series
from ml.forecasts.config import Forecast

KEY = ("client", "", "")


@settings_of(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e4, 1e6), min_size=3, max_size=30), st.integers(1, 6))
def test_no_method_says_nonsense(values: list[float], horizon: int) -> None:
    """A series of zeros, refunds or three months that yields nan, nothing, or money below 0 from none."""
    history = np.round(np.array(values), 2)
    said = methods.monthly(history, horizon)
    assert methods.FLOOR in said
    for forecast in said.values():
        assert len(forecast) == horizon and np.isfinite(forecast).all()
        assert history.min() < 0 or forecast.min() >= 0


def test_prophet_says_the_same_again(rules: Forecast) -> None:
    """A seed or a start that is left to chance: no forecast could be checked any more."""
    days = 200
    rng = np.random.default_rng(1)
    daily = 100 + 50 * (np.arange(days) % 7 == 5) + rng.normal(0, 5, days)
    one = series.Series(date(2025, 6, 14), daily)
    last = one.first + timedelta(days=days - 1)
    first, again = (
        methods.prophet(
            {("client", "", ""): one}, last, 1, rules.prophet, "DE", threads, yearly=False, seed=7
        )
        for threads in (1, 2)
    )
    assert first["client", "", ""].tolist() == again["client", "", ""].tolist()
    place = (np.arange(days, days + len(first["client", "", ""])) % 7 == 5).astype(bool)
    assert first["client", "", ""][place].min() > first["client", "", ""][~place].max()


def test_holidays_are_those_of_the_clients_country(rules: Forecast) -> None:
    """Holidays that are left out, or those of another country: Prophet would miss each of them."""
    first, last, unity = date(2024, 1, 1), date(2025, 9, 30), date(2025, 10, 3)
    off = {(date(year, 10, 3) - first).days for year in (2024, 2025)}
    off |= {(date(year, 5, 1) - first).days for year in (2024, 2025)}
    days = (last - first).days + 1
    one = series.Series(first, np.array([10.0 if day in off else 100.0 for day in range(days)]))
    said = {
        country: methods.prophet({KEY: one}, last, 1, rules.prophet, country, 1, yearly=False, seed=7)[KEY]
        for country in ("DE", "IN", "")
    }
    place = (unity - last).days - 1
    assert said["DE"][place] < 50 < min(said["IN"][place], said[""][place])
