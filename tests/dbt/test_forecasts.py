"""What becomes of forecasts in the warehouse: champions beside what came, each origin once."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightledger import warehouse
from tests.dbt.bank import DATES
from tests.dbt.factory import Warehouse

ORIGIN, TARGET = date(2026, 3, 31), date(2026, 4, 1)
SERIES = (("client", "", ""), ("customer", "C0", ""), ("customer", "C1", ""))


def forecast(built: Warehouse, version: str, yhat: int, role: str = "champion") -> None:
    """What a night leaves in the lake of one version; April is over in the warehouse."""
    rows: list[dict[str, Any]] = [
        {
            "client_id": "uk", "model": "forecast_spend", "model_version": version, "role": role,
            "measure": "spend", "level": level, "entity": entity, "category": category, "grain": "month",
            "method": "theta", "yhat": Decimal(yhat), "lo80": Decimal(0), "hi80": Decimal(10**6),
            "lo95": Decimal(0), "hi95": Decimal(10**7), "target": TARGET, "as_of_date": ORIGIN,
        }
        for level, entity, category in SERIES
    ]  # fmt: skip
    folder = built.path / f"lake/forecasts/model=forecast_spend.uk/version={version}/as_of={ORIGIN}"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, warehouse.LAKE_SCHEMAS["forecasts"]), folder / "part.parquet")


@pytest.fixture
def night(built: Warehouse, tmp_path: Path) -> Warehouse:
    """A night that makes up for the end of March, on a warehouse that knows April."""
    found = Warehouse(built.home, f"forecasts_{tmp_path.name}", built)
    found.empty_lake()
    found.set_dates(DATES, tonight=[ORIGIN])
    return found


def test_forecasts_stand_beside_what_came(night: Warehouse) -> None:
    """A challenger among the champions, an origin told twice when its night is repeated, a wrong month."""
    forecast(night, "v0", 7, role="challenger")
    forecast(night, "v1", 100)
    build = ("build", "--select", "stg_forecasts+", "--exclude-resource-type", "exposure")
    assert set(night.dbt(*build).values()) == {"success", "pass"}
    night.empty_lake()
    forecast(night, "v2", 200)
    assert set(night.dbt(*build).values()) == {"success", "pass"}
    facts = night.frame("select distinct model_version, yhat::integer, currency from marts.fct_forecasts")
    assert facts.values.tolist() == [["v2", 200, "GBP"]]
    found = night.frame("""
        select a.level, a.forecasts, a.forecast, a.actual, sum(m.spend) as came
        from marts.mart_forecast_accuracy as a
        left join marts.agg_monthly as m
            on m.client_id = a.client_id and m.level = a.level and m.month_start = a.target
            and (m.entity = a.entity or m.entity in ('C0', 'C1'))
        group by all order by a.level
    """)
    assert found.level.tolist() == ["client", "customer"]
    assert found.forecasts.tolist() == [1, 2]
    assert found.forecast.tolist() == [200, 400]
    assert found.actual.tolist() == found.came.fillna(0).tolist()
    assert found.actual.iloc[0] > 0


def test_a_month_without_a_last_day_is_judged_once(night: Warehouse) -> None:
    """No outcome until a late row comes; or one more of them every night until the month is over."""
    forecast(night, "v1", 100)
    build = ("run", "--select", "stg_forecasts", "fct_forecasts", "mart_forecast_accuracy")
    night.dbt(*build)
    judged = night.frame("select * from marts.mart_forecast_accuracy order by level")
    assert len(judged) == 2
    night.empty_lake()
    night.set_dates(DATES, tonight=[])
    night.execute("""
        insert into ops.base_horizon values ('uk', '2026-04-29', '2026-04-30 02:00:00');
        delete from marts.mart_forecast_accuracy
    """)
    for _ in range(2):
        night.dbt(*build)
        again = night.frame("select * from marts.mart_forecast_accuracy order by level")
        assert again.values.tolist() == judged.values.tolist()
