"""Whole nights of the benchmark's bank, step by step in one process: the history, and one day after it."""

import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.warehouse.bank import LAST, NIGHT, settings_for
from nightledger import publications, warehouse
from nightledger.night import steps as night
from nightledger.settings import Settings


def first_publication(settings: Settings) -> Path:
    """The one that the history made."""
    return min(path for path in settings.builds.glob("20*") if path.suffix.lstrip(".").isdigit())


def deliver(settings: Settings, files: Path, *names: str) -> None:
    """Put files into the inbox."""
    for name in names:
        shutil.copyfile(files / name, settings.home / "inbox" / name)


def run(settings: Settings, day: date, kind: str) -> dict[str, float]:
    """All steps of a night but scoring, which needs a trained model. Seconds by step."""
    run_id, seconds = f"{kind}/{day}", {}

    def timed(name: str, step: Any, *arguments: Any, **keywords: Any) -> Any:
        started = time.monotonic()
        result = step(settings, run_id, *arguments, **keywords)
        seconds[name] = time.monotonic() - started
        return result

    timed("take_lock", night.take_lock, is_alive=lambda _: False)
    if timed("open", night.open_night, day, kind) is None:
        raise RuntimeError(f"the {kind} night of {day} had nothing to do")
    timed("ingest", night.ingest)
    timed("dbt_merchants", night.run_dbt, "merchants")
    timed("enrich", night.enrich)
    timed("dbt_features", night.run_dbt, "features")
    timed("dbt_marts", night.run_dbt, "marts")
    timed("audit", night.audit)
    timed("publish", night.publish)
    return seconds


HISTORY = ("core_history.csv", "customers.csv", "accounts.csv", "logins.csv")


def history(work: Path) -> dict[str, Any]:
    """From the bank's files to a publication with features at 24 month-ends and the last date."""
    settings = settings_for(work / "home")
    deliver(settings, work / "files", *HISTORY)
    return _described(settings, run(settings, LAST, "history"))


def one_date(work: Path) -> dict[str, Any]:
    """The same files to a publication with the last date alone, in a home that is removed afterwards."""
    settings = settings_for(work / "home_of_one_date")
    deliver(settings, work / "files", *HISTORY)
    found = _described(settings, run(settings, LAST, "nightly"))
    publications.remove(first_publication(settings))
    shutil.rmtree(settings.home)
    return found


def nightly(work: Path) -> dict[str, Any]:
    """One day more, on the history's publication."""
    settings = settings_for(work / "home")
    deliver(settings, work / "files", f"core_{NIGHT:%Y%m%d}.csv")
    return _described(settings, run(settings, NIGHT, "nightly"))


def _described(settings: Settings, steps: dict[str, float]) -> dict[str, Any]:
    path = warehouse.publication_path(settings)
    if path is None:
        raise RuntimeError("nothing was published")
    with warehouse.connect(path, settings=settings) as connection:
        counts = connection.execute("""
            select (select count(*) from raw.transactions), count(*), count(distinct as_of_date)
            from features.features_customers
        """).fetchone() or (0, 0, 0)
    return {
        "steps": steps,
        "rows": counts[0],
        "vectors": counts[1],
        "dates": counts[2],
        "gb": (path / warehouse.FILE).stat().st_size / 1e9,
    }
