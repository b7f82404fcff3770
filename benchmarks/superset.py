"""How fast the dashboards answer: the chart-data API cold and warm, and every tab in a real browser.

`make bench-superset` runs it on the server of this installation (`make superset`) and writes
docs/reference/dashboard-speed.md. Times depend on what else the machine does, so its load stands beside them,
and the CPU seconds, which hardly do.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nightledger.settings import PROJECT

sys.path.append(str(PROJECT / "superset"))

from nightledger_superset import browser
from nightledger_superset.settings import Settings

REPEATS = 3


@dataclass(frozen=True)
class Times:
    """Milliseconds of many answers, and the server's CPU milliseconds for one of them."""

    answers: list[float]
    cpu: float
    failed: int

    def told(self, what: str) -> str:
        """A row of the table."""
        p95 = statistics.quantiles(self.answers, n=20)[-1]
        return (
            f"| {what} | {len(self.answers):,} | {statistics.median(self.answers):,.0f} ms | {p95:,.0f} ms "
            f"| {max(self.answers):,.0f} ms | {self.cpu:,.0f} ms | {self.failed} |"
        )


def ask_all(settings: Settings, *, force: bool, repeats: int) -> Times:
    """Ask every chart's harvested question `repeats` times, one after the other.

    Args:
        settings: of the server.
        force: past the cache.
        repeats: how often.
    """
    answers, failed = [], 0
    with browser.visiting(settings, height=900) as visitor:
        numbers = {
            uuid: number
            for slug in browser.listed()["dashboards"]
            for number, uuid in visitor.charts_of(slug).items()
        }
        wanted = [
            numbers[chart["uuid"]]
            for chart in browser.listed()["charts"].values()
            if chart["uuid"] in numbers
        ]
        before = _cpu(settings.port)
        for number in wanted * repeats:
            began = time.perf_counter()
            reply = visitor.page.request.get(
                f"{settings.internal_address}/api/v1/chart/{number}/data/?force={str(force).lower()}"
            )
            answers.append((time.perf_counter() - began) * 1000)
            failed += reply.status != 200
        spent = _cpu(settings.port) - before
    return Times(answers, spent * 1000 / len(answers), failed)


def open_all(settings: Settings) -> list[dict[str, Any]]:
    """Open every tab at 1440 × 900, once and then `REPEATS` times with the server's answers in its cache.

    Returns:
        Of each dashboard the seconds of its first opening, the medians of the others, and CPU seconds of one.
    """
    told = []
    with browser.visiting(settings, height=900) as visitor:
        for slug in browser.listed()["dashboards"]:
            first = list(visitor.dashboard(slug))
            server, own = _cpu(settings.port), _own_cpu()
            again = [[seen.seconds for seen in visitor.dashboard(slug)] for _ in range(REPEATS)]
            tabs = [statistics.median(seconds) for seconds in zip(*again, strict=True)]
            told.append(
                {
                    "slug": slug,
                    "cold": first[0].seconds,
                    "warm": tabs[0],
                    "tabs": tabs[1:],
                    "server": (_cpu(settings.port) - server) / REPEATS,
                    "browser": (_own_cpu() - own) / REPEATS,
                }
            )
    return told


def _cpu(port: int) -> float:
    """CPU seconds so far of the server that listens on this port, with its workers."""
    seconds = 0.0
    for process in psutil.process_iter(["cmdline"]):
        if f":{port}" in " ".join(process.info["cmdline"] or []):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def _own_cpu() -> float:
    """CPU seconds so far of the browser: of all our children."""
    seconds = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
    return seconds


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s" if seconds else "–"


def report(settings: Settings) -> str:
    """The page, measured now."""
    load = os.getloadavg()[0]
    cold, warm = ask_all(settings, force=True, repeats=1), ask_all(settings, force=False, repeats=REPEATS)
    tabs = open_all(settings)
    lines = [
        "# How fast the dashboards are",
        "",
        f"Written by `make bench-superset` on publication {settings.publication().name},",
        f"{os.cpu_count()} cores, one gunicorn process with 8 threads.",
        f"**Load when it began: {load:.1f}, when it ended: {os.getloadavg()[0]:.1f}**:",
        "above the number of cores the times below are mostly waiting, and",
        "the CPU columns tell what the work is. Goals, on idle cores: p95 of the chart-data API under 300 ms",
        "warm, every dashboard in the browser under 3 s warm.",
        "",
        "## Chart-data API",
        "Every chart's own question, one after the other. Cold: past the cache, so DuckDB reads.",
        "",
        "| | answers | median | p95 | most | server's CPU each | failed |",
        "|---|---|---|---|---|---|---|",
        cold.told("cold"),
        warm.told("warm"),
        "",
        "## In the browser",
        "Headless Chromium without a graphics card, 1440 × 900, until every chart shown stands. First:",
        "the first opening after the server's start or a change. Again: with answers in the server's cache,",
        f"median of {REPEATS} openings. Tabs: median of the other tabs, likewise.",
        "CPU: of all tabs, opened once again.",
        "",
        "| dashboard | first | again | tabs | server's CPU | browser's CPU |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one['slug']} | {one['cold']:.1f} s | {one['warm']:.1f} s "
            f"| {_median(one['tabs'])} | {one['server']:.1f} s | {one['browser']:.1f} s |"
            for one in tabs
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, required=True)
    arguments = parser.parse_args()
    text = report(Settings.from_environment())
    arguments.write.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
