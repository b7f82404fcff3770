"""Batch scoring beside the bare booster, on the same rows in one run.

Each side is a process of its own with two threads. The bare side has the features as an Arrow table in memory
and asks the booster: contributions, or Arrow → DMatrix → predict. Beside it stand the batches, which also
begin with an Arrow table in memory: out come score, margin, band, interval, support, range, expected value
and receipt; with reasons also the three strongest in words, with a what-if each, as columns that only have to
be written.

The third side is the night's own step, and its CPU time is taken apart:

- start: imports, registry, the artefact's hashes, definitions of the features compared;
- rows: SQL over the transactions of the build: who is scored, the money at stake, medians of peers;
- scored, written: the features read from the build in key order, the batches, and scores, reasons, what-ifs
  and vectors written as Parquet;
- drift: the scored rows counted beside the training's, and the search for scores whose labels have matured.

`make bench-scoring` writes `docs/reference/scoring-speed.md`.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

AS_OF = date(2026, 6, 30)
TREES, DEPTH = 200, 3
FEATURES = {"reasons": 65, "scores": 75}
"""By task: with reasons for everybody, or scores only."""
MOST = {"reasons": 1.5, "scores": 1.3}
MOST_GB = 4.0
CLOSING = """The limits are for the batches. Whoever holds them against the whole step finds the second
missed. With reasons the whole step is hardly dearer, as contributions are nearly all of it. Without reasons
trees cost so little that finding the rows, sorting them by key, and writing a file of vectors and one of
scores costs more than scoring them."""


def names(task: str) -> list[str]:
    """Features of a task."""
    return [f"feature_{n:02d}" for n in range(FEATURES[task])]


def make(home: Path, task: str, rows: int) -> None:
    """Write a build of random features as far as scoring reads one, and register a booster that fits it."""
    from ml import config, profiles
    from ml.artefacts import sha256
    from ml.registry import Registry, version_id
    from ml.scores.boosted import BoostedTrees
    from ml.scores.model import Model
    from nightledger import warehouse

    settings = _settings(home)
    settings.clients.mkdir(parents=True)
    (settings.clients / "bank.yml").write_text("name: Bank\nbase_currency: EUR\n")
    build = home / "builds" / "open"
    build.mkdir(parents=True)
    columns = names(task)
    random = ", ".join(f"(random() * 4 - 2)::float as {name}" for name in columns)
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        connection.execute("set threads = 1; select setseed(0.5)")
        connection.execute(f"""
            create schema ops; create schema features; create schema intermediate;
            create table ops.as_of_dates as select 'bank' as client_id, date '{AS_OF}' as as_of_date,
                timestamp '2026-07-01 02:00:00' as cutoff_at, true as is_tonight;
            create table ops.horizon as select client_id, as_of_date, cutoff_at from ops.as_of_dates;
            create table features.features_customers as
            select 'bank' as client_id, 'customer-' || lpad(n::varchar, 8, '0') as customer_id,
                date '{AS_OF}' as as_of_date, {random}, 'd1' as _definition_hash
            from range({rows}) as t(n);
            create table intermediate.int_transactions as
            select client_id, customer_id, as_of_date as business_date,
                timestamp '2026-06-30 20:00:00' as known_at, null::timestamp as superseded_at,
                true as is_customer_initiated
            from features.features_customers;
            create table intermediate.int_revenue as
            select client_id, customer_id, business_date, known_at, superseded_at,
                12.5::decimal(18, 4) as revenue
            from intermediate.int_transactions;
            create table intermediate.int_customers as
            select client_id, customer_id, known_at, superseded_at, 'bank' as vertical, 'F' as gender,
                'north' as region, 1980 as birth_year
            from intermediate.int_transactions;
            create table ops.model_pins (model varchar, as_of_date date, model_version varchar, role varchar);
        """)  # noqa: S608 - our own text
        nodes = {
            "model.nightledger.features_customers": {
                "resource_type": "model",
                "name": "features_customers",
                "columns": {
                    name: {
                        "name": name,
                        "data_type": "float",
                        "config": {
                            "meta": {"allowed_in": ["churn"], "label": name, "unit": "count", "group": "all"}
                        },
                    }
                    for name in columns
                },
            }
        }
        (build / "manifest.json").write_text(json.dumps({"nodes": nodes}))
        rng = np.random.default_rng(3)
        values = rng.uniform(-2, 2, (20_000, len(columns))).astype(np.float32)
        label = (rng.random(20_000) < 1 / (1 + np.exp(2 - values[:, :10].sum(axis=1)))).astype(np.float32)
        table = pa.table({name: values[:, at] for at, name in enumerate(columns)})
        booster = xgb.train(
            {
                "max_depth": DEPTH,
                "eta": 0.1,
                "objective": "binary:logistic",
                "tree_method": "hist",
                "seed": 7,
            },
            xgb.DMatrix(table, label=label),
            TREES,
        )
        from ml.features import read_features
        from ml.scores.certainty import Ground

        trees = BoostedTrees(booster, tuple(columns))
        use_case = config.load("churn")
        model = Model(
            estimator=trees,
            calibration=(1.0, 0.0),
            features=tuple(columns),
            definitions={feature.name: feature.definition for feature in read_features(build, use_case)},
            definition_hash="d1",
            medians=dict.fromkeys(columns, 0.0),
            ranges=dict.fromkeys(columns, (-1.9, 1.9)),
            reference={},
            use_case={},
            ground=Ground.of(table, columns, trees.margins(table, 2), (0.0004, 0.0001, 0.0009)),
        )
        files = model.files()
        version = version_id(date(2026, 5, 31), sha256(files))
        days = np.full(len(table), np.datetime64("2026-05-31"))
        known = table.append_column("client_id", pa.repeat("bank", len(table))).append_column(
            "day", pa.array(days)
        )
        scores = pa.array(model.scores(table, 2).astype(np.float32))
        profile = profiles.reference(known, columns, {}, known.append_column("score", scores))
        documents = {profiles.DOCUMENT: profile}
        Registry(settings).save("churn", version, files, pa.table({"score": [0.0]}), {}, {}, documents)
        connection.execute("insert into ops.model_pins values ('churn', ?, ?, 'champion')", [AS_OF, version])
    (home / "version").write_text(version)


def in_memory(home: Path, task: str) -> dict[str, Any]:
    """What the night does between an Arrow table and its files; reading the table is not measured."""
    from ml import scoring
    from ml.partitions import BATCH
    from ml.scores.explanation import Explainer

    found: dict[str, Any] = {}

    def of_table(connection: Any, lake: Path, scorer: scoring.Scorer, explain: Explainer) -> int:
        del lake
        columns = ", ".join(("client_id", "entity_id", "as_of_date", explain.group, *names(task)))
        table = connection.execute(
            f"select exposure::double as exposure, {columns} from _rows"  # noqa: S608 - our own names
        ).to_arrow_table()
        spent = [0.0, 0.0]
        timed(lambda: deque(scoring.score_batches(scorer, explain, table.to_batches(BATCH)), 0), spent)()
        found.update(zip(KINDS, spent, strict=True), rows=table.num_rows)
        return 0

    scoring._write = of_table
    night(home, task)
    return found


def whole(home: Path, task: str) -> dict[str, Any]:
    """The night's own step."""
    from ml import outcomes, profiles, scoring
    from ml.scores import explanation

    spent: dict[str, list[float]] = {}
    for module, name in (
        (scoring, "choose_rows"),
        (explanation, "of"),
        (scoring, "_write"),
        (profiles, "write"),
        (outcomes, "write"),
    ):
        seconds = spent.setdefault(f"{module.__name__}.{name}", [0.0, 0.0])
        setattr(module, name, timed(getattr(module, name), seconds))
    rows = night(home, task)
    steps = {name: np.array(seconds) for name, seconds in spent.items()}
    stages = {
        "rows": steps["ml.scoring.choose_rows"] + steps["ml.scores.explanation.of"],
        "written": steps["ml.scoring._write"],
        "drift": steps["ml.profiles.write"] + steps["ml.outcomes.write"],
    }
    return {
        "rows": rows,
        **{f"{stage}_{kind}": found[at] for stage, found in stages.items() for at, kind in enumerate(KINDS)},
    }


