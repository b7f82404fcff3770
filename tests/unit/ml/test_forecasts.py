"""Forecasts on a small made-up client: what they may know, what they say, and how they are judged."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from rich.console import Console

from ml import config, evaluate
from ml.families import Refused, TooLittle
from ml.forecasts import accuracy, backtest, customer_history, customers, fitted, methods, series, steps
from ml.forecasts.backtest import Asked
from ml.forecasts.config import Forecast
from ml.forecasts.customers import FLOOR, POOLED, SMOOTHED, Known
from ml.forecasts.fitted import Fitted
from ml.forecasts.series import Span
from ml.partitions import Pin
from ml.promotion import KEPT, PROMOTED, REFUSED
from nightledger.settings import Settings

KEY = ("client", "", "")
Learnt = tuple[Fitted, fitted.Judged, dict[str, bytes]]
FIRST, LAST = date(2024, 1, 1), date(2025, 12, 31)
CLIENT = "shop"


def cutoff(day: date) -> datetime:
    """The client's cutoff: 02:00 UTC of the next day."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


def movements(seed: int = 5, people: int = 80) -> pd.DataFrame:
    """Four purchases a month of people with levels of their own; Decembers, growth, gaps."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        level = float(np.exp(rng.normal(3, 0.7)))
        joined = 0 if person % 4 else int(rng.integers(0, 20))
        for month in range(joined, 24):
            start = series.month_start(FIRST, month)
            if person % 5 == 0 and rng.random() < 0.3:
                continue
            season = (1.6 if start.month == 12 else 1.0) * 1.03**month
            for day in rng.integers(0, 28, 4):
                rows.append(
                    {
                        "customer_id": f"C{person:03d}",
                        "category": ("food", "travel")[int(rng.integers(0, 2))],
                        "business_date": start + timedelta(days=int(day)),
                        "spend_amount": round(level * season * float(np.exp(rng.normal(0, 0.3))), 2),
                    }
                )
    frame = pd.DataFrame(rows)
    known = pd.to_datetime(frame.business_date) + pd.Timedelta(hours=20)
    return frame.assign(
        client_id=CLIENT, region="", revenue=0.0, known_at=known, superseded_at=pd.Series(pd.NaT, frame.index)
    )


def warehouse_of(frame: pd.DataFrame, file: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """A warehouse that holds the movements."""
    connection = duckdb.connect(file)
    connection.execute("set threads = 2; create schema intermediate; create schema ops; create schema marts")
    connection.execute(
        "create table ops.as_of_dates (client_id varchar, as_of_date date, cutoff_at timestamp)"
    )
    connection.register("given", frame)
    connection.execute("""
        create table intermediate.int_revenue as
        select
            client_id, customer_id, category, region, business_date::date as business_date,
            spend_amount::decimal(18, 4) as spend_amount, revenue::decimal(18, 4) as revenue,
            known_at::timestamp as known_at, superseded_at::timestamp as superseded_at
        from given
    """)
    connection.unregister("given")
    return connection


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The small client."""
    with warehouse_of(movements()) as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with this client."""
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / f"{CLIENT}.yml").write_text(
        "name: Shop\nbase_currency: EUR\ntimezone: UTC\ncountry: DE\n"
    )
    return Settings(home=tmp_path / "home", clients=tmp_path / "clients", _env_file=None)


@pytest.fixture(scope="module")
def rules() -> Forecast:
    """The project's own numbers, but Prophet for one series only, which costs less."""
    found = config.read("forecast_spend")
    assert isinstance(found, Forecast)
    return found.model_copy(
        update={
            "prophet": found.prophet.model_copy(update={"most_series": 1}),
            "customers": found.customers.model_copy(update={"challenged": 3}),
        }
    )


def whole(rules: Forecast) -> tuple[Asked, Span]:
    """All that is known of the client."""
    return Asked(rules, CLIENT, "DE", 2), Span(CLIENT, FIRST, LAST, cutoff(LAST))


