"""The page of the figures: each side's wall time, CPU time and memory, and what was to be reached."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Results = dict[int, dict[str, Any]]
LARGE = 10_000_000


def render(results: Results) -> str:
    """The whole page in Markdown."""
    parts = [_head(results), _goals(results), _faster(results), "## Each side\n"]
    for found in results.values():
        parts.append(f"### {found['history']['rows']:,} transactions\n\n{_sides(found)}\n{_steps(found)}")
        parts.append(_slowest(found))
    parts.append(NOTES)
    return "\n".join(parts)


def machine() -> str:
    """Processor, cores, memory and versions."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "dbt-core", "pandas", "polars"))
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, {versions}"


def _head(results: Results) -> str:
    load = os.getloadavg()[2]
    sizes = " and ".join(f"{rows:,}" for rows in results)
    return f"""# How fast the warehouse is

Written by `make bench-warehouse` on {datetime.now(UTC):%Y-%m-%d}, with about {sizes} simulated transactions.
Machine: {machine()}. Load average over the last quarter of an hour at the end of the run: {load:.1f}.
Every side is a process of its own with 2 threads; ours has a memory limit of 4 GB. Peak is resident memory.
"""


def _goals(results: Results) -> str:
    rows = ["| what | measured | to reach | |", "|---|---|---|---|"]
    for what, measured, goal, text in goals(results):
        reached = "" if measured is None else "reached" if goal(measured) else "**missed**"
        rows.append(
            f"| {what} | {'not measured' if measured is None else text.format(measured)} | {reached} |"
        )
    rows[0] = "| what | measured, and to reach | |"
    rows[1] = "|---|---|---|"
    return "## What was to be reached\n\n" + "\n".join(rows) + "\n"


def goals(results: Results) -> list[tuple[str, float | None, Any, str]]:
    """(what, measured, whether that is good, text of both) of each goal of the page."""
    small, large = min(results), max(results)
    one, ten = results[small], results[large]

    def ratio(of: dict[str, Any], a: str, b: str, figure: str = "seconds") -> float | None:
        return of[a][figure] / of[b][figure] if a in of and b in of else None

    steps = ten["history"]["steps"]
    night = sum(ten["nightly"]["steps"].values())
    growth = (
        sum(steps.values()) / sum(one["history"]["steps"].values()) * (LARGE / 1_000_000) / (large / small)
        if large > small
        else None
    )
    publish = ten["nightly"]["steps"]["publish"] / ten["nightly"]["gb"] * 2
    return [
        (f"dbt build / bare DuckDB, {large:,}", ratio(ten, "dbt_build", "bare_build"), lambda x: x <= 1.15,
         "{:.2f} (at most 1.15)"),
        ("pandas / ours, 65 features of one date", ratio(one, "in_pandas", "features"), lambda x: x >= 1.5,
         "{:.1f} (at least 1.5; aim 3)"),
        ("pandas / ours, rolling windows", ratio(one, "rolling_in_pandas", "rolling"), lambda x: x >= 3,
         "{:.1f} (at least 3; aim 5)"),
        (f"Polars / ours, raw file to features, {large:,}", ratio(ten, "in_polars", "from_file"),
         lambda x: x >= 1, "{:.2f} (at least 1)"),
        (f"our memory / Polars', raw file to features, {large:,}",
         ratio(ten, "from_file", "in_polars", "peak_gb"), lambda x: x <= 0.5, "{:.2f} (at most 0.5)"),
        (f"a night / the history with its month-ends, {large:,}", night / sum(steps.values()),
         lambda x: x <= 0.10, "{:.3f} (at most 0.10)"),
        ("the same, of CPU time", ratio(ten, "nightly", "history", "cpu_seconds"), lambda x: x <= 0.10,
         "{:.3f} (at most 0.10)"),
        ("growth of the history from 1 to 10 million", growth, lambda x: x <= 12,
         "{:.1f} times (at most 12)"),
        (f"{large:,} raw rows to the published 75 features of one date, without the rest of a night",
         sum(ten["published_features"]["steps"].values()) if "published_features" in ten else None,
         lambda x: x < 180, "{:.0f} s (under 180)"),
        ("the same, the whole night with its tests, other models, marts and audit",
         sum(ten["one_date"]["steps"].values()) if "one_date" in ten else None, lambda x: x < 180,
         "{:.0f} s (under 180)"),
        (f"the whole night, of {ten['history']['dates']} dates", sum(steps.values()), lambda x: x < 180,
         "{:.0f} s (under 180)"),
        ("publication of 2 GB, from the night's", publish, lambda x: x < 5, "{:.1f} s (under 5)"),
        ("87,617 raw transactions to features of one date, SQL",
         one["small"]["sql_seconds"] * 1000 if "small" in one else None, lambda x: x < 500,
         "{:.0f} ms (under 500)"),
    ]  # fmt: skip


LABELS = {
    "history": "history night: files to publication, features at 25 dates",
    "one_date": "the same files to publication, features of one date",
    "published_features": "the same files to the published 75 features of one date, nothing else",
    "nightly": "one night more, scoped tests",
    "dbt_build": "dbt build of the whole project, without tests",
    "bare_build": "the same SQL by bare DuckDB",
    "features": "65 features of one date from understood transactions: ours",
    "in_pandas": "the same in pandas, from Parquet",
    "from_file": "raw file to 65 features of one date: ours",
    "in_polars": "the same in Polars",
    "rolling": "rolling 1, 7 and 30 days of each transaction: ours",
    "rolling_in_pandas": "the same in pandas",
    "rolling_in_polars": "the same in Polars",
    "small": "87,617 raw transactions to features of one date: ours",
}


