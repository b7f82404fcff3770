"""Opens MLflow's own pages on the registry, until Ctrl-C; `make mlflow` runs it.

MLflow's server wants an older pyarrow than all the rest, so it has an environment of its own. Models score by
what was decided (`make decisions`): an alias that somebody changes on these pages lasts until the next
decision.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import sqlalchemy as sa

from nightledger import airflow_processes
from nightledger.settings import PROJECT, Settings, SettingsError, read_settings

SERVER = PROJECT / ".venv-mlflow" / "bin" / "mlflow"
START_SECONDS = 120.0
STOP_SECONDS = 20.0


class PagesError(RuntimeError):
    """The pages cannot be opened; the message says why."""


class _Ended(Exception):
    """A signal asked for the end."""


def environment(settings: Settings) -> dict[str, str]:
    """What the server is told; the URI may hold a password, so it is on no command line.

    Raises:
        PagesError: there is nothing to show.
    """
    url = sa.make_url(settings.registry_uri)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise PagesError(
            f"Nothing has been trained in {settings.home} yet. `make demo` trains a first model."
        )
    return {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": settings.registry_uri,
        "MLFLOW_REGISTRY_STORE_URI": settings.registry_uri,
        "MLFLOW_ARTIFACTS_DESTINATION": str(settings.registry),
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(settings.mlflow_port),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_UVICORN_OPTS": "--log-level warning",
        # Otherwise it starts eight more processes for jobs that nobody here asks for.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "PYTHONWARNINGS": "ignore",
    }


def serve(settings: Settings) -> None:
    """Show the pages until Ctrl-C or a signal, and leave no process behind.

    Raises:
        PagesError: nothing to show, the port is taken, or the server does not start.
    """
    given = environment(settings)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.mlflow_port))
        except OSError as error:
            raise PagesError(
                f"Port {settings.mlflow_port} is taken; choose another: NIGHTLEDGER_MLFLOW_PORT=… make mlflow"
            ) from error
    # A session of its own, so that all it started can be found; the signals come to us.
    server = subprocess.Popen(  # noqa: S603 - our own environment and fixed arguments
        [str(SERVER), "server"],
        cwd=settings.home,
        env=given,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    started = airflow_processes.Started.of(server.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        _wait_until_up(settings, server)
        address = f"http://127.0.0.1:{settings.mlflow_port}/#/models?workflowType=machine_learning"
        sys.stdout.write(f"MLflow shows the registry at {address} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        code = server.wait()
        raise PagesError(f"MLflow's server ended by itself with code {code}; its own words stand above.")
    except _Ended:
        sys.stdout.write("\nMLflow is stopped.\n")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        airflow_processes.stop([started], STOP_SECONDS)
        server.wait()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise _Ended


def _wait_until_up(settings: Settings, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{settings.mlflow_port}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise PagesError("MLflow's server did not start; its own words stand above.")


def main() -> int:
    """Open the pages; returns the exit code."""
    try:
        settings = read_settings()
        if settings.registry_uri.startswith("http"):
            host = urlsplit(settings.registry_uri)
            where = f"{host.scheme}://{host.hostname}" + (f":{host.port}" if host.port else "")
            sys.stdout.write(f"The registry is a server of its own, with these pages: {where}\n")
            return 0
        if not SERVER.exists():
            raise PagesError("Its environment is missing; `make mlflow` makes it.")
        serve(settings)
    except (PagesError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