def night(home: Path, task: str) -> int:
    """Score the night; how many rows there were."""
    from ml import config, scoring

    if task == "scores":
        use_case = config.load("churn")
        alone = use_case.model_copy(update={"reasons": use_case.reasons.model_copy(update={"top": 0})})
        config.read = lambda _model, _folder=None: alone
    rows: int = scoring.score_night(_settings(home), home / "builds" / "open")["scored"]
    return rows


KINDS = ("cpu_seconds", "seconds")


def timed(call: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """The same function; `spent` adds up its CPU and its wall seconds."""

    def measured(*arguments: Any) -> Any:
        before = (time.process_time(), time.monotonic())
        try:
            return call(*arguments)
        finally:
            spent[0] += time.process_time() - before[0]
            spent[1] += time.monotonic() - before[1]

    return measured


def booster_alone(home: Path, task: str) -> dict[str, Any]:
    """The booster on an Arrow table in memory; reading the table is not measured."""
    from nightledger import warehouse

    settings = _settings(home)
    booster = xgb.Booster()
    folder = home / "registry" / "models" / "churn" / (home / "version").read_text()
    booster.load_model(str(folder / "model.ubj"))
    with warehouse.connect(home / "builds" / "open", settings=settings) as connection:
        table = connection.execute(
            f"select {', '.join(names(task))} from features.features_customers"  # noqa: S608 - our own names
        ).to_arrow_table()
    started, cpu = time.monotonic(), time.process_time()
    for at in range(0, table.num_rows, 100_000):
        matrix = xgb.DMatrix(table.slice(at, 100_000), nthread=2)
        booster.predict(matrix, pred_contribs=task == "reasons")
    return {
        "rows": table.num_rows,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
    }


SIDES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "bare": booster_alone,
    "batches": in_memory,
    "ours": whole,
}


