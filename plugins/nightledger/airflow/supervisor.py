"""Starts Airflow's components in the right order, keeps them running and stops them.

`airflow standalone` is not used: it opens log ports on every interface, leaves orphans when it is stopped,
and starts the scheduler before the API server that its tasks report to.
"""

import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from nightledger.airflow.client import AirflowClient
from nightledger.airflow.environment import WRITER_POOL, base_url, environment, metadata_dsn
from nightledger.servers.processes import Started, stop
from nightledger.settings import Settings

log = logging.getLogger(__name__)

API = "api-server"
WORKERS = ("scheduler", "dag-processor")
ARGUMENTS: Mapping[str, list[str]] = {
    "migration": ["db", "migrate"],
    API: ["api-server"],
    # Logs of running tasks are read from the shared folder; a log server would listen on every interface.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
}
START_SECONDS = 240.0
GRACE_SECONDS = 20.0
RESTARTS = 5
RESTART_WINDOW = 600.0
"""A component that ends more than RESTARTS times in so many seconds will not be mended by one start more."""


class LauncherError(RuntimeError):
    """Airflow cannot be started or kept running; the message says why and what to do."""


class StopRequested(Exception):
    """Somebody wants the supervisor to end."""


@dataclass
class State:
    """What the supervisor does, as `up`, `down` and `status` read it.

    `phase` is starting, running, stopping or failed; `message` says it in words.
    """

    supervisor: Started
    url: str
    phase: str = "starting"
    message: str = "starting"
    components: dict[str, Started] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)


def state_file(settings: Settings) -> Path:
    """Where the state is kept."""
    return settings.airflow_home / "launcher.json"


def log_file(settings: Settings, component: str) -> Path:
    """Log of a component, or of the supervisor, since the last start; the one before ends in `.previous`."""
    return settings.airflow_home / "logs" / "launcher" / f"{component}.log"


def open_log(settings: Settings, component: str) -> int:
    """Begin a component's log; returns the descriptor to write to."""
    path = log_file(settings, component)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_suffix(".log.previous"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)


def read_state(settings: Settings) -> State | None:
    """The state last written, or None when nothing was started since the last `down`."""
    try:
        content: dict[str, Any] = json.loads(state_file(settings).read_text())
    except FileNotFoundError:
        return None
    content["supervisor"] = Started(**content["supervisor"])
    content["components"] = {name: Started(**value) for name, value in content["components"].items()}
    return State(**content)


def stop_components(state: State) -> None:
    """Stop what runs: first what starts tasks, last the API server that the tasks report to."""
    first = [started for name, started in state.components.items() if name != API]
    stop(first, GRACE_SECONDS)
    stop([state.components[API]] if API in state.components else [], GRACE_SECONDS)


def require_free_port(settings: Settings) -> None:
    """Raise LauncherError, naming the program that listens there, if the port is taken."""
    port = settings.airflow_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LauncherError(
                f"Port {port} is taken by {_listener(port)}. Stop that, or choose another port: "
                f"NIGHTLEDGER_AIRFLOW_PORT={port + 1}"
            ) from error


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # not ours to look at; the message does without a name
    return "another program"


