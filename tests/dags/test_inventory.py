"""Every DAG file keeps what its docstring and the house rules promise. Needs no database."""

import importlib
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
STEPS = {
    "nightly": [
        "wait_for_sources",
        "take_lock",
        "open",
        "ingest",
        "dbt_merchants",
        "enrich",
        "dbt_features",
        "score",
        "dbt_marts",
        "audit",
        "publish",
        "watch_losses",
        "incidents",
        "warm_dashboards",
        "retrain",
    ],
    "history": [
        "take_lock",
        "open",
        "ingest",
        "dbt_merchants",
        "enrich",
        "dbt_features",
        "dbt_marts",
        "audit",
        "publish",
        "warm_dashboards",
    ],
    "reports": ["draw"],
    "train": ["publication", "train", "awaiting", "approve", "settle", "release", "champions", "complete"],
}
"""Tasks of each DAG, one after another."""
NOT_WRITING = {
    *("wait_for_sources", "take_lock", "score", "watch_losses", "incidents", "retrain", "warm_dashboards"),
}
UNITS = {"min": "minutes", "h": "hours"}


def waiting_time(task) -> timedelta:
    """How long a task waits for what is not its own to do: a person or a file."""
    given = getattr(task, "partial_kwargs", vars(task))
    return given.get("response_timeout") or timedelta(seconds=task.timeout)


def test_every_dag_file_can_be_imported(dagbag):
    """Catches a file that Airflow silently leaves out."""
    assert dagbag.import_errors == {}


def test_the_dags_are_exactly_the_expected_ones(dagbag):
    """Catches a DAG that was lost, and one that nobody has written down here."""
    assert set(dagbag.dags) == set(STEPS)
    assert {path.stem for path in (PROJECT / "dags").glob("*.py")} == set(STEPS)


@pytest.mark.parametrize("dag_id", STEPS)
def test_a_dag_is_named_after_its_file(dagbag, dag_id):
    """Catches the search for the file of a failing DAG at 3 a.m."""
    assert Path(dagbag.dags[dag_id].fileloc).stem == dag_id


@pytest.mark.parametrize("dag_id", STEPS)
def test_the_steps_come_in_their_order(dagbag, dag_id):
    """Catches a step that was left out, or an audit that runs before what it audits."""
    dag = dagbag.dags[dag_id]
    assert [task.task_id for task in dag.topological_sort()] == STEPS[dag_id]
    assert len(dag.roots) == 1


@pytest.mark.parametrize("dag_id", STEPS)
def test_the_docstring_is_the_runbook(dagbag, dag_id):
    """Catches a DAG whose page in the UI does not say what to do."""
    doc = dagbag.dags[dag_id].doc_md
    for heading in ("What", "Inputs and outputs", "When it is urgent", "How to run it again", "Tasks"):
        assert f"### {heading}\n" in doc


@pytest.mark.parametrize("dag_id", STEPS)
def test_the_table_of_tasks_says_what_is_set(dagbag, dag_id):
    """Catches retries or a timeout that were changed in one place only."""
    dag = dagbag.dags[dag_id]
    rows = re.findall(r"^\| ([a-z_, ]+) \| (\d+) \| (\d+) (min|h)[^|]*\| [^|]+ \|$", dag.doc_md, re.M)
    said = {
        name: (int(retries), timedelta(**{UNITS[unit]: int(number)}))
        for names, retries, number, unit in rows
        for name in names.split(", ")
    }
    is_set = {
        task.task_id: (task.retries, task.execution_timeout or waiting_time(task))
        for task in dag.tasks
        if task.task_type != "EmptyOperator"
    }
    assert said == is_set


@pytest.mark.parametrize("dag_id", STEPS)
def test_nothing_runs_twice_at_once_or_catches_up(dagbag, dag_id):
    """Catches a burst of nights after a pause: one night builds all missing dates."""
    dag = dagbag.dags[dag_id]
    assert dag.max_active_runs == 1
    assert not dag.catchup


