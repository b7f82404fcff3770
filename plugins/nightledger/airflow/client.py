"""What commands ask of a running Airflow, over its REST API."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

import httpx

from nightledger.airflow.environment import COMMANDS, base_url, commands_password
from nightledger.settings import Settings

FINAL = ("success", "failed")
LOG_TAIL = 15
MISSING = (httpx.codes.NOT_FOUND,)
PATIENCE = 60.0
"""Seconds for which a busy or restarting API server is asked again before giving up."""


class AirflowError(RuntimeError):
    """Airflow cannot do what was asked; the message says what to do."""


@dataclass(frozen=True)
class TaskState:
    """A task of a run: its state (None = not yet looked at) and the seconds it ran, if it did.

    `map_index` tells those apart that run once for each of several things; -1: the task runs once.
    """

    task_id: str
    state: str | None
    seconds: float | None
    map_index: int = -1

    @property
    def name(self) -> str:
        """As it is shown to people."""
        return self.task_id if self.map_index < 0 else f"{self.task_id} {self.map_index + 1}"


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    `log_tail` is the end of the log of the task that failed, or else of the one that skipped those after it.
    """

    dag_id: str
    run_id: str
    state: str
    tasks: list[TaskState]
    failed_task: str | None = None
    skipped_task: str | None = None
    log_tail: list[str] = field(default_factory=list)


