"""A few of the faults that `make drill-faults` plants, so that every change meets them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.steps import unmeasured

pytestmark = pytest.mark.slow


def test_disturbed_nights_end_as_undisturbed_ones(first_home):
    """Catches a step of publishing that cannot be repeated, a damaged base that is built on, and errors that
    do not say what to do. A process of its own, because it forks, and pytest has threads by now."""
    drill = subprocess.run(
        [sys.executable, "-m", "tests.drills", "--quick", "--start", str(first_home)],
        cwd=Path(__file__).resolve().parents[2],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert drill.returncode == 0, drill.stdout[-3000:] + drill.stderr[-3000:]
