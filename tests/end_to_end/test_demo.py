"""The main job on a small real file: through Airflow's scheduler and LocalExecutor, then once more."""

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.steps import unmeasured

pytestmark = pytest.mark.slow

EXCERPTS = Path(__file__).resolve().parents[1] / "data"


def files_of(home: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of a home but its logs."""
    return {
        str(path.relative_to(home)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in home.rglob("*")
        if not path.is_dir() and "logs" not in path.relative_to(home).parts
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def demo(tmp_path):
    """Runs the demo on a folder that holds one real file, in a home of its own."""
    inbox, home = tmp_path / "inbox", tmp_path / "home"
    inbox.mkdir()
    excerpt = next(EXCERPTS.glob("birmingham_*.csv.gz"))
    (inbox / excerpt.name).write_bytes(excerpt.read_bytes())
    environment = unmeasured() | {
        "NIGHTLEDGER_HOME": str(home),
        "NIGHTLEDGER_INBOX": str(inbox),
        "NIGHTLEDGER_AIRFLOW_PORT": str(free_port()),
        "COLUMNS": "140",
    }
    for name in [name for name in environment if name.startswith("AIRFLOW_")]:
        del environment[name]

    def run(command: str = "run") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "nightledger.demo", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return home, run


def test_the_demo_publishes_says_why_there_are_no_scores_and_repeats_without_a_trace(demo):
    """Catches a main job that only works in pieces, and a second run that changes what is published."""
    home, run = demo
    first = run()
    assert "churn: Too few matured dates" in first
    assert "none: no model has been promoted" in first
    assert "Records in" in first
    with sqlite3.connect(home / "airflow" / "airflow.db") as metadata:
        runs = dict(metadata.execute("select dag_id, state from dag_run").fetchall())
    assert runs == {"history": "success", "train": "success", "nightly": "success"}
    before = files_of(home)
    second = run()
    assert "no file has been changed" in second
    assert files_of(home) == before
