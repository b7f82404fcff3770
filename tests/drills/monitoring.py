"""`python -m tests.drills.monitoring`: 120 nights of 300 customers with planted faults and drifts.

All nights run in this process, without the scheduler, and after each the pass over incidents that the DAG
nightly makes. Then the incidents are compared with what was planted: when each was seen, what was blamed, and
which incidents were about nothing. dbt's data tests are left out, as in the other drills.
"""

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from nightledger import incidents, operations
from nightledger.dbt import runner
from nightledger.governance import demotion, ledger, promotion
from nightledger.night import plan
from nightledger.night.lock import NightError
from nightledger.settings import PROJECT, Settings
from tests.drills import monitoring_plants as plants
from tests.drills import monitoring_table as table
from tests.helpers.steps import run_night

CUSTOMERS, NIGHTS, SEED = 300, 120, 11


LEFT_OUT = re.compile(
    r"models/(marts/(actions|dashboards|forecasts|goals|segments|value)|intermediate/(goals|lending))/"
    r"|/(features_credit|agg_(monthly|rolling|weekly)|fct_risk_assessment|int_categories_monthly"
    r"|int_feature_(correlations|values)|mart_(anomalies|cash_flow|cohorts|customer_overview|feature_profile"
    r"|lifestyle_tags|merchant_review|portfolio|recurring_payments|risk_appetite|trends))\.sql$"
)
"""Files of models that no incident reads, directly or by way of others: no night builds them again."""


class OwnProject(Settings):
    """Settings of a home with a dbt project of its own."""

    @property
    def dbt_project(self) -> Path:
        """The project that the drill may spoil."""
        return self.home / "dbt_project"


def train(settings: Settings, model: str, run_id: str, seed: int | None = None) -> None:
    """Train a model and promote it, however weak: the bank is small, and this is about monitoring."""
    from ml import config, training

    name = model.partition(".")[0]
    described = config.load(name)
    update: dict[str, object] = {} if seed is None else {"seed": seed}
    if hasattr(described.minimums, "events"):
        update["minimums"] = described.minimums.model_copy(update={"events": 1, "others": 5})
    easier = described.model_copy(update=update)
    with mock.patch.object(config, "read", lambda _model, _folder=None: easier):
        outcome = training.train(settings, model).as_dict()
    if outcome["version"] is None:
        raise RuntimeError(f"{model} cannot be trained: {outcome['reason']}")
    champion = ledger.champions(settings).get(model)
    promotion.record_training(settings, outcome | {"verdict": "promoted"}, run_id, compared_with=champion)


