"""`make bench-scoring` on few rows: it builds by hand what a night leaves, and must keep up with it."""

import subprocess
import sys

from nightledger.settings import PROJECT
from tests.helpers.steps import unmeasured


def test_the_benchmark_runs() -> None:
    """Catches a step of scoring that reads what the benchmark's own build lacks."""
    words = [sys.executable, "benchmarks/scoring.py", "--reasons", "0", "--scores", "500"]
    done = subprocess.run(words, cwd=PROJECT, env=unmeasured(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| 500 × 75 |" in done.stdout
