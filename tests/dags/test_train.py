"""The DAG train, run by real Airflow on a real registry; only the numeric work is replaced."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from nightledger import leases, publications, warehouse
from nightledger.airflow import tasks as airflow_tasks
from nightledger.airflow.client import AirflowClient
from nightledger.governance import ledger, promotion
from nightledger.settings import Settings

pytestmark = pytest.mark.slow

DAY = date(2026, 1, 31)
ANSWERS = "/api/v2/dags/train/dagRuns"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Settings:
    """An installation with a publication, whose only client wants to approve fraud and credit."""
    clients = tmp_path / "clients"
    clients.mkdir()
    (clients / "bank.yml").write_text("name: Bank\nbase_currency: GBP\napproval: {models: [fraud, credit]}\n")
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTLEDGER_CLIENTS", str(clients))
    settings = Settings()
    path = settings.builds / f"{DAY}.1"
    path.mkdir(parents=True)
    with warehouse.connect(path, read_only=False, settings=settings) as connection:
        connection.execute(
            "create schema ops;"
            "create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);"
            "insert into ops.horizon values ('bank', '2026-01-31', '2026-02-01 02:00:00')"
        )
    publications.point(settings, "current", path.name)
    return settings


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the training of each model comes to; it is registered as a real one.

    A verdict, an error before anything was done, or a function to call when all is done but the recording.
    """
    from ml import config
    from ml import training as real
    from ml.registry import Registry

    results: dict[str, Any] = {}

    def train(settings: Settings, model: str, publication_id: str, champion: str | None) -> SimpleNamespace:
        result = results[model]
        if isinstance(result, Exception):
            raise result
        assert leases.leased(settings) == {publication_id}
        shelf = Registry(settings)
        dies = None if isinstance(result, str) else result
        result = "promoted" if dies else result
        registered = shelf.save(
            model,
            f"{DAY}-{model}",
            {"model.json": model.encode()},
            pa.table({"score": [0.5]}),
            params={},
            metrics={},
            documents={},
        )
        shelf.judge(registered, result, "measured")
        if dies:
            dies(champion)
        outcome = {
            "model": model,
            "version": registered.version,
            "verdict": result,
            "standing": result,
            "reason": "It beats its baselines.",
            "publication_id": publication_id,
            "trained_on_as_of": str(DAY),
            "known_at": "2026-02-01T02:00:00",
            "artefact_sha256": registered.artefact_sha256,
            "guardrails": [],
            "metrics": [],
            "importances": [],
        }
        return SimpleNamespace(as_dict=lambda: outcome)

    monkeypatch.setattr(real, "train", train)
    monkeypatch.setattr(real, "members", lambda *_: sorted(results))
    monkeypatch.setattr(config, "names", lambda: ["churn", "credit", "fraud"])
    return results


@pytest.fixture
def answers(airflow_app, log_in) -> Iterator[Callable[[dict[str, str]], None]]:
    """Answers each request of a run as the approver, by what its subject names, from another thread."""
    threads = []

    def answer(wanted: dict[str, str]) -> None:
        client, headers = airflow_app, log_in("approver")
        left = dict(wanted)
        while left:
            open_ones = client.get(
                f"{ANSWERS}/~/hitlDetails", params={"response_received": False}, headers=headers
            ).json()["hitl_details"]
            for detail in open_ones:
                task = detail["task_instance"]
                model = next((name for name in left if f"{name} " in detail["subject"]), None)
                if model is None or task["state"] != "awaiting_input":
                    continue
                path = f"{task['dag_run_id']}/taskInstances/approve/{task['map_index']}/hitlDetails"
                body = {"chosen_options": [left.pop(model)], "params_input": {"comment": "looked at"}}
                client.patch(f"{ANSWERS}/{path}", json=body, headers=headers).raise_for_status()
            time.sleep(0.3)

    def start(wanted: dict[str, str]) -> None:
        threads.append(threading.Thread(target=answer, args=(wanted,), daemon=True))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(timeout=30)


def states(run: Any) -> dict[str, list[str]]:
    """States of each task, by model."""
    found: dict[str, list[str]] = {}
    for task in sorted(run.get_task_instances(), key=lambda task: task.map_index):
        found.setdefault(task.task_id, []).append(str(task.state))
    return found


def test_every_model_is_trained_and_one_that_fails_holds_up_no_other(dagbag, settings, training):
    """Catches a schedule that trains one model, and a lease or an alias that a failure leaves behind."""
    from ml.registry import Registry

    training.update(
        churn="promoted", credit="refused", fraud=publications.PublicationError("as if it could not read")
    )
    run = dagbag.dags["train"].test()
    assert run.state == "failed"
    assert states(run)["train"] == ["success", "success", "failed"]
    assert states(run)["champions"] == ["success"]
    assert states(run)["approve"] == states(run)["settle"] == ["skipped"]
    assert (states(run)["complete"], states(run)["release"]) == (["upstream_failed"], ["success"])
    assert leases.leased(settings) == set()
    found = {row["model"]: row["decision"] for row in ledger.decisions(settings)}
    assert found == {"churn": "promoted", "credit": "refused"}
    assert Registry(settings).champion("churn").version == f"{DAY}-churn"