class Supervisor:
    """The process that owns Airflow's components while they run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environment = environment(settings)
        self._state = State(supervisor=Started.of(os.getpid()), url=base_url(settings))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ended_at: dict[str, list[float]] = {}
        self._stop = threading.Event()

    def run(self) -> None:
        """Start everything and watch it until SIGTERM or SIGINT; then stop it.

        Raises:
            LauncherError: another supervisor of this home runs, or a component does not start or stay up.
        """
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        with self._only_one():
            try:
                self._start()
                self._watch()
            except StopRequested:
                self._shut_down("stopping", "stopping")
                state_file(self._settings).unlink()
            except LauncherError as error:
                self._shut_down("failed", str(error))
                raise

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        self._settings.airflow_home.mkdir(parents=True, exist_ok=True)
        with (self._settings.airflow_home / "launcher.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LauncherError(f"Airflow of {self._settings.home} is running already") from None
            yield

    def _start(self) -> None:
        left = read_state(self._settings)
        if left is not None:
            stop_components(left)
        require_free_port(self._settings)
        self._migrate()
        self._say("starting the API server")
        self._spawn(API)
        with AirflowClient(self._settings) as client:
            self._wait_healthy(client, ("metadatabase",))
            client.warm()
            client.ensure_pool(WRITER_POOL, 1, "One task at a time writes the open night's warehouse.")
            self._say("starting scheduler and DAG processor")
            for name in WORKERS:
                self._spawn(name)
            self._wait_healthy(client, ("scheduler", "dag_processor"))
        self._say("running", phase="running")

    def _migrate(self) -> None:
        """Bring the metadata to the installed version; the stamp saves the 5 s when it is there already."""
        stamp = self._settings.airflow_home / "migrated"
        dsn = metadata_dsn(self._settings)
        # People and roles have tables of their own, with their own migrations.
        parts = ("apache-airflow-core", "apache-airflow-providers-fab")
        version = " ".join(importlib.metadata.version(part) for part in parts)
        wanted = f"{version} {hashlib.sha256(dsn.encode()).hexdigest()}\n"
        lost = not self._settings.airflow_dsn and not (self._settings.airflow_home / "airflow.db").exists()
        if stamp.exists() and stamp.read_text() == wanted and not lost:
            return
        self._say("preparing Airflow's metadata")
        self._spawn("migration")
        while (code := self._processes["migration"].poll()) is None:
            self._pause(0.2)
        if code != 0:
            raise LauncherError(self._how_it_ended("migration", code))
        del self._processes["migration"], self._state.components["migration"]
        stamp.write_text(wanted)

    def _wait_healthy(self, client: AirflowClient, parts: tuple[str, ...]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while any((health := client.health()).get(part) != "healthy" for part in parts):
            for name, process in self._processes.items():
                if (code := process.poll()) is not None:
                    raise LauncherError(self._how_it_ended(name, code))
            if time.monotonic() > deadline:
                raise LauncherError(
                    f"After {START_SECONDS:.0f} s {' and '.join(parts)} are not healthy (health: {health}). "
                    f"Logs: {log_file(self._settings, '*')}"
                )
            self._pause(0.3)

    def _watch(self) -> None:
        while True:
            self._pause(1)
            for name, process in list(self._processes.items()):
                if (code := process.poll()) is not None:
                    self._restart(name, code)

    def _restart(self, name: str, code: int) -> None:
        """Start an ended component again, later each time.

        Raises:
            LauncherError: it has ended too often.
        """
        now = time.monotonic()
        recent = [at for at in self._ended_at.get(name, []) if now - at < RESTART_WINDOW]
        self._ended_at[name] = [*recent, now]
        how = self._how_it_ended(name, code)
        if len(recent) >= RESTARTS:
            raise LauncherError(f"{how} It was started {RESTARTS} times again; giving up.")
        log.warning("%s Starting it again.", how)
        # Workers of a dead scheduler would run on, beside those of the new one.
        stop([self._state.components[name]], 0)
        self._pause(min(2 ** len(recent), 30))
        self._state.restarts[name] = self._state.restarts.get(name, 0) + 1
        self._spawn(name)

    def _spawn(self, name: str) -> None:
        descriptor = open_log(self._settings, name)
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and fixed arguments
                [sys.executable, "-m", "airflow", *ARGUMENTS[name]],
                env=self._environment,
                cwd=self._settings.project,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        self._processes[name] = process
        self._state.components[name] = Started.of(process.pid)
        self._write()
        log.info("started %s (pid %d)", name, process.pid)

    def _shut_down(self, phase: str, message: str) -> None:
        self._say(message, phase=phase)
        stop_components(self._state)
        self._state.components = {}
        self._write()
        log.info("everything is stopped")

    def _how_it_ended(self, name: str, code: int) -> str:
        how = f"on {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"Airflow's {name} ended {how}. Its log: {log_file(self._settings, name)}."

    def _say(self, message: str, phase: str | None = None) -> None:
        log.info("%s", message)
        self._state.message = message
        self._state.phase = phase or self._state.phase
        self._write()

    def _write(self) -> None:
        path = state_file(self._settings)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(self._state), indent=1))
        temporary.replace(path)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StopRequested
