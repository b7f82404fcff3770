"""What a night's counting for drift costs: all rows of a model, all of its features, in the training's bins.

The rows lie in a file of vectors as scoring leaves it, and are counted by the night's own step
(`ml.profiles.write`), beside a bare `sum` of each column, which is the cost of reading them; and once more
as of a champion, beside as many rows of last year. Which rows last year's are is the model's own query: it
is not in it. Each side is a process of its own with two threads. `make bench-drift` prints the table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

AS_OF = date(2026, 6, 30)
MOST_SECONDS, MOST_GB, CORES = 10.0, 2.0, 2
"""The goal, on idle cores: so many CPU seconds a core."""


def make(build: Path, rows: int, columns: int) -> None:
    """Write vectors, scores and the profile that a training on a fifth of the rows would have kept."""
    from ml import profiles
    from ml.partitions import BATCH, Pin, folder

    names = [f"f{n}" for n in range(columns)]
    rng = np.random.default_rng(7)

    def some(size: int) -> pa.Table:
        values = rng.lognormal(size=(columns, size)).astype(np.float32)
        values[rng.random(values.shape) < 0.05] = np.nan
        table = pa.table(
            {name: pa.array(column, from_pandas=True) for name, column in zip(names, values, strict=True)}
        )
        return table.append_column("client_id", pa.repeat("bank", size)).append_column(
            "score", pa.array(rng.random(size).astype(np.float32))
        )

    places = {
        kind: folder(build / "lake", kind, Pin("wide", AS_OF, "v1", "challenger"))
        for kind in ("vectors", "scores")
    }
    for place in places.values():
        place.mkdir(parents=True)
    schema = some(1).schema
    with (
        pq.ParquetWriter(
            places["vectors"] / "part.parquet", schema.remove(schema.get_field_index("score"))
        ) as vectors,
        pq.ParquetWriter(
            places["scores"] / "part.parquet", pa.schema([schema.field("client_id"), schema.field("score")])
        ) as scores,
    ):
        for start in range(0, rows, BATCH):
            table = some(min(BATCH, rows - start))
            vectors.write_table(table.drop_columns("score"))
            scores.write_table(table.select(["client_id", "score"]))
    fitted = some(rows // 5)
    fitted = fitted.append_column("day", pa.repeat(pa.scalar(AS_OF), fitted.num_rows))
    (build / "profile.json").write_text(profiles.reference(fitted, names, {}, fitted))


@contextmanager
def last_year(connection: duckdb.DuckDBPyConnection, vectors: Path) -> Iterator[None]:
    """Let the same rows stand for those of the year before."""
    from ml import profiles

    def choose(*_: object) -> None:
        connection.execute(f"create temp table _before as from read_parquet('{vectors}')")

    with (
        mock.patch.object(profiles, "_a_year_before", lambda *_: {"bank": date(2025, 6, 30)}),
        mock.patch.object(profiles, "_choose_rows_of", choose),
    ):
        yield


def side(name: str, build: Path, columns: int) -> dict[str, float]:
    """Run one side; CPU seconds, seconds and peak memory of this process, without its start."""
    from ml import config, profiles
    from ml.features import Feature
    from ml.partitions import Pin, folder
    from nightledger.settings import Settings

    settings = Settings(home=build, threads=CORES, _env_file=None)
    role = "champion" if name == "with last year" else "challenger"
    features = [Feature(f"f{n}", "", "number", "") for n in range(columns)]
    pin = Pin("wide", AS_OF, "v1", role)
    profile = (build / "profile.json").read_text()
    use_case = config.load("churn")
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {CORES}; set memory_limit = '1GB'")
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        place = folder(build / "lake", "vectors", pin) / "part.parquet"
        if name != "read":
            with last_year(connection, place):
                profiles.write(connection, settings, build, pin, use_case, features, profile)
        else:
            sums = ", ".join(f"sum({feature.name})" for feature in features)
            connection.execute(f"select {sums} from read_parquet('{place}')").fetchall()  # noqa: S608
        after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "seconds": time.perf_counter() - started,
        "gb": after.ru_maxrss / 1e6,
    }


def main() -> int:
    """Print the table; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=75)
    parser.add_argument("--side")
    parser.add_argument("--build", type=Path)
    asked = parser.parse_args()
    if asked.side:
        sys.stdout.write(json.dumps(side(asked.side, asked.build, asked.columns)))
        return 0
    with tempfile.TemporaryDirectory(prefix="nightledger-drift-") as folder:
        make(Path(folder), asked.rows, asked.columns)
        found = {}
        for name in ("read", "counted", "with last year"):
            command = [sys.executable, "-m", "benchmarks.drift", "--side", name, "--build", folder]
            told = subprocess.run(  # noqa: S603 - our own module
                [*command, "--columns", str(asked.columns)], check=True, capture_output=True, text=True
            )
            found[name] = json.loads(told.stdout)
    counted = found["with last year"]
    is_met = counted["cpu"] / CORES <= MOST_SECONDS and counted["gb"] <= MOST_GB
    lines = [
        f"{asked.rows:,} rows × {asked.columns} features, {CORES} threads, load {os.getloadavg()[0]:.1f}",
        *(
            f"{n:14} {of['cpu']:6.1f} CPU-s {of['seconds']:6.1f} s {of['gb']:5.2f} GB"
            for n, of in found.items()
        ),
        f"{MOST_SECONDS:.0f} s on {CORES} idle cores and {MOST_GB:.0f} GB: {'met' if is_met else 'missed'}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
