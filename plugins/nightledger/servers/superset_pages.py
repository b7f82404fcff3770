"""Starts and stops Superset on this installation's publications; `make superset` runs it.

`python -m nightledger.servers.superset_pages up | down | status | refresh`. Superset has an environment of
its own (`.venv-superset`), which holds all that it does; here it is only started and told the settings.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from nightledger import warehouse
from nightledger.servers import processes as airflow_processes
from nightledger.servers.processes import Started
from nightledger.settings import PROJECT, Settings, SettingsError, read_settings

PYTHON = PROJECT / ".venv-superset" / "bin" / "python"
PACKAGE = PROJECT / "superset"
START_SECONDS = 180.0
STOP_SECONDS = 20.0


class PagesError(RuntimeError):
    """Superset cannot be started, or not told something; the message says why and what to do."""


def address(settings: Settings) -> str:
    """Superset as browsers reach it."""
    return settings.superset_address or f"http://127.0.0.1:{settings.superset_port}"


def environment(settings: Settings) -> dict[str, str]:
    """What every process of Superset is told, from `.env` too; secrets are on no command line."""
    told = {
        "HOME": str(settings.home),
        "CLIENTS": str(settings.clients),
        "THREADS": str(settings.threads),
        "SUPERSET_HOST": settings.superset_host,
        "SUPERSET_PORT": str(settings.superset_port),
        "SUPERSET_ADDRESS": address(settings),
        "SUPERSET_EMBEDDED_IN": settings.superset_embedded_in,
        "SUPERSET_INTERNAL_ADDRESS": settings.superset_internal_address,
        "SUPERSET_DSN": settings.superset_dsn,
        "SUPERSET_REDIS": settings.superset_redis,
        "SUPERSET_SECRET_KEY": _plain(settings.superset_secret_key),
        "SUPERSET_ADMIN_PASSWORD": _plain(settings.superset_admin_password),
        "SUPERSET_MEMORY_LIMIT": settings.superset_memory_limit,
        "SMTP_URL": _plain(settings.smtp_url),
        "REPORT_SENDER": settings.report_sender,
        "BROWSER": settings.browser,
    }
    # Airflow's tasks and our own Python path must not reach into the other environment.
    outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AIRFLOW"))}
    return {
        **outer,
        **{f"NIGHTLEDGER_{name}": value for name, value in told.items()},
        "PYTHONPATH": str(PACKAGE),
        "PYTHONWARNINGS": "ignore",
    }


def up(settings: Settings) -> None:
    """Bring Superset to what git says and start it; what is there and runs already stays as it is.

    Raises:
        PagesError: nothing has been published yet, the port is taken, or a step failed.
    """
    if warehouse.publication_path(settings) is None:
        raise PagesError(
            f"Nothing has been published in {settings.home} yet, so there is nothing to show. "
            "`make demo` makes a first night; then `make superset` again."
        )
    before = _prepared(settings)
    _command(settings, "prepare")
    running = _read_state(settings)
    if running is not None and running.is_alive():
        if _prepared(settings) == before:
            _tell(f"Superset is running already at {address(settings)}. {_log_in(settings)}")
            return
        # Its code and settings may have changed as well, and these are read once.
        airflow_processes.stop([running], STOP_SECONDS)
    _refuse_taken_port(settings)
    _start(settings)
    _tell(f"Superset is running at {address(settings)}. {_log_in(settings)}")


def _log_in(settings: Settings) -> str:
    file = settings.home / "secrets" / "superset-passwords.json"
    where = "NIGHTLEDGER_SUPERSET_ADMIN_PASSWORD" if _plain(settings.superset_admin_password) else str(file)
    return f"Log in as admin; the password is in {where}"


def down(settings: Settings) -> None:
    """Stop what `up` started, and nothing else."""
    running = _read_state(settings)
    if running is None:
        _tell("Superset is not running.")
        return
    airflow_processes.stop([running], STOP_SECONDS)
    _state_file(settings).unlink(missing_ok=True)
    _tell("Superset is stopped.")


def status(settings: Settings) -> bool:
    """Print whether it runs; returns that."""
    running = _read_state(settings)
    if running is None:
        _tell("Superset is not running. `make superset` starts it.")
        return False
    answers = running.is_alive() and _answers(settings)
    words = (
        "running"
        if answers
        else "not answering"
        if running.is_alive()
        else "gone (`make superset` starts it)"
    )
    _tell(f"Superset at {address(settings)}: {words}. Log: {_log_file(settings)}")
    return answers


def refresh(settings: Settings, seconds: float | None = None) -> str:
    """Compute the answers of all dashboards on the newest publication, if Superset was ever set up here.

    Args:
        settings: of the installation.
        seconds: to give up after.

    Raises:
        PagesError: it failed or took too long. Nobody is served anything stale: the first reader of a page
            only waits a little longer.
    """
    if not PYTHON.exists() or not _prepared(settings):
        nothing = "Superset is not set up in this home: nothing to warm"
        _tell(nothing)
        return nothing
    return _command(settings, "refresh", seconds=seconds)


def _command(settings: Settings, command: str, seconds: float | None = None) -> str:
    """Run a command of Superset's environment; what it says is shown at once, and its last line returned."""
    if not PYTHON.exists():
        raise PagesError("Superset's environment is missing; `make superset` makes it.")
    log = _log_file(settings).with_name(f"{command}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    last = ""
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own environment and fixed arguments
            [str(PYTHON), "-m", "nightledger_superset", command],
            cwd=settings.project,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        alarm = threading.Timer(seconds, process.kill) if seconds else None
        if alarm:
            alarm.start()
        for line in process.stdout or ():
            if line.startswith("  Superset: "):  # Superset's own lines go without
                last = line.removeprefix("  Superset: ").strip()
                _tell(line.rstrip())
    code = process.wait()
    if alarm:
        alarm.cancel()
    if code != 0:
        raise PagesError(
            f"Superset's `{command}` failed. {log.read_text()[-2000:].strip()}\nAll of it: {log}"
        )
    return last


def _start(settings: Settings) -> None:
    log = _log_file(settings)
    if log.exists():
        log.replace(log.with_suffix(".log.previous"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        server = subprocess.Popen(  # noqa: S603 - our own environment and fixed arguments
            [str(PYTHON), "-m", "nightledger_superset", "web"],
            cwd=settings.project,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    started = Started.of(server.pid)
    _state_file(settings).write_text(json.dumps(started.as_dict()) + "\n")
    _tell("  Superset: starting …")
    deadline = time.monotonic() + START_SECONDS
    while not _answers(settings):
        if server.poll() is not None or time.monotonic() > deadline:
            airflow_processes.stop([started], STOP_SECONDS)
            _state_file(settings).unlink()
            raise PagesError(f"Superset did not start. {log.read_text()[-1000:].strip()}\nAll of it: {log}")
        time.sleep(0.3)


def _refuse_taken_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.superset_port))
        except OSError as error:
            raise PagesError(
                f"Port {settings.superset_port} is taken; choose another: "
                "NIGHTLEDGER_SUPERSET_PORT=… make superset"
            ) from error


def _answers(settings: Settings) -> bool:
    """Whether Superset answers on its port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.superset_port}/health", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def _prepared(settings: Settings) -> str:
    """Fingerprint of what Superset was last brought to; empty before the first time."""
    mark = settings.home / "superset" / "prepared"
    return mark.read_text() if mark.exists() else ""


def _state_file(settings: Settings) -> Path:
    return settings.home / "superset" / "server.json"


def _log_file(settings: Settings) -> Path:
    return settings.home / "superset" / "server.log"


def _read_state(settings: Settings) -> Started | None:
    try:
        return Started(**json.loads(_state_file(settings).read_text()))
    except FileNotFoundError:
        return None


def _plain(secret: object) -> str:
    return secret.get_secret_value() if hasattr(secret, "get_secret_value") else ""


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.servers.superset_pages", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "refresh"))
    command = parser.parse_args().command
    try:
        settings = read_settings()
        match command:
            case "up":
                up(settings)
            case "down":
                down(settings)
            case "status":
                return 0 if status(settings) else 1
            case "refresh":
                refresh(settings)
    except (PagesError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
