"""Which date a run is for."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from nightledger.airflow.dates import NoAsOfDate, as_of_date

START, END = datetime(2026, 3, 4, 2, tzinfo=UTC), datetime(2026, 3, 5, 2, tzinfo=UTC)


def context(run_type, interval=(None, None), **params):
    """What a task sees: the SDK's own run, and the run's parameters."""
    from airflow.sdk.api.datamodels._generated import DagRun

    run = DagRun.model_construct(
        dag_id="nightly",
        run_id="one",
        run_type=run_type,
        data_interval_start=interval[0],
        data_interval_end=interval[1],
    )
    return {"dag_run": run, "params": {"as_of_date": None, "force": False} | params}


@pytest.fixture(scope="module")
def scheduled_interval(dagbag):
    """The interval that the nightly timetable gives the run of 5 March, 02:00 UTC."""
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction
    from pendulum import instance

    dag = DagSerialization.from_dict(DagSerialization.to_dict(dagbag.dags["nightly"]))
    info = dag.timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(earliest=instance(START), latest=None, catchup=True),
    )
    assert info.run_after == END
    return info.data_interval.start, info.data_interval.end


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_scheduled_run_builds_the_day_that_has_just_ended(scheduled_interval, run_type):
    """Catches a night that builds the day it runs on, most of which has not happened yet."""
    assert as_of_date(context(run_type, scheduled_interval)) == date(2026, 3, 4)


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual", "asset_triggered"])
def test_the_parameter_wins(run_type):
    """Catches a dated run that builds another date than it was asked for."""
    assert as_of_date(context(run_type, (START, END), as_of_date="2025-12-31")) == date(2025, 12, 31)


@pytest.mark.parametrize("interval", [(None, None), (START, END), (START, START)])
def test_a_run_by_hand_without_a_date_fails(interval):
    """Catches the interval that Airflow infers for a manual run: it comes from the clock."""
    with pytest.raises(NoAsOfDate, match=r'nightly/one is a manual run.*"as_of_date": "YYYY-MM-DD"'):
        as_of_date(context("manual", interval))


def test_a_run_triggered_by_an_asset_without_a_date_fails():
    """Catches a DAG put on an asset's schedule, where there is no date at all."""
    with pytest.raises(NoAsOfDate, match="asset_triggered"):
        as_of_date(context("asset_triggered"))


def test_a_scheduled_run_without_length_fails():
    """Catches `schedule="0 2 * * *"`, whose interval begins and ends when the run starts."""
    with pytest.raises(NoAsOfDate, match="scheduled"):
        as_of_date(context("scheduled", (END, END)))


def test_what_is_not_a_date_is_refused():
    """Catches a date written in another order, which would build another day."""
    with pytest.raises(ValueError, match="31/12/2025"):
        as_of_date(context("manual", as_of_date="31/12/2025"))


def test_the_run_type_may_be_an_enumeration():
    """Catches a comparison that holds for one of Airflow's two forms of a run type only."""
    run_type = SimpleNamespace(value="scheduled")
    assert as_of_date(context(run_type, (START, END))) == date(2026, 3, 4)
