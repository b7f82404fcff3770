"""From a drift to a challenger: the asset event of a night, the run that Airflow's scheduler makes of it."""

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from nightledger import incidents, operations, publications
from nightledger.airflow import tasks as airflow_tasks
from nightledger.governance import ledger as model_ledger
from nightledger.incidents import ledger
from nightledger.incidents.ledger import Incident
from nightledger.settings import Settings
from tests.dags.test_train import DAY, settings, states, training

pytestmark = pytest.mark.slow

__all__ = ["settings", "training"]


def drift(settings: Settings, weight: float, first: date = DAY) -> str:
    """Open a drift of a feature of churn; returns the incident's id."""
    member = {
        "about": "f", "model": "churn", "started_on": str(first), "what_changed": "distribution",
        "weighted_drift": weight,
    }  # fmt: skip
    incident = Incident(
        "drift", "bank", "f", "f drifts", first, first, "r", members=[member], weighted_drift=weight
    )
    with ledger.writing(settings) as connection:
        ledger.save(connection, incident)
    return incident.id


def night_asks(dagbag: Any) -> Any:
    """Run the tasks of a night that come after its publication, in real Airflow."""
    part = dagbag.dags["nightly"].partial_subset(["incidents", "retrain"], include_upstream=False)
    part.deadline = None  # `test` cannot store one
    with (
        mock.patch.object(publications, "published_by", lambda *_: "p"),
        mock.patch.object(incidents, "watch", lambda *_: {}),
    ):
        return part.test(run_conf={"as_of_date": str(DAY)})


def scheduled_run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The run of train that the scheduler makes of the asset events; the next test of the DAG runs it."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models import dagrun
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    with create_session() as session:
        scheduler = SchedulerJobRunner(Job())
        model = session.scalar(select(DagModel).where(DagModel.dag_id == "train"))
        scheduler._create_dag_runs_asset_triggered(dag_models=[model], session=session)
        session.commit()
        runs = session.scalars(
            select(dagrun.DagRun).where(
                dagrun.DagRun.dag_id == "train", dagrun.DagRun.run_type == "asset_triggered"
            )
        ).all()
        names = [run.run_id for run in runs if run.state == DagRunState.QUEUED]
    assert len(names) == 1

    def take(*, dag: Any, session: Any, **_: Any) -> Any:
        run = session.scalar(select(dagrun.DagRun).where(dagrun.DagRun.run_id == names[0]))
        run.dag = dag
        run.state = DagRunState.RUNNING
        run.start_date = run.queued_at
        session.commit()
        return run

    monkeypatch.setattr(dagrun, "get_or_create_dagrun", take)
    return names[0]


def unpause() -> None:
    """Let the scheduler see the DAG train; new ones are paused."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))


def test_a_drift_makes_a_challenger_of_its_model_by_the_usual_rules(dagbag, settings, training, monkeypatch):
    """Catches a loop that trains every model, promotes because of a drift, or trains each night again."""
    training.update(churn="kept_as_challenger", fraud="promoted")
    operations.engine(settings)
    quiet = night_asks(dagbag)
    assert states(quiet) == {"incidents": ["success"], "retrain": ["skipped"]}
    unpause()
    incident = drift(settings, 0.5)
    asked = night_asks(dagbag)
    assert states(asked) == {"incidents": ["success"], "retrain": ["success"]}
    run_id = scheduled_run(monkeypatch)
    run = dagbag.dags["train"].test()
    assert (run.run_id, run.state) == (run_id, "success")
    assert len(states(run)["train"]) == 1, "one model, not all"
    decided = [(row["model"], row["decision"]) for row in model_ledger.decisions(settings)]
    assert decided == [("churn", "kept_as_challenger")]
    assert model_ledger.champions(settings) == {}, "nothing is deployed because it drifted"
    events = [row["event"] for row in incidents.events(settings, incident)]
    assert events == ["training asked for"]
    monkeypatch.undo()


def test_incidents_are_looked_for_whatever_failed_and_the_run_is_failed_still(dagbag):
    """Catches a fault in the watch of losses that hides incidents, and a failed night that counts as done."""
    night = dagbag.dags["nightly"]
    assert night.get_task("incidents").trigger_rule == "all_done"
    assert night.get_task("warm_dashboards").upstream_task_ids == {"watch_losses", "incidents"}
    assert night.get_task("warm_dashboards").trigger_rule == "all_success"


def test_a_night_that_has_published_nothing_asks_for_no_training(dagbag, settings, monkeypatch):
    """Catches a training that a failed night asks for with the drift of an earlier one."""
    drift(settings, 0.5)
    monkeypatch.setattr(airflow_tasks, "run_name", lambda: "nightly/x")
    assert dagbag.dags["nightly"].get_task("incidents").python_callable() == []


def test_below_the_threshold_or_within_the_pause_no_training_is_asked_for(settings):
    """Catches a training for each ripple, and one a day for a model that drifts on."""
    drift(settings, 0.001)
    assert incidents.ask_training(settings, "nightly/1") == []
    drift(settings, 0.5, DAY + timedelta(days=1))
    assert incidents.ask_training(settings, "nightly/2") == ["churn"]
    drift(settings, 0.5, DAY + timedelta(days=2))
    assert incidents.ask_training(settings, "nightly/3") == []


def test_a_failed_task_opens_the_incident_of_its_night(dagbag, settings):
    """Catches a failure that nobody is told of, and one of a night that is published already."""
    run = SimpleNamespace(
        dag_id="nightly", run_id="x", run_type="manual", data_interval_start=None, data_interval_end=None
    )
    context = {"dag_run": run, "params": {"as_of_date": str(DAY)}}
    for task in dagbag.dags["nightly"].tasks:
        assert task.on_failure_callback == [airflow_tasks.night_failed]
    airflow_tasks.night_failed(context)
    [incident] = incidents.open_incidents(settings)
    assert (incident["kind"], incident["first_date"]) == ("night failed", DAY)
    incidents.close(settings, incident["id"], "r")
    operations.record_publication(
        settings, action="published", publication_id="p", run_id="nightly/x", as_of_date=DAY, reason=""
    )
    airflow_tasks.night_failed(context)
    assert incidents.open_incidents(settings) == []
    airflow_tasks.night_failed({"dag_run": run, "params": {}})
