"""Starts and stops this installation's Airflow, and runs its DAGs from the command line.

`python -m nightledger.airflow.launcher up` starts it in the background, `down` stops exactly what `up`
started, `status` tells, `run` stays in the foreground (for containers and service managers). `trigger` and
`backfill` start runs and wait for them.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table

from nightledger.airflow.client import AirflowClient, AirflowError, RunResult, TaskState
from nightledger.airflow.environment import ADMIN, base_url, passwords_file
from nightledger.airflow.supervisor import (
    LauncherError,
    State,
    Supervisor,
    log_file,
    open_log,
    read_state,
    state_file,
    stop_components,
)
from nightledger.settings import Settings, SettingsError, read_settings

UP_SECONDS = 600.0
DOWN_SECONDS = 120.0
ENDED = {
    "success": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "skipped": "[yellow]–[/]",
    "up_for_retry": "[yellow]↻[/]",
}

console = Console(highlight=False, soft_wrap=True)


def up(settings: Settings) -> None:
    """Start Airflow in the background and wait until it is ready; nothing happens if it runs already.

    Raises:
        LauncherError: the port is taken, or a component does not start.
    """
    state = read_state(settings)
    if state is not None and state.supervisor.is_alive():
        if state.phase == "running":
            console.print(f"Airflow is running already at [bold]{state.url}[/].")
            return
        raise LauncherError(
            f"Airflow is {state.phase} at this moment: {state.message}. Try again in a while."
        )
    descriptor = open_log(settings, "supervisor")
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "nightledger.airflow.launcher", "run"],
        cwd=settings.project,
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.close(descriptor)
    try:
        _wait_until_up(settings, supervisor)
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        raise
    console.print(
        f"Airflow is running at [bold]{base_url(settings)}[/]. Log in as [bold]{ADMIN}[/]; "
        f"the password is in {passwords_file(settings)}"
    )


def _wait_until_up(settings: Settings, supervisor: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + UP_SECONDS
    with console.status("Airflow: starting") as status:
        while True:
            ended = supervisor.poll() is not None
            state = read_state(settings)
            ours = state is not None and state.supervisor.pid == supervisor.pid
            if state is not None and ours:
                status.update(f"Airflow: {state.message}")
                if state.phase == "running":
                    return
            if ended:
                log = log_file(settings, "supervisor")
                why = state.message if state is not None and ours else log.read_text()[-500:]
                raise LauncherError(f"Airflow did not start. {why}")
            if time.monotonic() > deadline:
                raise LauncherError(f"Airflow is not ready after {UP_SECONDS:.0f} s; see `status`")
            time.sleep(0.2)


def down(settings: Settings) -> None:
    """Stop what `up` or `run` started, and nothing else.

    Raises:
        LauncherError: the supervisor does not come to an end.
    """
    state = read_state(settings)
    if state is None:
        console.print("Airflow is not running.")
        return
    with console.status("Airflow: stopping"):
        if state.supervisor.is_alive():
            os.kill(state.supervisor.pid, signal.SIGTERM)
            deadline = time.monotonic() + DOWN_SECONDS
            while state.supervisor.is_alive():
                if time.monotonic() > deadline:
                    raise LauncherError(f"The supervisor (pid {state.supervisor.pid}) does not end")
                time.sleep(0.2)
        else:
            stop_components(state)
        state_file(settings).unlink(missing_ok=True)
    console.print("Airflow is stopped.")


def status(settings: Settings) -> bool:
    """Print what runs. Returns whether all of it does."""
    state = read_state(settings)
    if state is None:
        console.print("Airflow is not running. `make up` starts it.")
        return False
    alive = state.supervisor.is_alive()
    phase = (
        state.phase if alive or state.phase == "failed" else "without its supervisor (`make down` cleans up)"
    )
    console.print(f"Airflow at {state.url}: [bold]{phase}[/]")
    if state.message != state.phase:
        console.print(state.message)
    if state.components:
        console.print(_components(settings, state))
    console.print(f"Logs: {log_file(settings, '*')}", markup=False)
    return alive and state.phase == "running"


def _components(settings: Settings, state: State) -> Table:
    with AirflowClient(settings) as client:
        health = client.health()
    table = Table("component", "pid", "process", "health", "restarts", box=None)
    for name, started in state.components.items():
        table.add_row(
            name,
            str(started.pid),
            "runs" if started.is_alive() else "[red]gone[/]",
            health.get({"api-server": "metadatabase"}.get(name, name.replace("-", "_")), "–"),
            str(state.restarts.get(name, 0)),
        )
    return table


def trigger(settings: Settings, dag_id: str, conf: dict[str, Any], run_id: str | None = None) -> RunResult:
    """Run a DAG and wait for its end, telling how it goes.

    Raises:
        AirflowError: Airflow is not running, does not answer, or refuses the run.
    """
    state = read_state(settings)
    if state is None:
        raise AirflowError("Airflow is not running: `make up` starts it.")
    with AirflowClient(settings) as client, console.status(f"{dag_id}: waiting for Airflow") as line:
        client.wait_for_dag(dag_id, since=state.supervisor.created)
        run_id = client.trigger(dag_id, conf, run_id)
        console.print(f"[bold]{dag_id}[/] {run_id}")
        told: set[tuple[str, str | None]] = set()
        result = client.wait(dag_id, run_id, lambda tasks: _tell(tasks, told, line))
    if telling := result.failed_task or result.skipped_task:
        console.print(f"[bold]{dag_id}: {result.state}[/]. The last lines of the log of {telling}:")
        for text in result.log_tail:
            console.print(f"  {text}", markup=False)
    if result.state != "success":
        console.print(f"More: {base_url(settings)}/dags/{dag_id}/runs/{run_id}", markup=False)
    return result


def _tell(tasks: list[TaskState], told: set[tuple[str, str | None]], line: Status) -> None:
    """Print each task that has ended since the last call, and show those that run."""
    for task in tasks:
        # One that was skipped or failed because of another took no time.
        if task.state in ENDED and task.seconds and (task.name, task.state) not in told:
            told.add((task.name, task.state))
            word = "" if task.state == "success" else task.state.replace("_", " ")
            console.print(f"  {ENDED[task.state]} {task.name:<16}{task.seconds:7.1f} s {word}".rstrip())
    active = [task.name for task in tasks if task.state in ("queued", "running", "up_for_reschedule")]
    active += [f"{task.name} waits for a person" for task in tasks if task.state == "awaiting_input"]
    line.update(", ".join(active) or "waiting")


def backfill(settings: Settings, first: date, last: date) -> bool:
    """Build each date from `first` to `last`, one run after another. Stops at the first that fails.

    Returns:
        Whether all of them succeeded.
    """
    for day in _days(first, last):
        result = trigger(settings, "nightly", {"as_of_date": day.isoformat(), "force": True})
        if result.state != "success":
            console.print(f"Stopped at {day}; the dates after it were not touched.")
            return False
    return True


def features(settings: Settings, first: date, last: date) -> bool:
    """Build the features of all month-ends from `first` to `last` in one run.

    Returns:
        Whether it succeeded.

    Raises:
        LauncherError: there is no month-end among the dates.
    """
    month_ends = [day for day in _days(first, last) if (day + timedelta(days=1)).day == 1]
    if not month_ends:
        raise LauncherError(f"there is no month-end from {first} to {last}")
    conf = {"as_of_date": month_ends[-1].isoformat(), "since": first.isoformat(), "force": True}
    return trigger(settings, "history", conf).state == "success"


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nightledger.airflow.launcher", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start Airflow in the background")
    commands.add_parser("down", help="stop what up started")
    commands.add_parser("status", help="what runs; exit code 1 unless all of it does")
    commands.add_parser("run", help="run Airflow in the foreground")
    one = commands.add_parser("trigger", help="run a DAG and wait")
    one.add_argument("dag_id")
    one.add_argument("--as-of", type=date.fromisoformat, metavar="DATE", help="business date to build")
    one.add_argument("--force", action="store_true", help="build it even if there is nothing to do")
    one.add_argument("--model", help="model to train")
    one.add_argument("--run-id", help="a run of this id that exists is waited for, not started again")
    for name, meaning in (
        ("backfill", "build dates again, one run after another"),
        ("features", "build the features of month-ends, all in one run"),
    ):
        many = commands.add_parser(name, help=meaning)
        many.add_argument("--from", dest="first", type=date.fromisoformat, required=True, metavar="DATE")
        many.add_argument("--to", dest="last", type=date.fromisoformat, required=True, metavar="DATE")
    return parser


def _run_command(settings: Settings, arguments: argparse.Namespace) -> bool:
    match arguments.command:
        case "up":
            up(settings)
        case "down":
            down(settings)
        case "status":
            return status(settings)
        case "run":
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
            logging.getLogger("httpx").setLevel(logging.WARNING)
            Supervisor(settings).run()
        case "trigger":
            conf: dict[str, Any] = {}
            if arguments.as_of:
                conf["as_of_date"] = arguments.as_of.isoformat()
            if arguments.force:
                conf["force"] = True
            if arguments.model:
                conf["model"] = arguments.model
            return trigger(settings, arguments.dag_id, conf, arguments.run_id).state == "success"
        case "backfill":
            return backfill(settings, arguments.first, arguments.last)
        case "features":
            return features(settings, arguments.first, arguments.last)
    return True


def main() -> int:
    """Run a command; returns the exit code."""
    arguments = _parser().parse_args()
    try:
        return 0 if _run_command(read_settings(), arguments) else 1
    except (LauncherError, AirflowError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