OTHERS = (
    ("features", "in_pandas", "pandas"),
    ("rolling", "rolling_in_pandas", "pandas"),
    ("rolling", "rolling_in_polars", "Polars"),
    ("from_file", "in_polars", "Polars"),
)
"""(our side, another's, its name)."""


def _faster(results: Results) -> str:
    """Where another takes less wall time than we do, and what ours does meanwhile that it does not."""
    lines = []
    for found in results.values():
        for ours, theirs, name in OTHERS:
            if theirs not in found or found[theirs]["seconds"] >= found[ours]["seconds"]:
                continue
            took = f"{found[theirs]['seconds']:.2f} s beside our {found[ours]['seconds']:.2f}"
            what = f"{found['history']['rows']:,} transactions, {LABELS[ours].removesuffix(': ours')}"
            line = f"- {name}, {what}: {took}."
            lines.append(line + (_kept(found[ours]) if ours == "from_file" else ""))
    return "## Where another is faster\n\n" + ("\n".join(lines) or "Nowhere.") + "\n"


def _kept(ours: dict[str, Any]) -> str:
    """What of the whole way goes to the warehouse's file; frames keep nothing."""
    written = next(seconds for seconds, text in ours["slowest"] if '"int_movements"' in text)
    return (
        f" Of these, {ours['reading']:.1f} s fill `raw` from the file and {written:.1f} s find and write"
        " understood transactions (`int_movements`); both stay in the warehouse. Polars writes no"
        " transactions."
    )


def _sides(found: dict[str, Any]) -> str:
    rows = ["| side | wall s | CPU s | peak GB |", "|---|---:|---:|---:|"]
    for name, label in LABELS.items():
        if name in found:
            s = found[name]
            rows.append(f"| {label} | {s['seconds']:.1f} | {s['cpu_seconds']:.1f} | {s['peak_gb']:.2f} |")
    return "\n".join(rows) + "\n"


def _steps(found: dict[str, Any]) -> str:
    names = list(found["history"]["steps"])
    rows = [f"| seconds | {' | '.join(names)} | sum |", "|---|" + "---:|" * (len(names) + 1)]
    kinds = {
        "history": "history",
        "one_date": "one date",
        "published_features": "75 features",
        "nightly": "nightly",
    }
    for kind, name_of_kind in kinds.items():
        if kind not in found:
            continue
        steps = found[kind]["steps"]
        cells = [f"{steps[name]:.1f}" if name in steps else "" for name in names]
        cells.append(f"{sum(steps.values()):.1f}")
        rows.append(f"| {name_of_kind} | {' | '.join(cells)} |")
    size = (
        f"The publication has {found['nightly']['gb']:.2f} GB and {found['history']['vectors']:,} vectors.\n"
    )
    if "differences" in found:
        unlike = ", ".join(f"{name} ({n})" for name, n in found["differences"].items())
        agree = 65 - len(found["differences"])
        size += f"Ours and pandas agree in {agree} of 65 features for every customer"
        size += f"; customers that differ: {unlike}.\n" if unlike else ".\n"
    return "\n".join(rows) + "\n\n" + size


def _slowest(found: dict[str, Any]) -> str:
    rows = "\n".join(f"- {seconds:.2f} s `{text}`" for seconds, text in found["bare_build"]["slowest"][:6])
    return f"Slowest statements of the build:\n\n{rows}\n"


NOTES = """## What is compared

- **dbt / bare**: on a warehouse in which ingestion has filled `raw`. The statements are those that dbt sends
  (recorded once with one thread), run one after another in its transactions. dbt's side includes its start
  and the parse.
- **pandas** reads understood transactions, categorised and matched by our own SQL, from Parquet, with times
  that are local already; ours reads the warehouse's table and honours what was known when. Both start from
  disk.
- **Polars** does the whole way from the CSV file, with simpler first steps (no versions, one pass of merchant
  rules, own transfers as the file names them), so its merchants and categories are not ours. Our side reads
  the file with a bare `read_csv` into `raw` and runs the night's SQL for one date; ingestion's checks, tokens
  and keys have no counterpart in such a script and are part of the history's steps instead.
- **A night** is one day's file with a few late rows on the history's publication, on a Tuesday: tests read
  what the night touched. On Sundays they read whole tables, and the first night of a month rewrites the file.
  Scoring is left out on both sides, since it needs a trained model.
- **10 million raw rows to published features** is measured twice. The 75 features alone are the night's own
  steps from the bank's files to a publication, with ingestion's checks, keys and tokens, merchants and all
  models before `features_customers` and `features_transactions`, without tests and without what else a night
  makes: the features of fraud and anomaly models, outcomes, marts, audit. The whole night has all of it, at
  one date as on an empty home, or at all month-ends of two years.
- **87,617 raw transactions** lie in `raw` already. What counts is the sum of the statements' own times: of
  all that dbt sends from there to the features of one date, its seeds and views with them, but not of dbt.
- **50 million** transactions have [a page of their own](fifty-million.md): by hand, once.
- **Publication** is the step `publish` of that night: manifest and hash of the content, checksum, sync and
  pointer, in proportion to 2 GB.
"""