def _settings(home: Path) -> Any:
    from nightledger.settings import Settings

    return Settings(home=home, clients=home / "clients", memory_limit="2GB", _env_file=None)


def side(name: str, home: Path, task: str) -> None:
    """Run one side here and print its figures."""
    started, cpu = time.monotonic(), time.process_time()
    said = SIDES[name](home, task)
    figures = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **said,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def measure(task: str, rows: int) -> dict[str, dict[str, Any]]:
    """Both sides of a task."""
    with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
        home = Path(folder) / "home"
        make(home, task, rows)
        found = {}
        for name in SIDES:
            command = [sys.executable, __file__, "--side", name, "--home", str(home), "--task", task]
            environment = os.environ | {"OMP_NUM_THREADS": "2"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603 - our own
            if done.returncode:
                raise RuntimeError(f"{name}: {done.stderr[-3000:]}")
            found[name] = json.loads(done.stdout.splitlines()[-1])
            sys.stdout.write(f"  {task} {name}: {json.dumps(found[name])}\n")
            sys.stdout.flush()
        return found


def page(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The reference page."""
    what = {"reasons": "churn with reasons and what-ifs for everybody", "scores": "scores without reasons"}
    lines = [
        "# How fast scoring is",
        "",
        f"Written by `make bench-scoring` on {datetime.now():%Y-%m-%d}. {platform.processor() or 'x86_64'}, "  # noqa: DTZ005
        f"{os.cpu_count()} cores; Python {platform.python_version()}, xgboost {xgb.__version__}. "
        f"Load average over the last quarter of an hour at the end: {os.getloadavg()[2]:.1f}. CPU seconds "
        "count all threads and depend little on what else the machine does; the wall clock does.",
        "",
        *(__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)[0].splitlines(),
        "",
        f"{TREES} trees of depth {DEPTH}.",
        "",
        "| task | rows × features | bare, CPU s (wall s) | batches, CPU s (wall s) | ratio of CPU (wall) "
        "| peak GB | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for task, found in results.items():
        ours, batches, bare = (found[name] for name in ("ours", "batches", "bare"))
        cpu, wall = (batches[kind] / bare[kind] for kind in KINDS)
        reached = max(cpu, wall) <= MOST[task] and ours["peak_gb"] < MOST_GB
        cells = [
            what[task],
            f"{ours['rows']:,} × {FEATURES[task]}",
            f"{bare['cpu_seconds']:.1f} ({bare['seconds']:.1f})",
            f"{batches['cpu_seconds']:.1f} ({batches['seconds']:.1f})",
            f"{cpu:.2f} ({wall:.2f}), at most {MOST[task]}",
            f"{ours['peak_gb']:.2f}, under {MOST_GB:g}",
            "reached" if reached else "**missed**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "The whole step of a night, which also finds out who is scored, reads the build and writes files:",
        "",
        "| task | start | rows | scored, written | drift | whole, CPU s (wall s) | beside bare: CPU (wall) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for task, found in results.items():
        ours, bare = found["ours"], found["bare"]
        parts = {stage: ours[f"{stage}_cpu_seconds"] for stage in ("rows", "written", "drift")}
        cells = [
            what[task],
            *(f"{n:.1f}" for n in (ours["cpu_seconds"] - sum(parts.values()), *parts.values())),
            f"{ours['cpu_seconds']:.1f} ({ours['seconds']:.1f})",
            " ".join(
                form.format(ours[kind] / bare[kind])
                for form, kind in zip(("{:.2f}", "({:.2f})"), KINDS, strict=True)
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", CLOSING]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reasons", type=int, default=1_000_000, help="customers with reasons")
    parser.add_argument("--scores", type=int, default=5_000_000, help="rows without")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--side", choices=sorted(SIDES))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--task", choices=sorted(FEATURES))
    given = parser.parse_args()
    if given.side:
        side(given.side, given.home, given.task)
        return
    wanted = {"reasons": given.reasons, "scores": given.scores}
    text = page({task: measure(task, rows) for task, rows in wanted.items() if rows})
    sys.stdout.write(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
