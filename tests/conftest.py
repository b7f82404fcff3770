"""Gives the tests an installation of their own, before the first import of Airflow, which reads it once."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nightledger.airflow.environment import AUTH_MANAGER
from nightledger.dbt import project
from nightledger.settings import Settings

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

PROJECT = Path(__file__).resolve().parents[1]
_TEMPORARY = tempfile.TemporaryDirectory(prefix="nightledger-tests-")
_HOME = Path(_TEMPORARY.name)

# What the developer has set up for their own installation must not reach a test.
Settings.model_config["env_file"] = None
for name in {f"NIGHTLEDGER_{field.upper()}" for field in Settings.model_fields} & os.environ.keys():
    del os.environ[name]
for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
os.environ.update(
    NIGHTLEDGER_HOME=str(_HOME / "home"),
    AIRFLOW_HOME=str(_HOME / "airflow"),
    AIRFLOW__CORE__DAGS_FOLDER=str(PROJECT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(PROJECT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__AUTH_MANAGER=AUTH_MANAGER,
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME / 'airflow.db'}",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
    AIRFLOW__API_AUTH__JWT_SECRET="test-only-" * 8,
    AIRFLOW__API__SECRET_KEY="test-only",
    DO_NOT_TRACK="1",
    DBT_SEND_ANONYMOUS_USAGE_STATS="false",
)

_INVOKE = project._invoke


def _invoke_untraced(*arguments: Any, **keywords: Any) -> Any:
    """Run dbt without the tracer of the coverage: dbt calls no code of ours, and tracing doubles its time."""
    tracers = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        return _INVOKE(*arguments, **keywords)
    finally:
        sys.settrace(tracers[0])
        threading.settrace(tracers[1])  # type: ignore[arg-type]


project._invoke = _invoke_untraced


@pytest.fixture(scope="session")
def dagbag() -> "DagBag":
    """The DAGs of the project as the scheduler parses them; needs no database."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(PROJECT / "dags"))


@pytest.fixture(scope="session")
def airflow_db() -> Iterator[None]:
    """Airflow's metadata, empty, at the newest revision."""
    from airflow.utils import db

    db.initdb()
    yield
