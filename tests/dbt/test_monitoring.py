"""Drift and outcomes from the lake to the marts, night after night; each model's own logic has unit tests."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightledger import warehouse
from tests.dbt.factory import Warehouse

DAYS = [date(2026, 3, 31), date(2026, 4, 30), date(2026, 5, 31), date(2026, 6, 30)]
MODELS = ("run", "--select", "+path:models/marts/monitoring")


def put(night: Warehouse, kind: str, version: str, day: date, rows: Iterable[Mapping[str, Any]]) -> None:
    """What the night's scoring leaves in the lake of model churn."""
    common: dict[str, Any] = {
        "client_id": "uk",
        "model": "churn",
        "model_version": version,
        "role": "champion",
    }
    common |= {"entity": "customer", "as_of_date": day}
    schema = warehouse.LAKE_SCHEMAS[kind]
    names = set(schema.names)
    table = [{key: value for key, value in {**common, **row}.items() if key in names} for row in rows]
    folder = night.path / "lake" / kind / "model=churn" / f"version={version}" / f"as_of={day}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table, schema), folder / "part.parquet")


def bins(shift: int) -> list[dict[str, Any]]:
    """Ten bins of 100 rows, of which so many have moved from the first to the last."""
    rows = [100 - shift, *[100] * 8, 100 + shift]
    common = {"feature": "spend", "bin_kind": "value", "training_rows": 500, "usual_psi": 0.01}
    return [{**common, "bin": place, "rows": count} for place, count in enumerate(rows)]


@pytest.fixture(scope="module")
def nights(home: Path) -> Warehouse:
    """Four nights: spend drifts in the last two; the first date's customers are judged in the last, twice."""
    night = Warehouse(home, "monitoring")
    night.insert("ops.clients", [{"client_id": "uk", "base_currency": "GBP", "timezone": "Europe/London"}])
    night.insert(
        "operations.model_metrics",
        [{"model": "churn", "version": "v1", "metric": "average_precision", "baseline": "", "value": 0.5}],
    )
    night.insert(
        "operations.model_importances",
        [{"model": "churn", "version": "v1", "feature": "spend", "feature_group": "money", "importance": 1}],
    )
    for number, (day, shift) in enumerate(zip(DAYS, (0, 5, 90, 90), strict=True)):
        night.set_dates(DAYS[:number], tonight=[day])
        for _ in range(2 if number == len(DAYS) - 1 else 1):
            night.empty_lake()
            night.write_scores("v1", day, {("uk", "C0"): 0.25, ("uk", "C1"): 0.75})
            put(night, "profiles", "v1", day, bins(shift))
            if number == len(DAYS) - 1:
                told = {"matured_on": DAYS[0] + timedelta(days=63), "judged_on": day, "budget_share": 0.5}
                rows = [{"entity_id": "C0", "label": 0, "label_now": 0}]
                rows += [{"entity_id": "C1", "label": 1, "label_now": 0}]
                put(night, "outcomes", "v1", DAYS[0], [{**row, **told} for row in rows])
            night.dbt(*MODELS)
    return night


def test_a_drift_that_lasts_is_one_alert_from_its_first_night(nights: Warehouse) -> None:
    """Catches nights that forget the ones before, a second run that counts twice, an alert every night."""
    found = nights.frame("select as_of_date, psi, weight from marts.fct_drift order by 1")
    assert [day.date() for day in found.as_of_date] == DAYS
    # By hand: tenths that became .01 and .19 are (.01 - .1) ln .1 + (.19 - .1) ln 1.9.
    assert found.psi.iloc[1] < 0.01
    assert found.psi.iloc[2:].tolist() == pytest.approx([0.265, 0.265], abs=0.0005)
    assert set(found.weight) == {1}
    (alert,) = nights.frame("select * from marts.mart_drift_alerts").to_dict("records")
    assert alert["alert_about"] == "spend"
    assert (alert["started_on"].date(), alert["last_seen_on"].date()) == (DAYS[2], DAYS[3])
    assert alert["is_within_budget"] and alert["is_ongoing"] and alert["dates_seen"] == 2


def test_predictions_meet_what_happened_when_it_is_known(nights: Warehouse) -> None:
    """Catches a cohort that is not said again when its outcomes come, nights later, or said twice."""
    found = nights.frame("""
        select cohort_month, basis, row_count, events, is_mature from marts.mart_realised_performance
        order by cohort_month, basis
    """)
    first, *others = [
        (row.cohort_month.date(), row.basis, row.row_count, float(row.events), row.is_mature)
        for row in found.itertuples()
    ][:1] + [(row.cohort_month.date(), row.basis) for row in found.itertuples()][1:]
    assert first == (date(2026, 3, 1), "estimated", 2, 1.0, True)
    assert others == [
        (date(2026, 3, 1), "now"),
        (date(2026, 3, 1), "then"),
        *((date(2026, month, 1), "estimated") for month in (4, 5, 6)),
    ]
    assert found.events[found.basis == "then"].astype(float).tolist() == [1.0]
    assert found.events[found.basis == "now"].astype(float).tolist() == [0.0]
    assert not found.is_mature[found.cohort_month > "2026-03-01"].any()
    outcomes = nights.frame("select entity_id, score, label, label_now from marts.fct_outcomes order by 1")
    assert outcomes.values.tolist() == [["C0", 0.25, 0, 0], ["C1", 0.75, 1, 0]]
