"""The steps of a night in order, each as its Airflow task calls it, and the night that the drill disturbs."""

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from nightledger import operations
from nightledger.night import steps as night
from nightledger.settings import Settings
from tests.helpers.steps import LAST

DAY = LAST
"""The business date whose night is disturbed."""


def alive(folder: Path, run_id: str) -> bool:
    """Whether a run still has a process; what Airflow's metadata answers in production."""
    try:
        pid = (folder / run_id.replace("/", "_")).read_text()
    except FileNotFoundError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def _score(settings: Settings, run_id: str) -> dict[str, Any]:
    from ml import scoring

    with operations.stage(settings, run_id, "score") as detail:
        detail.update(scoring.score_night(settings, build=night.current_build(settings, run_id)))
    return dict(detail)


def _take_lock(settings: Settings, run_id: str) -> bool:
    return night.take_lock(settings, run_id, lambda other: alive(settings.home.parent / "alive", other))


def _open(settings: Settings, run_id: str, day: date = DAY, *, force: bool = False) -> dict[str, Any] | None:
    return night.open_night(settings, run_id, day, "nightly", force=force)


def _dbt(selector: str) -> Callable[[Settings, str], Any]:
    return lambda settings, run_id: night.run_dbt(settings, run_id, selector, resume=True)


STAGES: dict[str, Callable[..., Any]] = {
    "take_lock": _take_lock,
    "open": _open,
    "ingest": night.ingest,
    "dbt_merchants": _dbt("merchants"),
    "enrich": night.enrich,
    "dbt_features": _dbt("features"),
    "score": _score,
    "dbt_marts": _dbt("marts"),
    "audit": night.audit,
    "publish": night.publish,
}
"""Every stage by its task's name, in order."""


def whole_night(settings: Settings, run_id: str, *, force: bool = False) -> str | None:
    """Every stage in this process, waiting for the lock; returns the publication, or None when there was
    nothing to do."""
    registry = settings.home.parent / "alive"
    registry.mkdir(exist_ok=True)
    (registry / run_id.replace("/", "_")).write_text(str(os.getpid()))
    while not _take_lock(settings, run_id):
        time.sleep(0.2)
    if _open(settings, run_id, force=force) is None:
        return None
    for stage in from_stage("ingest"):
        published = STAGES[stage](settings, run_id)
    return str(published["publication_id"])


def from_stage(first: str) -> list[str]:
    """A stage and all that follow it."""
    names = list(STAGES)
    return names[names.index(first) :]
