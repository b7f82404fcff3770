"""What forecasts cost, and how good they are beside the seasonal naive.

`make bench-forecasts` forecasts 1,000,000 customers of 24 months with intervals by the night's own step, and
backtests 150 daily series with Prophet among the methods, each in a process of its own with two threads.
With `--homes` it also trains on the publications of homes (`demo_bank=./var birmingham=./var-birmingham`),
evaluates their last six months as `make evaluate` does, and looks at categories by week and at segments that
have a past (`forecasts_finer.py`). All of it goes into `docs/reference/forecasts.md`.
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
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

AS_OF = date(2026, 6, 30)
HEAD = Path(__file__).with_name("forecasts_head.md")
MOST_SECONDS = {"customers": 120, "prophet": 600}
MOST_GB = 4.0
SHOWN = ("mase", "wape", "bias", "coverage_80", "coverage_95")


def _settings(home: Path) -> Any:
    from nightledger.settings import Settings

    return Settings(home=home, clients=home / "clients", memory_limit="2500MB", threads=2, _env_file=None)


def _rules(**changes: Any) -> Any:
    from ml import config

    return config.read("forecast_spend").model_copy(update=changes)


def make(home: Path, task: str, size: int) -> None:
    """Write a build as far as forecasts read one: movements by month of customers, or by day of series."""
    from nightledger import warehouse

    settings = _settings(home)
    settings.clients.mkdir(parents=True)
    settings.spill.mkdir(parents=True, exist_ok=True)
    (settings.clients / "bank.yml").write_text("name: Bank\nbase_currency: EUR\ncountry: DE\ntimezone: UTC\n")
    build = home / "builds" / "open"
    build.mkdir(parents=True)
    rows = {
        "customers": f"""
            select 'C' || lpad(who::varchar, 8, '0') as customer_id, 'all' as category,
                (date '2024-07-01' + to_months(month::integer) + to_days((who * 7 + month) % 28))::date
                as business_date,
                exp(4 + sqrt(-2 * ln(1 - random())) * cos(6.283185 * random())) as amount
            from range({size}) as customers(who), range(24) as months(month)
            where (who * 31 + month * 17) % 10 > 0
        """,  # noqa: S608 - a number
        "prophet": f"""
            select 'C1' as customer_id, 'series ' || lpad(who::varchar, 4, '0') as category,
                (date '2024-07-01' + to_days(day::integer))::date as business_date,
                1000 * (1 + who % 7) * (1 + 0.2 * ((day + who) % 7 = 5)::integer)
                * exp(day * 0.0002 * (who % 3) + 0.1 * sqrt(-2 * ln(1 - random())) * cos(6.283185 * random()))
                as amount
            from range({size - 1}) as series(who), range(730) as days(day)
        """,  # noqa: S608 - a number
    }[task]  # the client's own is one series more
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        connection.execute("set threads = 1; select setseed(0.5)")
        connection.execute(f"""
            create schema ops; create schema intermediate;
            create table ops.as_of_dates (client_id varchar, as_of_date date, cutoff_at timestamp);
            create table intermediate.int_revenue as
            select
                'bank' as client_id, customer_id, category, '' as region, business_date,
                amount::decimal(18, 4) as spend_amount, 0::decimal(18, 4) as revenue,
                business_date + interval 20 hours as known_at, null::timestamp as superseded_at
            from ({rows});
        """)  # noqa: S608 - our own text


def customers(home: Path) -> dict[str, Any]:
    """The night's step at a month-end, by a version whose numbers stand here."""
    from ml.forecasts import steps
    from ml.forecasts.accuracy import Widths
    from ml.forecasts.customers import ALL, POOLED, Known
    from ml.forecasts.fitted import Fitted
    from ml.partitions import Pin
    from nightledger import warehouse

    groups = [
        f"{length}, {rhythm}"
        for length in ("under 6 months", "6 to 11 months", "12 months and more")
        for rhythm in ("every month", "not every month")
    ]
    known = Known(
        tuple(0.01 * (month - 5.5) for month in range(12)),
        50.0,
        dict.fromkeys(groups, POOLED),
        dict.fromkeys(groups, 1.1),
        (0.98, 0.97, 0.96),
        {group: [[-1.5, -0.8, 0.8, 1.5]] * 3 for group in (ALL, *groups)},
    )
    version = Fitted("spend", "bank", "DE", {}, Widths({}), known, False)
    settings, build = _settings(home), home / "builds" / "open"
    rules = _rules(levels=["client", "customer"])
    with warehouse.connect(build, settings=settings) as connection:
        pin = Pin("forecast_spend.bank", AS_OF, "v1", "champion")
        rows = steps.score(connection, settings, build, pin, rules, version.files())
    return {"what": "rows of customers of 24 months: three months each, with intervals", "size": rows}