class AirflowClient:
    """A session of our commands with the API server, as their own account. Use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = base_url(settings)
        self._http = httpx.Client(base_url=self._url, timeout=30, trust_env=False)
        self._token: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> dict[str, str]:
        """Status by component; empty when the API server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
            answer.raise_for_status()
        except httpx.HTTPError:
            return {}
        return {name: part["status"] for name, part in answer.json().items() if part["status"]}

    def warm(self) -> None:
        """Make the API server build its execution API now; else the first task waits 6 s for it."""
        self._http.get("/execution/health", timeout=60).raise_for_status()

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool or set its size. A task whose pool is missing would never start."""
        body = {"slots": slots, "description": description, "include_deferred": False}
        if self._call("GET", f"pools/{name}", accept=MISSING) is None:
            self._call("POST", "pools", json={"name": name, **body})
        else:
            self._call("PATCH", f"pools/{name}", json={"pool": name, **body})

    def wait_for_dag(self, dag_id: str, since: float = 0, timeout: float = 60) -> None:
        """Wait until a DAG has been parsed.

        Args:
            dag_id: of the DAG.
            since: POSIX time; an earlier parse does not count, for the file may have changed since then.
            timeout: seconds.

        Raises:
            AirflowError: a DAG file cannot be imported, or the DAG does not turn up in time, or is paused.
        """
        deadline = time.monotonic() + timeout
        while not _parsed(dag := self._call("GET", f"dags/{dag_id}", accept=MISSING), since):
            errors = self._call("GET", "importErrors")["import_errors"]
            if errors:
                first = errors[0]
                raise AirflowError(f"{first['filename']} cannot be imported:\n{first['stack_trace']}")
            if time.monotonic() > deadline:
                raise AirflowError(f"Airflow knows no DAG {dag_id} after {timeout:.0f} s; see `make status`")
            time.sleep(0.5)
        if dag["is_paused"]:
            raise AirflowError(
                f"{dag_id} is paused: switch it on at {self._url}/dags/{dag_id}, then try again"
            )

    def trigger(self, dag_id: str, conf: Mapping[str, Any], run_id: str | None = None) -> str:
        """Start a run; when a run of that id exists already, whatever its state, that run is meant.

        Returns:
            The run's id.
        """
        # Named here, not by Airflow: repeating the request after a lost answer must not start a second run.
        run_id = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        self._call("POST", f"dags/{dag_id}/dagRuns", accept=(httpx.codes.CONFLICT,), json=body)
        return run_id

    def wait(
        self,
        dag_id: str,
        run_id: str,
        progress: Callable[[list[TaskState]], None] = lambda _: None,
        timeout: float = 6 * 3600,
    ) -> RunResult:
        """Wait until a run has ended.

        Args:
            dag_id: of the run.
            run_id: of the run.
            progress: called about once a second with all tasks in the order they started.
            timeout: seconds.

        Raises:
            AirflowError: it did not end in time, or Airflow stopped answering.
        """
        deadline = time.monotonic() + timeout
        while True:
            state = self._call("GET", _run(dag_id, run_id))["state"]
            progress(self.tasks(dag_id, run_id))
            if state in FINAL:
                return self.result(dag_id, run_id)
            if time.monotonic() > deadline:
                raise AirflowError(f"{dag_id}/{run_id} is still {state} after {timeout:.0f} s")
            time.sleep(0.7)

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Tasks of a run: those that started in their order, then the others."""
        found = self._call("GET", f"{_run(dag_id, run_id)}/taskInstances")["task_instances"]
        found.sort(key=lambda task: (task["start_date"] is None, task["start_date"] or "", task["task_id"]))
        return [
            TaskState(task["task_id"], task["state"], _seconds(task), task["map_index"]) for task in found
        ]

    def result(self, dag_id: str, run_id: str) -> RunResult:
        """How a run ended, or its present state."""
        state = self._call("GET", _run(dag_id, run_id))["state"]
        tasks = self.tasks(dag_id, run_id)
        failed = next((task for task in tasks if task.state == "failed"), None)
        # Those that were skipped because of another took no time; the last of the others tells how it ended.
        skipped = next((task for task in reversed(tasks) if task.state == "skipped" and task.seconds), None)
        telling = failed or skipped
        tail = self.log_tail(dag_id, run_id, telling.task_id, telling.map_index) if telling else []
        return RunResult(
            dag_id,
            run_id,
            state,
            tasks,
            failed_task=failed.task_id if failed else None,
            skipped_task=skipped.task_id if skipped else None,
            log_tail=tail,
        )

    def log_tail(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[str]:
        """Last lines of the log of a task's last try, without what Airflow says of its own start."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}"
        one = path if map_index < 0 else f"{path}/{map_index}"
        last_try = self._call("GET", one)["try_number"]
        which = {"full_content": True, "map_index": map_index}
        log = self._call("GET", f"{path}/logs/{last_try}", params=which)["content"]
        lines = [line for entry in _unfolded(log) for line in _log_lines(entry)]
        return lines[-LOG_TAIL:]

    def _call(self, method: str, path: str, *, accept: Sequence[int] = (), **arguments: Any) -> Any:
        """The answer to an authenticated request, or None if its status is one of `accept`.

        A request that could not reach the server, or met a busy database or an old token, is made again for
        a while: none of them does harm when repeated.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._http.request(method, f"/api/v2/{path}", headers=self._headers(), **arguments)
            except httpx.TransportError as error:
                problem = str(error)
            else:
                if answer.is_success:
                    return answer.json()
                if answer.status_code in accept:
                    return None
                problem = answer.text
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    self._token = None
                elif answer.is_client_error:
                    raise AirflowError(f"Airflow refused {method} {path}: {problem}")
            if time.monotonic() > deadline:
                raise AirflowError(
                    f"Airflow does not answer at {self._url} ({problem}). Is it running? `make up` starts it."
                )
            time.sleep(1)

    def _headers(self) -> dict[str, str]:
        if self._token is None:
            login = {"username": COMMANDS, "password": commands_password(self._settings)}
            answer = self._http.post("/auth/token", json=login)
            if answer.is_error:
                raise AirflowError(f"Airflow refused the login of {COMMANDS} at {self._url}: {answer.text}")
            self._token = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._token}"}


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _parsed(dag: Mapping[str, Any] | None, since: float) -> bool:
    return dag is not None and datetime.fromisoformat(dag["last_parsed_time"]).timestamp() >= since


def _seconds(task: Mapping[str, Any]) -> float | None:
    if task["start_date"] is None or task["end_date"] is None:
        return None
    started, ended = (datetime.fromisoformat(task[name]) for name in ("start_date", "end_date"))
    return (ended - started).total_seconds()


def _unfolded(log: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Entries that stand outside the folds in which Airflow logs where a log lies and how a task starts."""
    fold = None
    for entry in log:
        event = str(entry.get("event", ""))
        if event.startswith("::group::"):
            fold = event.removeprefix("::group::")
        elif event.startswith("::endgroup::"):
            fold = None
        elif fold in (None, "Post Execute"):
            yield entry


def _log_lines(entry: Mapping[str, Any]) -> list[str]:
    """A structured log entry as text: the event, its reason, and the exceptions that it carries."""
    lines = " – ".join(str(entry[key]) for key in ("event", "reason") if entry.get(key)).splitlines()
    for error in entry.get("error_detail") or []:
        lines += f"{error['exc_type']}: {error['exc_value']}".splitlines()
    return lines
