"""Whole nights of the benchmark's bank, step by step in one process: the history, and one day after it."""

import json
import shutil
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.warehouse import replay
from benchmarks.warehouse.bank import LAST, NIGHT, settings_for
from nightledger import operations, publications, warehouse
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


FEATURES = ("--select", "+features_customers", "+features_transactions")
DELIVERED = ("--exclude", "path:models/staging", "path:seeds", "+int_merchant_matches")


def published_features(work: Path) -> dict[str, Any]:
    """The same files to a publication of the 75 features of the last date, in a home that is then removed.

    The steps of the night, without what else it makes and checks: tests, other models, marts and the audit.
    """
    settings, run_id = settings_for(work / "home_of_features"), f"features/{LAST}"
    deliver(settings, work / "files", *HISTORY)
    dbt = partial(replay.run_dbt, settings, settings.builds / "open", "build", *replay.MODELS)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("take_lock", partial(night.take_lock, settings, run_id, is_alive=lambda _: False)),
        ("open", partial(night.open_night, settings, run_id, LAST, "nightly")),
        ("ingest", partial(night.ingest, settings, run_id)),
        ("dbt_merchants", partial(dbt, "--selector", "merchants")),
        ("enrich", partial(night.enrich, settings, run_id)),
        ("dbt_features", partial(dbt, *FEATURES, *DELIVERED)),
        ("not_audited", partial(_not_audited, settings)),
        ("publish", partial(night.publish, settings, run_id)),
    ]
    seconds = {}
    for name, step in steps:
        started = time.monotonic()
        step()
        seconds[name] = time.monotonic() - started
    found = _described(settings, seconds)
    publications.remove(first_publication(settings))
    shutil.rmtree(settings.home)
    return found


def _not_audited(settings: Settings) -> None:
    """Say that nothing was checked: the audit reads marts."""
    build = settings.builds / "open"
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        operations.snapshot(settings, connection)
    (build / "audit.json").write_text(json.dumps({"checks": []}))


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
            select (select count(*) from raw.transactions), count(*), count(distinct as_of_date),
                (select count(*) from features.features_transactions)
            from features.features_customers
        """).fetchone() or (0, 0, 0, 0)
    return {
        "steps": steps,
        "rows": counts[0],
        "vectors": counts[1],
        "dates": counts[2],
        "described": counts[3],
        "gb": (path / warehouse.FILE).stat().st_size / 1e9,
    }