@pytest.mark.parametrize("dag_id", ["nightly", "history"])
def test_what_writes_the_warehouse_waits_for_the_writers_pool(dagbag, dag_id):
    """Catches two processes that open one DuckDB file, which fails for one of them."""
    pools = {task.task_id: task.pool for task in dagbag.dags[dag_id].tasks}
    writing = {name for name, pool in pools.items() if pool == "warehouse_writer"}
    assert writing == pools.keys() - NOT_WRITING


@pytest.mark.parametrize(
    ("dag_id", "name"), [("nightly", "take_lock"), ("history", "take_lock"), ("nightly", "wait_for_sources")]
)
def test_waiting_holds_no_slot(dagbag, dag_id, name):
    """Catches a waiting night that keeps the worker or the pool that the other one needs."""
    sensor = dagbag.dags[dag_id].get_task(name)
    assert sensor.mode == "reschedule"
    assert sensor.pool == "default_pool"


@pytest.mark.parametrize("dag_id", STEPS)
def test_a_dag_survives_serialisation(dagbag, dag_id):
    """Catches what works in a test and not in the scheduler, which knows the serialised DAG only."""
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DagSerialization.from_dict(DagSerialization.to_dict(dagbag.dags[dag_id]))
    assert sorted(dag.task_dict) == sorted(STEPS[dag_id])
    assert all(task.has_retry_policy for task in dag.tasks)


def test_errors_that_a_retry_cannot_mend_exist_under_their_names():
    """Catches a renamed or moved exception: it would quietly be tried again."""
    from nightledger.airflow.tasks import HOPELESS

    for path in HOPELESS:
        module, _, name = path.rpartition(".")
        error = getattr(importlib.import_module(module), name)
        assert issubclass(error, Exception)
        assert f"{error.__module__}.{error.__qualname__}" == path


def test_failed_tests_fail_at_once_and_broken_nodes_are_tried_again(dagbag):
    """Catches a night that spends its retries on data that is wrong."""
    from airflow.sdk import RetryAction

    from nightledger.dbt.project import DbtFailed
    from nightledger.dbt.runner import TestsFailed
    from nightledger.night.audit import AuditFailed
    from nightledger.night.steps import TooEarly

    for dag_id in STEPS:
        for task in dagbag.dags[dag_id].tasks:

            def action(error, policy=task.retry_policy):
                return policy.evaluate(error, try_number=1, max_tries=2).action

            assert action(TestsFailed("rows")) is RetryAction.FAIL
            assert action(AuditFailed("rows")) is RetryAction.FAIL
            assert action(TooEarly("a subclass of NightError")) is RetryAction.FAIL
            assert action(DbtFailed("lock")) is RetryAction.DEFAULT


def test_publishing_and_a_new_champion_are_announced(dagbag):
    """Catches consumers that wait for an asset nobody updates."""
    outlets = {
        (dag_id, task.task_id): [asset.name for asset in task.outlets]
        for dag_id, dag in dagbag.dags.items()
        for task in dag.tasks
        if task.outlets
    }
    assert outlets == {
        ("nightly", "publish"): ["publication"],
        ("nightly", "retrain"): ["retrain"],
        ("history", "publish"): ["publication"],
        ("train", "champions"): ["champion"],
        ("train", "settle"): ["champion"],
    }


def test_an_empty_schedule_means_by_hand(monkeypatch):
    """Catches a demo whose nights start by themselves."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("NIGHTLEDGER_SCHEDULE", "")
    bag = DagBag(dag_folder=str(PROJECT / "dags" / "nightly.py"))
    assert bag.dags["nightly"].schedule is None


def test_reading_the_dag_files_loads_nothing_heavy():
    """Catches an import at module level that every task and every parse pays for."""
    code = (
        "import runpy, sys\n"
        "for path in sys.argv[1:]: runpy.run_path(path)\n"
        "heavy = {'duckdb', 'dbt', 'ml', 'mlflow', 'pandas', 'pyarrow', 'sklearn', 'xgboost'}\n"
        "sys.exit(' '.join(heavy & sys.modules.keys()))\n"
    )
    files = [str(path) for path in sorted((PROJECT / "dags").glob("*.py"))]
    loaded = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert loaded.stderr.strip() == ""
