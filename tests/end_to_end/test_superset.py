"""The dashboards on a night's publication, in Superset's own environment."""

import subprocess
from pathlib import Path

from tests.helpers.steps import unmeasured

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = PROJECT / ".venv-superset" / "bin" / "python"


def test_superset_shows_what_was_published(undisturbed_home: Path) -> None:
    """Catches a chart, a role or a rule that fails on what a night publishes; tests/superset says which."""
    told = {
        "NIGHTLEDGER_TEST_BUILDS": str(undisturbed_home / "builds"),
        "PYTHONPATH": str(PROJECT / "superset"),
    }
    words = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--confcutdir",
        "tests/superset",
        "tests/superset",
    ]
    done = subprocess.run(
        [str(PYTHON), *words],
        cwd=PROJECT,
        env=unmeasured() | told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
