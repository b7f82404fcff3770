"""The steps of a night in order, in one process, with the faults that tests plant.

Run as a script it is a worker that can be killed: `steps.py RUN_ID DATE KIND [FAULT]`; its settings come
from the environment.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from nightledger import night, operations, publications
from nightledger.settings import Settings

LAST = date(2025, 12, 15)
"""The night that the tests are about."""


def settings_of(home: Path) -> Settings:
    """Settings of a home with the simulated bank's files as its inbox."""
    return Settings(home=home, inbox=home / "bank" / "files", _env_file=None)


def run_night(
    settings: Settings, run_id: str, day: date, kind: str = "nightly", *, force: bool = False
) -> dict[str, Any] | None:
    """Everything that the DAG does, without Airflow. Returns what `publish` returned, or None."""
    from ml import scoring

    assert night.take_lock(settings, run_id, is_alive=lambda _: False)
    if night.open_night(settings, run_id, day, kind, force=force) is None:
        return None
    night.ingest(settings, run_id)
    night.run_dbt(settings, run_id, "merchants", resume=True)
    night.enrich(settings, run_id)
    night.run_dbt(settings, run_id, "features", resume=True)
    if kind == "nightly":
        with operations.stage(settings, run_id, "score") as detail:
            detail.update(scoring.score_night(settings, build=night.current_build(settings, run_id)))
    night.run_dbt(settings, run_id, "marts", resume=True)
    night.audit(settings, run_id)
    return night.publish(settings, run_id)


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_dbt() -> None:
    """Die like a worker whose machine loses power, at the thirtieth statement of the features."""
    from dbt.adapters.sql.connections import SQLConnectionManager

    original: Callable[..., Any] = SQLConnectionManager.add_query
    build = night.run_dbt
    seen = 0

    def counted(self: Any, *arguments: Any, **keywords: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 30:
            _die()
        return original(self, *arguments, **keywords)

    def watched(settings: Settings, run_id: str, selector: str, *, resume: bool = False) -> Any:
        if selector == "features":
            SQLConnectionManager.add_query = counted
        return build(settings, run_id, selector, resume=resume)

    night.run_dbt = watched


def _die_before_the_pointer_moves() -> None:
    point = publications.point

    def watched(settings: Settings, name: str, target: str) -> None:
        if name == "current":
            _die()
        point(settings, name, target)

    publications.point = watched


FAULTS = {"in_dbt": _die_in_dbt, "before_pointer": _die_before_the_pointer_moves}

if __name__ == "__main__":
    run, day, kind, *fault = sys.argv[1:]
    if fault:
        FAULTS[fault[0]]()
    run_night(Settings(), run, date.fromisoformat(day), kind)
