"""Opens MLflow's own pages on the registry, until Ctrl-C; `make mlflow` runs it.

MLflow's server wants an older pyarrow than all the rest, so it has an environment of its own. Models score by
what was decided (`make decisions`): an alias that somebody changes on these pages lasts until the next
decision.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from nightledger.servers import foreground
from nightledger.servers.foreground import PagesError
from nightledger.settings import PROJECT, Settings, SettingsError, read_settings

SERVER = PROJECT / ".venv-mlflow" / "bin" / "mlflow"


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
    address = f"http://127.0.0.1:{settings.mlflow_port}/#/models?workflowType=machine_learning"
    foreground.serve(
        foreground.Server(
            name="MLflow",
            target="mlflow",
            command=[str(SERVER), "server"],
            environment=environment(settings),
            folder=settings.home,
            port=settings.mlflow_port,
            health="/health",
            greeting=f"MLflow shows the registry at {address}",
        )
    )


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
