"""The warehouse beside bare DuckDB, pandas and Polars, on the same data in one run.

`make bench-warehouse [ROWS="1000000 10000000"]` makes a bank of each size, runs every side in a process of
its own (2 threads; ours with a memory limit of 4 GB), and writes `docs/reference/warehouse-speed.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.warehouse import page, sides
from benchmarks.warehouse.bank import NIGHT, make_files
from benchmarks.warehouse.frames import differences

RECORDED_WITH = 20_000
"""Transactions of the bank on which dbt's SQL is written down."""
NIGHTS = ("history", "nightly", "one_date", "published_features")
MOST_FOR_PANDAS = 2_000_000


def run_side(name: str, work: Path) -> dict[str, Any]:
    """One side in a process of its own: its figures, and what it says itself; kept, and not measured twice.

    Raises:
        RuntimeError: it failed; says its last lines.
    """
    kept = work / "figures" / f"{name}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    command = [sys.executable, "-m", "benchmarks.warehouse", "--side", name, "--work", str(work)]
    environment = os.environ | {"POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603 - our own
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    sys.stdout.write(
        f"  {name:18} {result['seconds']:8.1f} s {result['cpu_seconds']:8.1f} CPU-s"
        f" {result['peak_gb']:6.2f} GB\n"
    )
    sys.stdout.flush()
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(result))
    return result


def side(name: str, work: Path) -> None:
    """Run one side here and print its figures."""
    started, cpu = time.monotonic(), time.process_time()
    said = sides.SIDES[name](work)
    figures = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": _peak_gb(),
        **said,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _peak_gb() -> float:
    """Most resident memory since this program began; `ru_maxrss` would count the process that started it."""
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 2**20


def prepared(
    work: Path, name: str, *keep: str, one_date: bool = False, rows: int | None = None
) -> dict[str, Any]:
    """Make the build anew, outside of what is measured, and run a side on it."""
    if (work / "figures" / f"{name}.json").exists():
        return run_side(name, work)
    arguments = json.dumps({"keep": keep, "one_date": one_date, "rows": rows})
    command = [sys.executable, "-m", "benchmarks.warehouse", "--prepare", arguments, "--work", str(work)]
    subprocess.run(command, check=True)  # noqa: S603 - our own
    return run_side(name, work)


def measure(work: Path, rows: int, plans: Path) -> dict[str, Any]:
    """All sides of one size."""
    sys.stdout.write(f"{rows:,} transactions\n")
    (work / "frames").mkdir(parents=True, exist_ok=True)
    if not (work / "files" / f"core_{NIGHT:%Y%m%d}.csv").exists():
        make_files(work / "files", rows)
    if not (work / "plans").exists():
        (work / "plans").symlink_to(plans)
    # What is compared with each other runs one after the other: a machine is not the same all hour.
    found: dict[str, Any] = {name: run_side(name, work) for name in NIGHTS}
    found["features"] = prepared(work, "features", *sides.replay.BUILT, one_date=True)
    if rows <= MOST_FOR_PANDAS:
        sides.export(work)
        found["in_pandas"] = run_side("in_pandas", work)
        found["differences"] = _differences(work)
        found["rolling"] = prepared(work, "rolling", *sides.replay.BUILT)
        found["rolling_in_pandas"] = run_side("rolling_in_pandas", work)
        found["rolling_in_polars"] = run_side("rolling_in_polars", work)
        found["small"] = prepared(work, "small", one_date=True, rows=sides.SMALL)
    found["from_file"] = prepared(work, "from_file", one_date=True)
    found["in_polars"] = run_side("in_polars", work)
    found["dbt_build"] = prepared(work, "dbt_build")
    found["bare_build"] = prepared(work, "bare_build")
    return found


def _differences(work: Path) -> dict[str, int]:
    import duckdb

    with duckdb.connect() as connection:
        folder = work / "frames"
        return differences(connection, folder / "features.parquet", folder / "pandas.parquet")


def run(work: Path, sizes: list[int], target: Path | None) -> None:
    """Measure every size and write the page."""
    small = work / "recorded"
    if not (small / "plans" / "of_transactions.json").exists():
        sys.stdout.write("writing down dbt's SQL\n")
        small.mkdir(parents=True, exist_ok=True)
        make_files(small / "files", RECORDED_WITH)
        run_side("history", small)
        run_side("record", small)
    results = {rows: measure(work / str(rows), rows, small / "plans") for rows in sizes}
    (work / "results.json").write_text(json.dumps(results, indent=1))
    text = page.render(results)
    sys.stdout.write(text)
    if target:
        target.write_text(text)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument(
        "--work",
        type=Path,
        help="keep everything here, and go on from it; default: a directory that is removed",
    )
    parser.add_argument("--write", type=Path, help="the page to write")
    parser.add_argument("--side", choices=sorted(sides.SIDES))
    parser.add_argument("--prepare")
    given = parser.parse_args()
    if given.side:
        side(given.side, given.work)
    elif given.prepare:
        wanted = json.loads(given.prepare)
        sides.prepare(given.work, *wanted["keep"], one_date=wanted["one_date"], rows=wanted["rows"])
    elif given.work:
        run(given.work, given.rows, given.write)
    else:
        with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
            run(Path(folder), given.rows, given.write)


if __name__ == "__main__":
    main()
