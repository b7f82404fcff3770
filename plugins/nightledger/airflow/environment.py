"""The environment that every Airflow component runs in, and the secrets of an installation's Airflow.

Nothing here imports Airflow: Airflow reads its configuration once, at its first import.
"""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from nightledger.settings import Settings

ADMIN = "admin"
COMMANDS = "nightledger"
"""Account of our own commands, so that people may change their passwords without breaking `make`."""
AUTH_MANAGER = "nightledger.airflow.auth.AuthManager"
WRITER_POOL = "warehouse_writer"

TUNING = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # Each idle worker is a process of its own; a night never runs more than a few tasks at once.
    "AIRFLOW__CORE__PARALLELISM": "4",
    # With the defaults a finished worker lingers for up to 5 s after each short task.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # One heartbeat a second: a restart of the API server must not kill the running task.
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "90",
    # A killed worker is noticed, and its task tried again, after a minute and a half instead of five.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    # Parsing three files every 30 s costs more than anything else while idle.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
    "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
    # Minutes after which a person logs in again, also one whose tab is open; Airflow's own are 30 days.
    "AIRFLOW__FAB__SESSION_MAX_LIFETIME_MINUTES": "720",
    # dbt leaves semaphores to the end of its process, which Airflow cuts short: an ERROR in each task's log.
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}
"""May be overridden from outside; what `environment` adds to it may not."""


def base_url(settings: Settings) -> str:
    """Address of the UI and the API, on this machine only."""
    return f"http://127.0.0.1:{settings.airflow_port}"


def environment(settings: Settings, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables for every Airflow process of the installation; secrets are made when missing."""
    keys = _secrets(settings)
    environment = {**TUNING, **outer}
    # Each process would compile all of Airflow again: 4.7 s instead of 1.9 s a start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.update(
        AIRFLOW_HOME=str(settings.airflow_home),
        AIRFLOW__CORE__DAGS_FOLDER=str(settings.project / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(settings.project / "plugins"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__EXECUTOR="LocalExecutor",
        AIRFLOW__CORE__FERNET_KEY=keys["fernet_key"],
        AIRFLOW__CORE__AUTH_MANAGER=AUTH_MANAGER,
        AIRFLOW__FAB__CONFIG_FILE=str(log_in_file(settings)),
        AIRFLOW__API__HOST="127.0.0.1",
        AIRFLOW__API__PORT=str(settings.airflow_port),
        # Workers report to this address: with the port alone changed, every task fails to connect.
        AIRFLOW__API__BASE_URL=base_url(settings),
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"{base_url(settings)}/execution/",
        AIRFLOW__API__SECRET_KEY=keys["secret_key"],
        AIRFLOW__API_AUTH__JWT_SECRET=keys["jwt_secret"],
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=metadata_dsn(settings),
        DO_NOT_TRACK="1",
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        NIGHTLEDGER_HOME=str(settings.home),
    )
    return environment


def metadata_dsn(settings: Settings) -> str:
    """SQLAlchemy URL of Airflow's metadata."""
    return settings.airflow_dsn or f"sqlite:///{settings.airflow_home / 'airflow.db'}"


def log_in_file(settings: Settings) -> Path:
    """How people log in, as Flask-AppBuilder reads it: the installation's own file, or else ours."""
    own = settings.airflow_home / "webserver_config.py"
    return own if own.exists() else Path(__file__).with_name("log_in.py")


def passwords_file(settings: Settings) -> Path:
    """File that holds the first password of the user admin, `{"admin": "…"}`, which the first start reads."""
    path = settings.home / "secrets" / "airflow-passwords.json"
    if not path.exists():
        _write_secret(path, {ADMIN: secrets.token_urlsafe(12)})
    return path


def admin_password(settings: Settings) -> str:
    """First password of the user `admin`."""
    passwords: dict[str, str] = json.loads(passwords_file(settings).read_text())
    return passwords[ADMIN]


def commands_password(settings: Settings) -> str:
    """Password of the account of our commands; without the file the next start of Airflow has a new one."""
    path = settings.home / "secrets" / "airflow-commands.json"
    if not path.exists():
        _write_secret(path, {COMMANDS: secrets.token_urlsafe(32)})
    passwords: dict[str, str] = json.loads(path.read_text())
    return passwords[COMMANDS]


def _secrets(settings: Settings) -> dict[str, str]:
    path = settings.home / "secrets" / "airflow.json"
    if not path.exists():
        _write_secret(
            path,
            {
                "jwt_secret": secrets.token_hex(48),
                "secret_key": secrets.token_hex(32),
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            },
        )
    keys: dict[str, str] = json.loads(path.read_text())
    return keys


def _write_secret(path: Path, content: dict[str, str]) -> None:
    """Write a file that only its owner may read, whole or not at all; an existing one stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content) + "\n")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process was first; its secrets are the ones that count
    finally:
        temporary.unlink()