def prophet(home: Path) -> dict[str, Any]:
    """The backtest of a training: every method at five origins, and the choice."""
    from ml.forecasts import fitted
    from nightledger import warehouse

    settings = _settings(home)
    rules = _rules(levels=["client", "category"])
    with warehouse.connect(home / "builds" / "open", settings=settings) as connection:
        asked, truth = fitted.begin(connection, settings, rules, "bank", AS_OF)
        found, judged = fitted.learn(connection, settings, asked, truth)
    fits = judged.table[judged.table.method == "prophet"].groupby(["entity", "origin"]).ngroups
    return {"what": f"daily series of 730 days, {fits} fits of Prophet", "size": len(found.tiers) - 1}


TASKS: dict[str, Callable[[Path], dict[str, Any]]] = {"customers": customers, "prophet": prophet}


def side(task: str, home: Path) -> None:
    """Run one task here and print its figures."""
    started = time.monotonic()
    said = TASKS[task](home)
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    figures = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        # Two fits run at a time, each a process.
        "peak_gb": (own.ru_maxrss + 2 * children.ru_maxrss) / 2**20,
        **said,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def measure(task: str, size: int) -> dict[str, Any]:
    """A task in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
        home = Path(folder) / "home"
        make(home, task, size)
        command = [sys.executable, "-W", "ignore", __file__, "--side", task, "--home", str(home)]
        environment = os.environ | {"OMP_NUM_THREADS": "2"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603 - our own
        if done.returncode:
            raise RuntimeError(f"{task}: {done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        sys.stdout.write(f"  {task}: {json.dumps(found)}\n")
        sys.stdout.flush()
        return found


def speed(results: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of the table of costs."""
    lines = [
        f"{os.cpu_count()} cores, two threads; Python {platform.python_version()}; measured on "
        f"{datetime.now():%Y-%m-%d}, load average of the last quarter of an hour {os.getloadavg()[2]:.1f}.",  # noqa: DTZ005
        "",
        "| task | rows or series | wall s | CPU s | peak GB | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for task, one in results.items():
        reached = one["seconds"] <= MOST_SECONDS[task] and one["peak_gb"] < MOST_GB
        lines.append(
            f"| {one['what']} | {one['size']:,} | {one['seconds']:.1f}, at most {MOST_SECONDS[task]} "
            f"| {one['cpu_seconds']:.1f} | {one['peak_gb']:.2f}, under {MOST_GB:g} "
            f"| {'reached' if reached else '**missed**'} |"
        )
    return lines


def quality(model: str, client: str, home: Path) -> list[str]:
    """Lines of the table of a client: the version and the floor, backtested on its current publication."""
    from collections import Counter

    from ml import config
    from ml.datasets import read_publication
    from ml.families import Job
    from ml.forecasts import steps
    from ml.forecasts.methods import FLOOR
    from nightledger.settings import Settings

    settings = Settings(home=home)
    rules: Any = config.read(model)
    job = Job(settings, f"{model}.{client}", rules, read_publication(settings), ())
    trained = steps.train(job, client, None)
    tiers = [tier for tier in json.loads(trained.files["model.json"])["tiers"] if tier[0] == "month"]
    won = Counter("floor" if tier[4] == FLOOR else tier[4] for tier in tiers)
    return [
        f"### {model}.{client}",
        f"Publication {job.publication.id}. {trained.reason} Verdict: {trained.verdict}.",
        "",
        f"Methods kept by monthly series: {', '.join(f'{name} {n}' for name, n in won.most_common())}.",
        "",
        *table(trained.metrics),
        "",
        *later(settings, job),
        "",
        *(finer(job, client) if rules.measure == "spend" else []),
    ]


def finer(job: Any, client: str) -> list[str]:
    """What nights of a young home do not write: categories by day and week, segments that have a past."""
    from benchmarks import forecasts_finer
    from ml.families import TooLittle

    lines = [
        f"Categories by day and by week, {forecasts_finer.WEEKS} weeks after each origin. The floor is the "
        "seasonal naive of a week: each day is that weekday of the week before.",
        "",
        *table(forecasts_finer.categories(job, client)),
        "",
    ]
    try:
        rows = forecasts_finer.segments(job, client)
    except TooLittle as refused:
        return [*lines, f"Segments with a past: refused. {refused}", ""]
    return [
        *lines,
        "Segments with a past, and their categories: fitted at the end of each quarter, assigned at the "
        "month-ends after it.",
        "",
        *table(rows),
        "",
    ]


def table(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of metrics by data set and method."""
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for row in metrics:
        cells.setdefault((row["dataset"], row["baseline"]), {"n": row["n"]})[row["metric"]] = row["value"]
    lines = [
        "| data set | method | n | MASE | WAPE | bias | in 80 % | in 95 % |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (dataset, baseline), values in sorted(cells.items(), key=lambda one: (one[0][0], one[0][1] != "")):
        shown = [f"{values[name]:.3f}" if values.get(name) is not None else "" for name in SHOWN]
        name = baseline.replace("_", " ") or "**the version**"
        lines.append(f"| {dataset} | {name} | {values['n']:,} | {' | '.join(shown)} |")
    return lines


def later(settings: Any, job: Any) -> list[str]:
    """What a version that knew nothing of the last six months would have said of them."""
    import io

    from rich.console import Console

    from ml.evaluate import Asked
    from ml.families import Refused
    from ml.forecasts import steps
    from ml.forecasts.series import month_start

    first, last = month_start(job.publication.as_of_date, -5), job.publication.as_of_date
    with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
        asked = Asked(job.name, first, last, folder=Path(folder))
        try:
            steps.evaluate(settings, asked, Console(file=io.StringIO()))
        except Refused as refused:
            return [f"`make evaluate` from {first} is refused: {refused}"]
        found = json.loads((Path(folder) / "metrics.json").read_text())
    kept = [row for row in found["metrics"] if row["baseline"] in ("", "floor")]
    return [
        f"`make evaluate MODEL={job.name} FROM={first} TO={last}`: learnt from what was known before; "
        f"origins {found['window']}.",
        "",
        *table(kept),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=150)
    parser.add_argument("--homes", nargs="*", default=[], help="client=home whose publication is judged by")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--side", choices=sorted(TASKS))
    parser.add_argument("--home", type=Path)
    given = parser.parse_args(arguments)
    if given.side:
        side(given.side, given.home)
        return
    sizes = {"customers": given.customers, "prophet": given.series}
    lines = [
        HEAD.read_text(),
        "## What it costs",
        *speed({task: measure(task, n) for task, n in sizes.items() if n}),
    ]
    if given.homes:
        lines += ["", "## How good it is", ""]
        for pair in given.homes:
            client, _, home = pair.partition("=")
            for model in ("forecast_spend", "forecast_revenue"):
                if client == "birmingham" and model == "forecast_revenue":
                    continue  # a council earns nothing of its cards
                lines += quality(model, client, Path(home))
    text = "\n".join(lines).rstrip() + "\n"
    sys.stdout.write(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