@contextmanager
def only_what_is_watched() -> Iterator[None]:
    """Nights without the marts that no incident reads: a night of them all costs half as much again."""
    standing = runner._standing

    def watched(build: Path, manifest: dict[str, Any], settings: Settings) -> set[str]:
        nodes = manifest["nodes"].items()
        left_out = {name for name, node in nodes if LEFT_OUT.search(node["original_file_path"])}
        return standing(build, manifest, settings) | left_out

    with mock.patch.object(runner, "_standing", watched):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Nights in which nothing is planted: what incidents there are then, are false."""
    never = date(9000, 1, 1)
    days = (name for name, value in vars(plants).items() if name.isupper() and isinstance(value, date))
    dates = {name: never for name in days if name not in ("FIRST", "START")}
    with (
        mock.patch.multiple(plants, DRIFTS={}, PLANTS=(), **dates),
        mock.patch.object(table, "PLANTS", ()),
    ):
        yield


class Drill:
    """The bank, its home, and the nights one after another."""

    def __init__(self, folder: Path, nights: int, console: Console) -> None:
        self.folder, self.nights, self.console = folder, nights, console
        (folder / "home").mkdir()
        sources = folder / "sources"
        plants.write_contracts(PROJECT / "sources", sources)
        plants.copy_project(PROJECT / "dbt_project", folder / "home" / "dbt_project")
        self.settings = OwnProject(
            home=folder / "home",
            inbox=folder / "inbox",
            sources=sources,
            keep_publications=1,
            _env_file=None,
        )
        self.seconds: dict[str, float] = {"the passes": 0.0}
        self.trainings: list[str] = []
        self.runs = 0

    def prepare(self) -> None:
        """The bank's files, its history, and the models that the nights begin with."""
        started = time.monotonic()
        self._make_bank()
        delivery = plants.Delivery(self.folder / "bank" / "files", self.folder / "inbox")
        self.delivery = delivery
        before = plants.FIRST - timedelta(days=1)
        delivery.through(before)
        with self._at(before):
            run_night(self.settings, f"history/{before}", before, "history", tests=False)
            train(self.settings, "churn", f"train/{before}")
            train(self.settings, "anomaly.demo_bank", f"train/{before}")
        champions = ledger.champions(self.settings)
        if len(champions) < 2:
            raise RuntimeError(f"the drill needs two models, and got {champions}")
        self.seconds["before the nights"] = time.monotonic() - started

    def _make_bank(self) -> None:
        planted = (
            f"--drift={kind}:{size}:{(day - plants.START).days}"
            for kind, (size, day) in plants.DRIFTS.items()
            if day < plants.night(self.nights + 1)
        )
        days = (plants.night(self.nights) - plants.START).days + 1
        subprocess.run(
            [
                *(sys.executable, "-m", "simulation", "make", "--out", str(self.folder / "bank")),
                *("--seed", str(SEED), "--customers", str(CUSTOMERS), "--start", str(plants.START)),
                *("--days", str(days), *planted),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def run(self, every: int) -> None:
        """All nights; with `every`, one of so many makes up for the others, but for those of plants."""
        started = time.monotonic()
        own = {plant.on for plant in plants.PLANTS} | {plants.MODEL, plants.DBT_BACK, plants.RULES_BACK}
        own |= {plants.night(self.nights)}
        for number in range(1, self.nights + 1):
            day = plants.night(number)
            # What is put right is seen on the night after what went wrong, whatever is left out between.
            if number % every == 0 or day in own or day - timedelta(days=1) in own:
                self.night(day)
        self.seconds["the nights"] = time.monotonic() - started

    def night(self, day: date) -> None:
        """One night: what is planted, what the bank sends, the steps, and the pass over incidents."""
        from ml.scoring import ScoringRefused

        started, run, error = time.monotonic(), f"nightly/{day}", ""
        self.runs += 1
        plants.spoil_project(self.settings.dbt_project, day)
        self.delivery.through(day)
        with self._at(day):
            self._models(day)
            try:
                with only_what_is_watched():
                    run_night(self.settings, run, day, tests=False)
            except (NightError, ScoringRefused) as problem:
                error = str(problem).partition(".")[0]
            passed = time.monotonic()
            if error:
                incidents.night_failed(self.settings, run, day)
            else:
                incidents.watch(self.settings, run)
                self.trainings += [f"{name} on {day}" for name in incidents.ask_training(self.settings, run)]
        now = time.monotonic()
        self.seconds["the passes"] += now - passed
        opened = [row["title"] for row in incidents.listed(self.settings, 1000) if row["run_id"] == run]
        said = "; ".join([*([f"failed: {error}"] if error else []), *opened])
        self.console.print(f"{day} {now - started:5.1f} s  {said}", highlight=False, markup=False)

    def incidents(self) -> list[dict[str, object]]:
        """All incidents, each with the date of the night that opened it."""
        rows = incidents.listed(self.settings, 10_000)
        return [row | {"seen_on": date.fromisoformat(str(row["run_id"]).rpartition("/")[2])} for row in rows]

    def _models(self, day: date) -> None:
        """A newer version of churn is let in by hand, and taken back much later."""
        if day == plants.MODEL:
            train(self.settings, "churn", f"train/{day}", seed=8)
        if day == plants.MODEL_BACK and len(ledger.decisions(self.settings, "churn")) > 1:
            demotion.demote(
                self.settings,
                "churn",
                reason="planted: the older version is wanted again",
                by="drill",
                run_id=f"demote/{day}",
                why_not=lambda _version: "",
            )

    @contextmanager
    def _at(self, day: date) -> Iterator[None]:
        """The platform's clock stands in the night after a business date; no test reads whole tables."""
        now = datetime.combine(day + timedelta(days=1), time_of_day(3))
        with (
            mock.patch.object(operations, "clock", lambda: now),
            mock.patch.object(plan, "tests_are_full", lambda *_: False),
        ):
            yield


def main() -> int:
    """Run the drill; 1 when a plant was not seen or was blamed on something else."""
    parser = argparse.ArgumentParser(prog="tests.drills.monitoring", description=__doc__)
    parser.add_argument("--nights", type=int, default=NIGHTS)
    parser.add_argument("--every", type=int, default=1, help="run one night of so many: a quicker look")
    parser.add_argument("--undisturbed", action="store_true", help="plant nothing: how often it cries wolf")
    parser.add_argument("--write", type=Path, help="write the table to this page")
    parser.add_argument("--keep", type=Path, help="work in this folder, which must not exist, and leave it")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["OPENLINEAGE_DISABLED"] = "true"
    console = Console(soft_wrap=True)
    with (
        undisturbed() if given.undisturbed else nullcontext(),
        tempfile.TemporaryDirectory(prefix="nightledger-monitoring-") as temporary,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=given.keep is None)
        drill = Drill(folder, given.nights, console)
        try:
            drill.prepare()
            drill.run(given.every)
        finally:
            for path in folder.rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o750)  # publications are read-only
        last = plants.night(given.nights)
        found, false = table.judge(drill.incidents(), last)
        for one in found:
            seen = (
                f"seen {one.seen_on}, {'right' if one.is_right else 'WRONG'}" if one.seen_on else "NOT SEEN"
            )
            console.print(f"{one.plant.on} {one.plant.name}: {seen}", highlight=False)
        console.print(f"{len(false)} incidents were about nothing that was planted.", highlight=False)
        if given.write:
            table.write(
                given.write,
                drill.incidents(),
                nights=given.nights,
                runs=drill.runs,
                customers=CUSTOMERS,
                first=plants.FIRST,
                last=last,
                seconds=drill.seconds,
                cpu=time.process_time(),
                load=os.getloadavg()[2],
                trainings=drill.trainings,
            )
            console.print(f"The table is in {given.write}.")
    return 0 if all(one.is_right for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