@pytest.fixture(scope="module")
def learnt(rules: Forecast, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """A version, what was measured of it, and its files."""
    folder = tmp_path_factory.mktemp("learnt")
    (folder / f"{CLIENT}.yml").write_text("name: Shop\nbase_currency: EUR\ncountry: DE\n")
    with warehouse_of(movements()) as connection:
        found, judged = fitted.learn(connection, Settings(clients=folder, _env_file=None), *whole(rules))
    return found, judged, found.files()


def test_an_origin_knows_what_was_known_then(connection: duckdb.DuckDBPyConnection) -> None:
    """A backtest that reads tomorrow's correction, or a late file, and so looks better than any night."""
    connection.execute("""
        update intermediate.int_revenue set superseded_at = timestamp '2025-09-01 12:00:00'
        where business_date = date '2025-06-10';
        insert into intermediate.int_revenue by name
        select * replace (999999 as spend_amount, superseded_at as known_at, null as superseded_at)
        from intermediate.int_revenue where business_date = date '2025-06-10'
    """)
    last = date(2025, 6, 30)
    before = series.read(connection, Span(CLIENT, FIRST, last, cutoff(last)), "spend", ["client"], "")
    after = series.read(connection, Span(CLIENT, FIRST, last, cutoff(LAST)), "spend", ["client"], "")
    (known,), (corrected,) = before.values(), after.values()
    assert known.monthly[:-1] == pytest.approx(corrected.monthly[:-1])
    assert known.monthly[-1] < 999_999 <= corrected.monthly[-1]


def test_series_begin_with_their_money_and_add_up(connection: duckdb.DuckDBPyConnection) -> None:
    """A new category taken for one that sold nothing for years, or money that is in no category."""
    connection.execute("""
        update intermediate.int_revenue set category = 'new'
        where business_date >= date '2025-10-01' and category = 'travel'
    """)
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    found = series.read(connection, span, "spend", ["client", "category"], "")
    assert found["category", "new", "new"].first == date(2025, 10, 1)
    assert len(found["category", "new", "new"].monthly) == 3
    total = sum(one.daily.sum() for key, one in found.items() if key[0] == "category")
    assert total == pytest.approx(found["client", "", ""].daily.sum())


def test_a_month_that_was_seen_in_part_is_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    """A first month of ten days that makes every level and season too low."""
    connection.execute("delete from intermediate.int_revenue where business_date < date '2024-01-20'")
    assert series.first_month(connection, CLIENT, "spend", cutoff(LAST)) == date(2024, 2, 1)


def test_a_segment_is_who_was_in_it_before(connection: duckdb.DuckDBPyConnection) -> None:
    """Members chosen by what they spent after the origin, or by tonight's segments, which come later."""
    connection.execute("""
        create table marts.fct_segments as
        select * from (values
            ('shop', 'segments_rfm', 'C001', date '2025-11-30', 'loyal'),
            ('shop', 'segments_rfm', 'C002', date '2025-12-31', 'loyal'),
            ('shop', 'other', 'C003', date '2025-11-30', 'loyal')
        ) as t (client_id, model, customer_id, as_of_date, name)
    """)
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    found = series.read(connection, span, "spend", ["segment"], "segments_rfm")
    own = connection.execute(
        "select sum(spend_amount) from intermediate.int_revenue where customer_id = 'C001'"
    )
    assert list(found) == [("segment", "loyal", "")]
    assert found["segment", "loyal", ""].daily.sum() == pytest.approx(float((own.fetchone() or (0,))[0]))


def test_segments_are_judged_by_their_members_of_then(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """Outcomes of a segment counted of who is in it now: winners would be in it because they won."""
    connection.execute("""
        create table marts.fct_segments as
        select
            'shop' as client_id, 'segments_rfm' as model, customer_id, as_of_date,
            case when hash(customer_id, as_of_date) % 2 = 0 then 'one' else 'two' end as name
        from (select distinct customer_id from intermediate.int_revenue)
        cross join (
            select last_day(date '2025-01-01' + to_months(m::integer)) as as_of_date from range(12) as t(m)
        )
    """)
    changed = rules.model_copy(update={"levels": ["client", "segment", "segment_category"]})
    found, judged = fitted.learn(connection, settings, *whole(changed))
    assert ("month", "segment", "one", "") in found.tiers and (
        "month",
        "segment",
        "two",
        "food",
    ) in found.tiers
    origin = min(judged.crossed.origin)
    rows = judged.crossed.query("level == 'segment' and category == '' and origin == @origin and step == 2")
    came = connection.execute(
        """
        select segments.name, sum(spend_amount)::double
        from intermediate.int_revenue
        inner join marts.fct_segments as segments using (customer_id)
        where as_of_date = last_day($origin::date - 31) and date_trunc('month', business_date) = $target
        group by all order by all
        """,
        {"origin": origin, "target": series.month_start(origin, 2)},
    ).fetchall()
    assert list(zip(rows.entity, rows.actual, strict=True)) == [
        (name, pytest.approx(sum_)) for name, sum_ in came
    ]


def dense(connection: duckdb.DuckDBPyConnection) -> dict[str, np.ndarray]:
    """Each customer's months, oldest first, months without money as 0."""
    rows = connection.execute("""
        select customer_id, datediff('month', date '2024-01-01', business_date), sum(spend_amount)::double
        from intermediate.int_revenue group by all
    """).fetchall()
    found: dict[str, np.ndarray] = {}
    for customer, month, amount in rows:
        found.setdefault(customer, np.zeros(24))[month] = amount
    return {customer: values[np.flatnonzero(values)[0] :] for customer, values in found.items()}


def test_customers_are_forecast_as_written(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """Weights, seasons or histories that slip by a month in SQL, which has no rows of empty months."""
    index = tuple(np.linspace(-0.3, 0.3, 12))
    known = Known(index, 25.0, {}, {}, ())
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    customers.forecast(connection, LAST, 3, known, rules.customers)
    said = connection.execute(
        f'select customer_id, step, "{FLOOR}", "{SMOOTHED}", "{POOLED}" from _said order by all'
    ).fetchall()
    months = dense(connection)
    weight = 1 - rules.customers.smoothing
    for customer, step, floor, smoothed, pooled in said:
        values = months[customer]
        weights = weight ** np.arange(len(values))[::-1]
        logs = np.log1p(values / 25)
        season = np.array([index[(11 - ago) % 12] for ago in range(len(values))][::-1])
        assert smoothed == pytest.approx(25 * np.expm1((weights * logs).sum() / weights.sum()), rel=1e-4)
        level = (weights * (logs - season)).sum() / weights.sum()
        assert pooled == pytest.approx(25 * max(np.expm1(level + index[step - 1]), 0), rel=1e-4, abs=1e-3)
        assert floor == pytest.approx(values[step - 13] if len(values) >= 12 else values[-3:].mean())
    assert len(said) == 3 * len(months)


def test_the_season_is_found(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """An index of the wrong month, or one that is a trend."""
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    index = customer_history.seasonal_index(connection, LAST, customer_history.usual_amount(connection))
    assert int(np.argmax(index)) == 11
    assert sum(index) == pytest.approx(0, abs=1e-5)
    assert max(np.abs(index[:11])) < index[11] / 2


def test_who_has_left_is_not_forecast(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """Money expected of closed customers; or a closing that was known later only."""
    connection.execute("""
        create table intermediate.int_customers as
        select 'shop' as client_id, customer_id, closed_on, known_at, null::timestamp as superseded_at
        from (values
            ('C001', date '2025-12-01', timestamp '2025-12-02 00:00:00'),
            ('C002', date '2025-12-01', timestamp '2026-01-05 00:00:00')
        ) as t (customer_id, closed_on, known_at)
    """)
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    found = connection.execute("select customer_id from _population where customer_id in ('C001', 'C002')")
    assert found.fetchall() == [("C002",)]


def test_customers_add_up_to_the_total(connection: duckdb.DuckDBPyConnection, rules: Forecast) -> None:
    """Customers who together spend something else than what is forecast of them."""
    known = Known((0.0,) * 12, 25.0, {}, {}, (), {customers.ALL: [[-1.0, -0.5, 0.5, 1.0]] * 3})
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    customer_history.prepare(connection, span, "spend", rules.customers, None)
    customers.forecast(connection, LAST, 3, known, rules.customers)
    customers.reconciled(connection, [5000.0, 6000.0, 7000.0], known, rules.customers)
    sums = connection.execute("select step, sum(yhat)::double from _reconciled group by step order by step")
    assert [total for _, total in sums.fetchall()] == pytest.approx([5000, 6000, 7000], abs=0.1)
    outside = connection.execute(
        "select count(*) from _reconciled where not (0 <= lo95 and lo95 <= lo80 and lo80 <= yhat"
        " and yhat <= hi80 and hi80 <= hi95)"
    )
    assert outside.fetchone() == (0,)


def rows_of(errors: dict[str, list[float]], level: str = "category") -> pd.DataFrame:
    """One series at as many origins as a method has errors; what came is 100, the scale 10."""
    rows = [
        {
            "grain": "month", "level": level, "entity": "a", "category": "a", "step": 1, "method": method,
            "origin": date(2025, 1 + at, 28), "target": date(2025, 2 + at, 1), "yhat": 100 + error,
            "scale": 10.0, "is_positive": True, "months": 20, "actual": 100.0,
        }
        for method, by_origin in errors.items()
        for at, error in enumerate(by_origin)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("errors", "kept"),
    [
        ({"floor": [5, 5, 5], "theta": [4, 4, 4], "prophet": [3.9, 3.9, 3.9]}, "theta"),
        ({"floor": [5, 5, 5], "theta": [4, 4, 4], "prophet": [3.7, 3.7, 3.7]}, "prophet"),
        ({"floor": [5, 5, 5], "theta": [5, 5, 5]}, "floor"),
        ({"floor": [5, 5, 5], "theta": [1, 1]}, "floor"),
        ({"floor": [5, 5, 5, 1], "prophet": [1, 1, 1, 1]}, "prophet"),
    ],
)
def test_a_series_keeps_what_won(rules: Forecast, errors: dict[str, list[float]], kept: str) -> None:
    """Prophet by a hair, a method that spoke only where it was easy, or one that ties with the floor."""
    assert list(backtest.tiers(rows_of(errors), rules).values()) == [kept]


def test_a_series_with_few_origins_keeps_the_floor(rules: Forecast) -> None:
    """A segment of two months that is given whatever happened to be luckiest."""
    known = pd.concat(
        [
            rows_of({"floor": [5] * 5, "theta": [1] * 5}),
            rows_of({"floor": [5, 5], "theta": [1, 1]}, "segment"),
        ]
    )
    assert set(backtest.tiers(known, rules).items()) == {
        (("month", "category", "a", "a"), "theta"),
        (("month", "segment", "a", "a"), "floor"),
    }


def test_no_origin_is_judged_by_itself(rules: Forecast) -> None:
    """Intervals and methods that have seen what they are judged by: coverage would always look right."""
    table = rows_of({"floor": [1, 1, 1, 1, 60]})
    judged = backtest.crossed(table, rules).set_index("origin")
    assert judged.hi95.iloc[-1] - judged.yhat.iloc[-1] < 10
    assert judged.lo95.iloc[0] <= judged.yhat.iloc[0] - 60


def test_measures_are_those_of_the_books() -> None:
    """MASE over the wrong change, or a bias with the other sign."""
    rows = pd.DataFrame({"yhat": [12.0, 7.0], "actual": [10.0, 10.0], "scale": [4.0, 6.0]})
    assert accuracy.measure(rows) == pytest.approx({"mase": 0.5, "wape": 0.25, "bias": -0.05})
    assert accuracy.scale(np.array([1.0, 3.0, 2.0, 6.0]), 1) == pytest.approx((2 + 1 + 4) / 3)


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


def test_a_version_is_one_file_that_reads_back(
    learnt: Learnt,
) -> None:
    """A number that is lost in the file: tonight's forecast would not be the one that was judged."""
    found, _, files = learnt
    assert Fitted.from_files(files) == found
    assert Fitted.from_files(files).files() == files


def test_what_is_learnt_beats_the_floor(learnt: Learnt) -> None:
    """Methods swapped between series, or intervals that are far too narrow."""
    found, judged, _ = learnt
    assert judged.of_series()["mase"] <= judged.of_floor()["mase"]
    assert judged.customers is not None
    assert judged.customers.values["mase"] < judged.customers.values["floor_mase"]
    assert abs(judged.customers.values["coverage_80"] - 0.8) < 0.08
    assert abs(judged.customers.values["coverage_95"] - 0.95) < 0.06
    assert found.customers is not None and found.customers.index[11] == max(found.customers.index)
    assert {row["dataset"] for row in judged.metrics} >= {"client", "category", "customer", "client by day"}
    names = [f"{row['baseline']}.{row['dataset']}.{row['metric']}" for row in judged.metrics]
    assert not [name for name in names if not re.fullmatch(r"[\w\-. :/]+", name)], "the registry refuses them"


def write(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    rules: Forecast,
    folder: Path,
    day: date,
    files: dict[str, bytes],
) -> tuple[int, Path]:
    """A night's forecasts of the client."""
    pin = Pin(f"forecast_spend.{CLIENT}", day, "v1", "champion")
    rows = steps.score(connection, settings, folder, pin, rules, files)
    return rows, folder / f"lake/forecasts/model={pin.model}/version=v1/as_of={day}/part.parquet"


def test_a_month_end_writes_every_series(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast, tmp_path: Path, learnt: Learnt
) -> None:
    """A level that is missing, a key that is there twice, totals of customers that are not the client's."""
    rows, file = write(connection, settings, rules, tmp_path / "one", LAST, learnt[2])
    table = pq.read_table(file).to_pandas()
    assert len(table) == rows
    assert not table.duplicated(["level", "entity", "category", "grain", "target"]).any()
    assert set(table.level) == {"client", "category", "customer"}
    monthly = table[table.grain == "month"]
    assert set(monthly.target) == {date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)}
    assert len(table[table.grain == "day"]) == 90
    assert (table.lo95 <= table.yhat).all() and (table.yhat <= table.hi95).all()
    found = learnt[0].customers
    assert found is not None
    totals = monthly[monthly.level == "client"].sort_values("target").yhat.astype(float).to_numpy()
    people = monthly[monthly.level == "customer"].groupby("target").yhat.sum().astype(float).to_numpy()
    assert people == pytest.approx(totals * np.array(found.share), rel=1e-4)


def test_a_rerun_writes_the_same_bytes(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast, tmp_path: Path, learnt: Learnt
) -> None:
    """A sum that depends on threads, or rows in no order: a replayed night would differ."""
    _, one = write(connection, settings, rules, tmp_path / "one", LAST, learnt[2])
    connection.execute("set threads = 1")
    _, two = write(connection, settings, rules, tmp_path / "two", LAST, learnt[2])
    assert one.read_bytes() == two.read_bytes()


def test_other_days_cost_nothing(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast, tmp_path: Path, learnt: Learnt
) -> None:
    """Forecasts of half a month, every night."""
    rows, file = write(connection, settings, rules, tmp_path, LAST - timedelta(days=1), learnt[2])
    assert rows == 0 and not file.exists()


def test_too_little_is_refused_in_words(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """A version made of two origins; or of history that nobody knew at the time."""
    asked, span = whole(rules)
    with pytest.raises(
        TooLittle, match="6 complete months of history, 2025-07-01 to 2025-12-31; 9 are needed"
    ):
        fitted.learn(connection, settings, asked, replace(span, first=date(2025, 7, 1)))
    connection.execute("update intermediate.int_revenue set known_at = timestamp '2025-12-31 10:00:00'")
    with pytest.raises(TooLittle, match="known from its loading on"):
        fitted.learn(connection, settings, asked, span)


def test_a_client_without_revenue_is_told_so(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """A client that earns nothing is told to date its history or to wait for more, which changes nothing."""
    asked, span = whole(rules.model_copy(update={"measure": "revenue"}))
    for known in (span, replace(span, first=date(2025, 7, 1))):
        with pytest.raises(TooLittle, match=r"shop has no revenue \(no interchange_rate"):
            fitted.learn(connection, settings, asked, known)
    connection.execute(
        "update intermediate.int_revenue set known_at = timestamp '2025-12-31 10:00', revenue = 1"
    )
    with pytest.raises(TooLittle, match="known from its loading on"):
        fitted.learn(connection, settings, asked, span)


def test_what_comes_later_changes_nothing_that_was_learnt(
    connection: duckdb.DuckDBPyConnection, settings: Settings, rules: Forecast
) -> None:
    """A version that has read past its day: every evaluation of it would be too good."""
    asked, _ = whole(rules.model_copy(update={"levels": ["client", "customer"]}))
    day = date(2025, 6, 30)
    span = Span(CLIENT, FIRST, day, cutoff(day))
    before, _ = fitted.learn(connection, settings, asked, span)
    connection.execute("""
        update intermediate.int_revenue set spend_amount = spend_amount * 50
        where business_date > date '2025-06-30'
    """)
    after, _ = fitted.learn(connection, settings, asked, span)
    assert before.files() == after.files()


@pytest.mark.parametrize("since", [date(2025, 12, 10), date(2026, 1, 5)])
def test_a_client_of_no_whole_month_is_no_failure(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    rules: Forecast,
    tmp_path: Path,
    learnt: Learnt,
    since: date,
) -> None:
    """A night that fails because a new client, or one without movements, cannot be forecast yet."""
    connection.execute("delete from intermediate.int_revenue where business_date < ?", [since])
    assert write(connection, settings, rules, tmp_path, LAST, learnt[2])[0] == 0


def test_own_data_is_evaluated_on_months_that_were_not_seen(
    settings: Settings, rules: Forecast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make evaluate` that needs more than purchases, forgets an origin, or hides what is missing."""
    place = settings.builds / "2025-12-31.1"
    place.mkdir(parents=True)
    with warehouse_of(movements(), str(place / "warehouse.duckdb")) as connection:
        connection.execute(
            "create table ops.horizon as select ?::date as as_of_date, ?::timestamp as cutoff_at",
            [LAST, cutoff(LAST)],
        )
    about = {"id": place.name, "content_hash": "", "code_revision": ""}
    (place / "publication.json").write_text(json.dumps(about))
    (settings.builds / "current").symlink_to(place.name)
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: rules)
    console = Console(file=io.StringIO(), width=160)
    asked = evaluate.Asked(f"forecast_spend.{CLIENT}", date(2025, 9, 1), LAST, folder=tmp_path / "out")
    steps.evaluate(settings, asked, console)
    predictions = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pandas()
    monthly = predictions[(predictions.grain == "month") & (predictions.level == "client")]
    found = monthly.groupby("origin").target.agg(["min", "max", "count"])
    assert found["count"].to_dict() == {
        date(2025, 8, 31): 3, date(2025, 9, 30): 3, date(2025, 10, 31): 2, date(2025, 11, 30): 1
    }  # fmt: skip
    december = movements().loc[lambda frame: frame.business_date >= date(2025, 12, 1)].spend_amount.sum()
    assert monthly[monthly.target == date(2025, 12, 1)].actual.tolist() == pytest.approx([december] * 3)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    assert {"client", "category", "customer"} <= {row["dataset"] for row in metrics}
    with pytest.raises(Refused, match=r"2 complete months of history.* Choose a later FROM"):
        steps.evaluate(settings, replace(asked, first=date(2024, 3, 1)), console)
    with pytest.raises(TooLittle, match=r"no clients/nobody\.yml; name a client as \S+$"):
        steps.evaluate(settings, replace(asked, model="forecast_spend.nobody"), console)


def test_where_nothing_beats_the_floor_the_floor_is_forecast(
    connection: duckdb.DuckDBPyConnection, rules: Forecast, learnt: Learnt, settings: Settings
) -> None:
    """A client without any forecast, or with one that has proven worse, because chance chose the methods."""
    assert not learnt[1].is_floor()
    strict = rules.model_copy(
        update={
            "levels": ["client", "category"],
            "promotion": rules.promotion.model_copy(update={"over_floor": 0.01}),
        }
    )
    found, judged = fitted.learn(connection, settings, *whole(strict))
    assert judged.is_floor()
    assert {method for key, method in found.tiers.items() if key[0] == "month"} == {"floor"}
    assert judged.of_series()["mase"] == pytest.approx(judged.of_floor()["mase"])
    assert "so every series has it" in steps.decide(rules, judged, None, None, ())[1]


def test_verdicts_follow_the_rules(rules: Forecast, learnt: Learnt) -> None:
    """A version that is worse than the floor or the champion, or whose intervals lie, and is promoted."""
    from ml.registry import Registered

    found, judged, _ = learnt
    champion = Registered("forecast_spend.shop", "v0", "", PROMOTED, "", "1")
    assert steps.decide(rules, judged, None, None, ())[0] == PROMOTED
    of_floor = replace(found, tiers={})
    assert steps.decide(rules, judged, of_floor, champion, ())[0] == PROMOTED
    assert steps.decide(rules, judged, None, None, ("too narrow",))[0] == REFUSED
    assert steps.decide(rules, judged, found, champion, ("too narrow",))[0] == KEPT
    worse = replace(judged, crossed=judged.crossed.assign(yhat=judged.crossed.yhat * 3))
    assert steps.decide(rules, worse, found, champion, ())[0] == REFUSED
    strict = rules.model_copy(
        update={"promotion": rules.promotion.model_copy(update={"over_champion": 0.01})}
    )
    assert steps.decide(strict, judged, found, champion, ())[0] == KEPT
    narrow = replace(
        judged, crossed=judged.crossed.assign(lo80=judged.crossed.yhat, hi80=judged.crossed.yhat)
    )
    assert any("80 % interval" in words for words in steps.guardrails(rules, narrow))
    assert json.loads(found.files()["model.json"])["measure"] == "spend"