def test_what_a_client_wants_to_approve_waits_for_a_person(dagbag, settings, training, answers):
    """Catches a version that scores unapproved, a rejection that does, and an answer without a name."""
    from ml.registry import Registry

    training.update(churn="promoted", credit="promoted", fraud="promoted")
    answers({"fraud": "Approve", "credit": "Reject"})
    run = dagbag.dags["train"].test()
    assert run.state == "success"
    assert states(run)["approve"] == ["success", "success"]
    assert (states(run)["champions"], states(run)["settle"]) == (["success"], ["skipped", "success"])
    decided = {
        model: [(row["decision"], row["decided_by"]) for row in ledger.decisions(settings, model)]
        for model in training
    }
    waited = ("awaiting_approval", "promotion rules")
    assert decided == {
        "churn": [("promoted", "promotion rules")],
        "credit": [waited, ("rejected", "approver")],
        "fraud": [waited, ("approved", "approver")],
    }
    assert ledger.decisions(settings, "fraud")[-1]["reason"] == "looked at"
    assert ledger.champions(settings) == {"churn": f"{DAY}-churn", "fraud": f"{DAY}-fraud"}
    assert Registry(settings).champion("fraud").version == f"{DAY}-fraud"
    assert Registry(settings).champion("credit") is None, "the registry follows the decision"


def test_a_promotion_between_two_tries_changes_nothing(dagbag, settings, training, monkeypatch):
    """Catches a second try that is judged against another champion, or that undoes its promotion."""
    from ml import standing
    from ml.registry import Registry

    beside = []

    def die_once(champion: Any) -> None:
        beside.append(champion)
        if len(beside) == 1:
            other = {
                "model": "churn", "version": "other", "verdict": "promoted", "standing": "promoted",
                "reason": "of another run", "publication_id": f"{DAY}.1", "trained_on_as_of": str(DAY),
                "known_at": "2026-02-01T02:00:00", "artefact_sha256": "0", "guardrails": [], "metrics": [],
                "importances": [],
            }  # fmt: skip
            files = {"model.json": b"other"}
            Registry(settings).save("churn", "other", files, pa.table({"score": [0.5]}), {}, {}, {})
            promotion.record_training(settings, other, "train/other")
            standing.align(settings, "churn", "other", None)
            raise ConnectionError("as if the machine had lost power")

    training.update(churn=die_once)
    dag = dagbag.dags["train"]
    monkeypatch.setattr(dag.get_task("train"), "retry_delay", timedelta(0))
    run = dag.test()
    assert run.state == "success"
    assert beside == [None, None], "both tries are judged against what the run began with"
    decided = [(row["version"], row["decision"]) for row in ledger.decisions(settings, "churn")]
    assert decided == [("other", "promoted"), (f"{DAY}-churn", "kept_as_challenger")]
    shelf = Registry(settings)
    assert shelf.champion("churn").version == "other"
    assert shelf.challenger("churn").version == f"{DAY}-churn"


def test_a_run_that_names_one_model_trains_that_one_and_says_why_it_was_refused(
    dagbag, settings, training, airflow_app, log_in
):
    """Catches a parameter that is ignored, and a command that cannot find the log of one model's task."""
    training.update(churn="refused", fraud="refused")
    run = dagbag.dags["train"].test(run_conf={"model": "fraud"})
    assert run.state == "success"
    assert [row["model"] for row in ledger.decisions(settings)] == ["fraud"]
    with AirflowClient(settings) as client:
        client._http, client._token = airflow_app, log_in("admin")["Authorization"].partition(" ")[2]
        result = client.result("train", run.run_id)
    assert (result.state, result.failed_task, result.skipped_task) == ("success", None, "champions")
    assert [task.name for task in result.tasks if task.map_index == 0] == [
        "train 1",
    ]  # fmt: skip


def test_a_night_takes_back_a_champion_that_loses_too_much(dagbag, settings, monkeypatch):
    """Catches a task that finds the loss and leaves champion or registry as they were."""
    from ml import standing
    from ml.registry import Registry
    from ml.scores import losses

    shelf = Registry(settings)
    champion = None
    for version in ("v1", "v2"):
        files = {"model.json": version.encode()}
        shelf.save("fraud", version, files, pa.table({"score": [0.5]}), {}, {}, {})
        outcome = {
            "model": "fraud", "version": version, "verdict": "promoted", "standing": "promoted",
            "reason": "It beats its baselines.", "publication_id": f"{DAY}.1", "trained_on_as_of": str(DAY),
            "known_at": "2026-02-01T02:00:00", "artefact_sha256": "0", "guardrails": [], "metrics": [],
            "importances": [],
        }  # fmt: skip
        promotion.record_training(settings, outcome, f"train/{version}", compared_with=champion)
        champion = version
    standing.align(settings, "fraud", "v2", None)
    breach = {"model": "fraud", "version": "v2", "reason": "bank lost 0.3 %.", "clients": []}
    monkeypatch.setattr(
        losses, "breaches", lambda _settings, champions: [breach][: champions == {"fraud": "v2"}]
    )
    monkeypatch.setattr(standing, "why_not", lambda *_: "")
    monkeypatch.setattr(airflow_tasks, "run_name", lambda: "nightly/x")
    assert dagbag.dags["nightly"].get_task("watch_losses").python_callable() == [breach]
    last = ledger.decisions(settings, "fraud")[-1]
    assert (last["decision"], last["decided_by"], last["run_id"]) == ("demoted", "loss limit", "nightly/x")
    assert shelf.champion("fraud").version == "v1"
    assert dagbag.dags["nightly"].get_task("watch_losses").python_callable() == []
