"""Opens Evidently's own pages on the reports, until Ctrl-C; `make evidently` runs it.

Whoever can reach the port can read the reports and change the workspace, which is made anew each time: it is
for the person at this machine. Airflow's *Drift reports* ask who is there.
"""

import os
import subprocess
import sys
from pathlib import Path

from nightledger import drift_reports
from nightledger.servers import foreground
from nightledger.servers.foreground import PagesError, Server
from nightledger.settings import Settings, SettingsError, read_settings


def server(settings: Settings) -> Server:
    """What is started: Evidently's server on this machine only, which phones nobody."""
    return Server(
        name="Evidently",
        target="evidently",
        command=[
            *(str(Path(sys.executable).with_name("evidently")), "ui"),
            *("--host", "127.0.0.1", "--port", str(settings.evidently_port)),
            *("--workspace", str(drift_reports.workspace(settings))),
        ],
        environment={**os.environ, "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"},
        folder=settings.home,
        port=settings.evidently_port,
        health="/api/version",
        greeting=f"Evidently shows the reports at http://127.0.0.1:{settings.evidently_port}/",
    )


def serve(settings: Settings) -> None:
    """Make the workspace and show it until Ctrl-C or a signal.

    Raises:
        PagesError: there is no report yet, the port is taken, or the server does not start.
    """
    if not any(index["reports"] for index in drift_reports.all_written(settings)):
        raise PagesError(
            f"There are no reports in {settings.home} yet: they are drawn after a night that scored "
            "(DAG `reports`, or `make reports`)."
        )
    ours = server(settings)
    foreground.refuse_taken_port(ours)
    # In a process of its own: Evidently is large, and this one only waits.
    subprocess.run([sys.executable, "-m", "ml.reports.workspace"], check=True)
    foreground.serve(ours)


def main() -> int:
    """Open the pages; returns the exit code."""
    try:
        serve(read_settings())
    except (PagesError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
