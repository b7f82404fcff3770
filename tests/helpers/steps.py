"""The steps of a night in order, in one process, with the faults that tests plant.

Run as a script it is a worker that can be killed: `steps.py RUN_ID DATE KIND [FAULT]`; its settings come
from the environment. It leaves out dbt's data tests: it is compared with a night that passed them.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from nightledger import operations, publications
from nightledger.dbt.project import DbtProject
from nightledger.governance import ledger, promotion
from nightledger.night import steps
from nightledger.settings import Settings

LAST = date(2025, 12, 15)
"""The night that the tests are about."""


def settings_of(home: Path) -> Settings:
    """Settings of a home with the simulated bank's files as its inbox."""
    return Settings(home=home, inbox=home / "bank" / "files", _env_file=None)


def simulate(home: Path, through: date, *, customers: int, days: int) -> None:
    """Let the bank write its files up to a day; its history of so many days ends with LAST."""
    subprocess.run(
        [
            *(sys.executable, "-m", "simulation", "make", "--out", str(home / "bank"), "--seed", "7"),
            *("--customers", str(customers), "--start", str(LAST - timedelta(days=days - 1))),
            *("--days", str(days), "--through", str(through)),
        ],
        check=True,
    )


def first_model(settings: Settings) -> None:
    """Train churn on the current publication and promote it, however weak: these tests are about nights."""
    train_churn(settings, "train/first", verdict="promoted")


def train_churn(settings: Settings, run_id: str, verdict: str, seed: int = 7) -> str | None:
    """Train churn on the current publication and record this verdict, whatever it is worth."""
    from ml import config, training
    from ml.scores.config import Minimums

    churn = config.load("churn")
    easier = churn.model_copy(
        update={
            "minimums": Minimums(events=5, others=5),
            "seed": seed,
        }
    )
    # A bank on which a good model shows would take minutes.
    with mock.patch.object(config, "read", lambda _model, _folder=None: easier):
        outcome = training.train(settings, "churn").as_dict()
    if outcome["version"] is not None:
        outcome["verdict"] = verdict
    champion = ledger.champions(settings).get("churn")
    promotion.record_training(settings, outcome, run_id, compared_with=champion)
    version: str | None = outcome["version"]
    return version


def unmeasured() -> dict[str, str]:
    """Environment of a child that does what is measured elsewhere: tracing would double its time."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@contextlib.contextmanager
def without_data_tests() -> Iterator[None]:
    """Nights without dbt's data tests, half of their nodes: for those compared with one that passed them."""
    run = DbtProject.run

    def untested(project: DbtProject, *words: str) -> Any:
        return run(project, *words, *(("--exclude-resource-type", "test") if words[0] == "build" else ()))

    with mock.patch.object(DbtProject, "run", untested):
        yield


def run_night(
    settings: Settings,
    run_id: str,
    day: date,
    kind: str = "nightly",
    *,
    force: bool = False,
    tests: bool = True,
) -> dict[str, Any] | None:
    """Everything that the DAG does, without Airflow. Returns what `publish` returned, or None."""
    from ml import scoring

    if not tests:
        with without_data_tests():
            return run_night(settings, run_id, day, kind, force=force)
    assert steps.take_lock(settings, run_id, is_alive=lambda _: False)
    if steps.open_night(settings, run_id, day, kind, force=force) is None:
        return None
    steps.ingest(settings, run_id)
    steps.run_dbt(settings, run_id, "merchants", resume=True)
    steps.enrich(settings, run_id)
    steps.run_dbt(settings, run_id, "features", resume=True)
    if kind == "nightly":
        with operations.stage(settings, run_id, "score") as detail:
            detail.update(scoring.score_night(settings, build=steps.current_build(settings, run_id)))
    steps.run_dbt(settings, run_id, "marts", resume=True)
    steps.audit(settings, run_id)
    return steps.publish(settings, run_id)


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_dbt() -> None:
    """Die like a worker whose machine loses power, at the thirtieth statement of the features."""
    from dbt.adapters.sql.connections import SQLConnectionManager

    original: Callable[..., Any] = SQLConnectionManager.add_query
    build = steps.run_dbt
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

    steps.run_dbt = watched


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
    run_night(Settings(), run, date.fromisoformat(day), kind, tests=False)
