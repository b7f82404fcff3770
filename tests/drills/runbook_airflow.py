"""The alert that only Prometheus can raise: Airflow does not answer."""

import contextlib
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

from nightledger.airflow import launcher
from nightledger.airflow.supervisor import read_state

if TYPE_CHECKING:
    from tests.drills.runbooks import Drill

TOKEN = "told-to-prometheus"


def answers(drill: "Drill") -> bool:
    """Whether Prometheus could read the metrics."""
    address = f"http://127.0.0.1:{drill.settings.airflow_port}/nightledger/metrics"
    asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return b"nightledger_alert" in answer.read()
    except (urllib.error.URLError, OSError):
        return False


def no_answer(drill: "Drill", look: Callable[[], None]) -> None:
    """Everything that serves is killed, as by a machine that has run out of memory."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    drill.changes = {"airflow_port": port}
    drill.environment = {
        "NIGHTLEDGER_AIRFLOW_PORT": str(port),
        "NIGHTLEDGER_METRICS_TOKEN": TOKEN,
        "NIGHTLEDGER_SCHEDULE": "",
    }
    up = "python -m nightledger.airflow.launcher up"
    drill.command(up)
    assert answers(drill), "it must answer before it is killed"
    drill.done.clear()
    state = read_state(drill.settings)
    assert state is not None
    os.kill(state.supervisor.pid, signal.SIGKILL)
    os.kill(state.components["api-server"].pid, signal.SIGKILL)
    look()
    # `make up` is this command and the dashboards.
    drill.command(up)


def stop(drill: "Drill") -> None:
    """Leave no process of this case behind."""
    if drill.environment:
        with contextlib.suppress(launcher.LauncherError):
            launcher.down(drill.settings)
