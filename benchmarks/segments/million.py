"""A million customers assigned by the night's own step: features from DuckDB, segments into Parquet."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np

from ml import config
from ml.partitions import Pin
from ml.segments import choice, scaling, steps
from ml.segments.config import Segments
from ml.segments.model import Segment, Segmentation, nearest
from nightledger import warehouse
from nightledger.settings import Settings

AS_OF = date(2026, 6, 30)
MOST_SECONDS, MOST_GB = 10.0, 4.0


def measure(model: str, rows: int) -> dict[str, Any]:
    """Seconds and memory of a process that does nothing else."""
    with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
        build = Path(folder)
        _make(build, model, rows)
        command = [sys.executable, "-m", "benchmarks.segments.million", model, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        return cast(dict[str, Any], json.loads(done.stdout.splitlines()[-1]))


def _make(build: Path, model: str, rows: int) -> None:
    """A build with features of so many customers, and an artefact with eight centres."""
    described = cast(Segments, config.read(model))
    columns = [*described.columns, *({"transactions_90d"} - set(described.columns))]
    values = ", ".join(f'(random() * 100 + 1)::float as "{name}"' for name in columns)
    with warehouse.connect(build, read_only=False, settings=_settings()) as connection:
        connection.execute("set threads = 1; select setseed(0.5)")
        connection.execute(f"""
            create schema features;
            create table features.features_customers as
            select 'bank' as client_id, 'customer-' || lpad(n::varchar, 8, '0') as customer_id,
                date '{AS_OF}' as as_of_date, {values}, 'd1' as _definition_hash
            from range({rows}) as t(n);
        """)  # noqa: S608 - our own text
    raw = np.random.default_rng(7).uniform(1, 101, (20_000, len(described.columns)))
    frozen = scaling.fit(described.scaling, raw, 7)
    centres = choice.fit(frozen(raw), 8, 1, 7)
    shares = np.bincount(nearest(frozen(raw), centres)[0], minlength=8) / len(raw)
    own = Segmentation(
        as_of=AS_OF,
        predecessor="",
        scaling=frozen,
        centres=tuple(map(tuple, centres.tolist())),
        segments=tuple(Segment(n + 1, f"Segment {n + 1}", "new", AS_OF) for n in range(8)),
        retired=(),
        shares=tuple(shares.tolist()),
        definitions={},
        definition_hash="d1",
        described={},
    )
    for name, content in own.files().items():
        (build / name).write_bytes(content)


def _settings() -> Settings:
    return Settings(memory_limit="2GB", threads=2, _env_file=None)


def main() -> None:
    """Assign, and print the figures."""
    model, folder = sys.argv[1:]
    build = Path(folder)
    files = {"model.json": (build / "model.json").read_bytes()}
    pin = Pin(f"{model}.bank", AS_OF, "v1", "champion")
    started, cpu = time.monotonic(), time.process_time()
    with warehouse.connect(build, settings=_settings()) as connection:
        rows = steps.score(connection, _settings(), build, pin, config.read(model), files)
    figures = {
        "rows": rows,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
