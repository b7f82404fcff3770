"""The launcher: what it starts it stops, and what it keeps secret stays so."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nightledger.airflow.client import AirflowClient, AirflowError
from nightledger.airflow.environment import admin_password, environment, passwords_file
from nightledger.airflow.supervisor import LauncherError, read_state, require_free_port
from nightledger.night import lock
from nightledger.servers.processes import Started, stop
from nightledger.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(home=tmp_path / "home", airflow_port=port, schedule="", _env_file=None)


def launcher(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {
        "NIGHTLEDGER_HOME": str(settings.home),
        "NIGHTLEDGER_AIRFLOW_PORT": str(settings.airflow_port),
        "NIGHTLEDGER_SCHEDULE": "",
    }
    outer = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return subprocess.run(
        [sys.executable, "-m", "nightledger.airflow.launcher", *arguments],
        env=outer | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def processes_of(settings: Settings) -> list[psutil.Process]:
    """Everything on this machine that has a file of the home open, or names it."""
    found = []
    for process in psutil.process_iter():
        try:
            places = [file.path for file in process.open_files()] + process.cmdline()
        except psutil.Error:
            continue
        if any(str(settings.home) in place for place in places):
            found.append(process)
    return found


@pytest.fixture
def sleeping_family() -> Iterator[Started]:
    """The leader of a session, and a child in a process group of its own, like a task of Airflow."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], process_group=0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    leader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    leader.stdout.readline()
    family = Started.of(leader.pid)
    yield family
    stop([family], 0)
    leader.wait()


def test_stopping_leaves_no_one_of_a_session(sleeping_family):
    """Catches tasks that write on after `down`: Airflow puts each into a process group of its own."""
    assert len(sleeping_family.session()) == 2
    stop([sleeping_family], grace=0.3)
    assert sleeping_family.session() == []


def test_what_a_dead_leader_left_is_still_ours(sleeping_family):
    """Catches workers of a crashed scheduler that nobody stops."""
    os.kill(sleeping_family.pid, signal.SIGKILL)
    os.waitpid(sleeping_family.pid, 0)
    assert not sleeping_family.is_alive()
    assert len(sleeping_family.session()) == 1
    stop([sleeping_family], grace=0)
    assert sleeping_family.session() == []


def test_another_process_with_the_same_number_is_left_alone(sleeping_family):
    """Catches a `down` after a reboot that kills whoever got the number."""
    reused = Started(sleeping_family.pid, sleeping_family.created - 60)
    assert not reused.is_alive()
    stop([reused], grace=0)
    assert len(sleeping_family.session()) == 2


def test_secrets_are_made_once_and_only_their_owner_may_read_them(settings):
    """Catches sessions that end with every restart, and passwords that everybody on the machine can read."""
    first = environment(settings, outer={})
    assert environment(settings, outer={}) == first
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert len(admin_password(settings)) >= 12
    for path in passwords_file(settings).parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(passwords_file(settings).parent.stat().st_mode) == 0o700


def test_two_installations_share_no_secret(settings, tmp_path):
    """Catches a default secret that would open every installation."""
    other = Settings(home=tmp_path / "other", _env_file=None)
    for name in ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__CORE__FERNET_KEY"):
        assert environment(settings, outer={})[name] != environment(other, outer={})[name]
    assert admin_password(settings) != admin_password(other)


def test_the_address_that_workers_report_to_follows_the_port(settings):
    """Catches the setting without which every task fails with "connection refused"."""
    made = environment(settings, outer={})
    url = f"http://127.0.0.1:{settings.airflow_port}"
    assert made["AIRFLOW__API__BASE_URL"] == url
    assert made["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{url}/execution/"
    assert made["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_the_outer_environment_may_tune_but_not_redirect(settings):
    """Catches a leftover AIRFLOW_HOME that makes one installation write into another."""
    outer = {
        "AIRFLOW_HOME": "elsewhere",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    made = environment(settings, outer=outer)
    assert made["AIRFLOW_HOME"] == str(settings.airflow_home)
    assert made["AIRFLOW__CORE__PARALLELISM"] == "16"
    assert "PYTHONDONTWRITEBYTECODE" not in made


def test_a_taken_port_is_explained(settings):
    """Catches a start that fails minutes later, somewhere in a log."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.airflow_port))
        other.listen()
        with pytest.raises(LauncherError, match=r"taken by .*NIGHTLEDGER_AIRFLOW_PORT="):
            require_free_port(settings)


def test_a_command_without_airflow_says_what_to_do(settings):
    """Catches a traceback where a person forgot `make up`."""
    done = launcher(settings, "trigger", "nightly")
    assert done.returncode == 1
    assert done.stderr == "Airflow is not running: `make up` starts it.\n"
    assert launcher(settings, "down").stdout == "Airflow is not running.\n"


@pytest.fixture
def airflow(settings) -> Iterator[subprocess.CompletedProcess[str]]:
    started = launcher(settings, "up")
    yield started
    launcher(settings, "down")


@pytest.mark.slow
def test_airflow_runs_a_dag_survives_a_crash_and_leaves_nothing_behind(settings, airflow):
    """Catches what only the real stack shows: start order, port, pool, lock, restart, and stray processes."""
    assert airflow.returncode == 0, airflow.stderr
    assert str(passwords_file(settings)) in airflow.stdout
    assert admin_password(settings) not in airflow.stdout
    assert "running already" in launcher(settings, "up").stdout

    # The lock is held by a run that somebody deleted in the UI: the next takes it over.
    assert lock.take(settings, "nightly/deleted", is_alive=lambda _: False)
    undated = launcher(settings, "trigger", "history", "--run-id", "undated")
    assert undated.returncode == 1
    assert "without as_of_date" in undated.stdout
    with AirflowClient(settings) as client:
        result = client.result("history", "undated")
        assert (result.state, result.failed_task) == ("failed", "open")
        tries = client._call("GET", "dags/history/dagRuns/undated/taskInstances/open")["try_number"]
        assert tries == 1, "an error that a retry cannot mend was tried again"
        assert client.trigger("history", {}, "undated") == "undated", "an existing run is started once only"
        with pytest.raises(AirflowError, match="as_of_date"):
            client.trigger("nightly", {"as_of_date": "31/12/2025"})
        pools = {pool["name"]: pool["slots"] for pool in client._call("GET", "pools")["pools"]}
        assert pools["warehouse_writer"] == 1
    assert lock.holder(settings) == "history/undated"

    before = read_state(settings)
    os.kill(before.components["scheduler"].pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (after := read_state(settings)).restarts.get("scheduler") != 1:
        assert time.monotonic() < deadline, "the scheduler was not started again"
        time.sleep(0.2)
    assert before.components["scheduler"].session() == []
    assert after.components["api-server"] == before.components["api-server"]

    listening = [
        connection.laddr
        for component in after.components.values()
        for process in component.session()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}

    assert launcher(settings, "down").returncode == 0
    assert read_state(settings) is None
    assert all(component.session() == [] for component in after.components.values())
    assert processes_of(settings) == []
    require_free_port(settings)
    assert json.loads(passwords_file(settings).read_text())["admin"]
