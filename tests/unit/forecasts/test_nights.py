"""What a night writes of a version, and what an evaluation of own data says."""

import io
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import config, evaluate
from ml.families import Refused, TooLittle
from ml.forecasts import steps
from ml.forecasts.config import Forecast
from ml.partitions import Pin
from nightledger.settings import Settings
from tests.unit.forecasts.client import CLIENT, LAST, Learnt, cutoff, movements, warehouse_of


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
