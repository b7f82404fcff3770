"""`python -m tests.drills.runbooks`: causes each alert in a throw-away home and follows its runbook.

A small simulated bank, its history and one night are made once; each case begins from a copy of them. The
alert must be raised, by the page and by the metrics that Prometheus reads; then the steps of the runbook's
text are done, its commands as processes of their own, and the alert must be gone. Exit code 1 when one is
not.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from nightledger import operations, warehouse
from nightledger.monitoring import alerts, metrics, morning
from nightledger.settings import PROJECT, Settings
from tests.drills import runbook_airflow, runbook_cases
from tests.drills.bench import clear, copy
from tests.helpers.steps import LAST, run_night, settings_of, simulate, without_data_tests

PAGE = PROJECT / "docs" / "reference" / "runbook-drill.md"
CUSTOMERS, DAYS = 60, 120
DAY = LAST
"""The business date whose night is disturbed."""
BEGIN = datetime.combine(DAY + timedelta(days=1), datetime.min.time()) + timedelta(hours=2, minutes=30)
"""When it begins: the cutoffs of all clients have passed, and the deadline is at 05:00."""


NO_ANSWER = "unreachable"
"""The one alert that the page cannot tell: Prometheus raises it."""


class Broken(AssertionError):
    """An alert did not come, or did not go; the text says which."""


@dataclass
class Drill:
    """A home at one simulated moment, and what can be done to it."""

    root: Path
    changes: dict[str, Any] = field(default_factory=dict)
    now: datetime = BEGIN
    runs: int = 1
    """Runs so far; the start has made one."""
    environment: dict[str, str] = field(default_factory=dict)
    """What its commands find in the environment besides."""
    done: list[str] = field(default_factory=list)
    """The steps of the text that were followed, in words or as commands."""

    @property
    def home(self) -> Path:
        """The home under test."""
        return self.root / "home"

    @property
    def settings(self) -> Settings:
        """Its settings, as far as a case has changed them."""
        return settings_of(self.home).model_copy(update={"min_free_share": 0.0, **self.changes})

    @contextmanager
    def clock(self) -> Iterator[None]:
        """The platform's clock goes on from `now`, which moves with it."""
        begin, started = self.now, time.monotonic()

        def tell() -> datetime:
            return begin + timedelta(seconds=time.monotonic() - started)

        with mock.patch.object(operations, "clock", tell):
            try:
                yield
            finally:
                self.now = tell()

    def raised(self) -> set[str]:
        """Kinds that are raised now: the page and the metrics must agree."""
        with self.clock():
            shown = {alert.kind for alert in morning.look(self.settings).raised}
            text = metrics.expose(self.settings).decode()
        told = set(re.findall(r'nightledger_alert\{kind="(\w+)",urgent="\w+"\} 1\.0', text))
        if shown != told:
            raise Broken(f"the page shows {sorted(shown)}, the metrics say {sorted(told)}")
        return shown

    def run(self) -> str:
        """Name of a new run."""
        self.runs += 1
        return f"nightly/drill-{self.runs}"

    def start(self, day: date = DAY, *, tests: bool = False) -> None:
        """Start the night, or start it again: a run of its own from beginning to end."""
        with self.clock():
            run_night(self.settings, self.run(), day, tests=tests)

    def again(self) -> None:
        """`start`, as a step of the text."""
        self.done.append("start the night again")
        self.start()

    def until(self, stage: str, *, day: date = DAY) -> str:
        """Run a night up to a stage, without it; returns the run."""
        name = self.run()
        with self.clock(), without_data_tests():
            for each, step in runbook_cases.STEPS.items():
                if each == stage:
                    break
                step(self.settings, name, day)
        return name

    def go_on(self, run: str, stage: str, *, day: date = DAY) -> None:
        """Run the stages from one on: what Airflow does when its task is cleared."""
        names = list(runbook_cases.STEPS)
        with self.clock(), without_data_tests():
            for each in names[names.index(stage) :]:
                runbook_cases.STEPS[each](self.settings, run, day)

    def cleared(self, run: str, stage: str) -> None:
        """`go_on`, as a step of the text."""
        self.done.append(f"clear the task `{stage}`")
        self.go_on(run, stage)

    def fails(self, run: str, stage: str, *, tries: int = 1, day: date = DAY, tests: bool = False) -> str:
        """A stage must fail, as often as Airflow tries it; returns the message."""
        message = ""
        for _ in range(tries):
            try:
                with self.clock():
                    if tests:
                        runbook_cases.STEPS[stage](self.settings, run, day)
                    else:
                        with without_data_tests():
                            runbook_cases.STEPS[stage](self.settings, run, day)
            except Exception as error:  # noqa: BLE001 - whatever a stage raises is its failure
                message = str(error)
            else:
                raise Broken(f"{stage} did not fail")
        return message

    def command(self, words: str) -> str:
        """Do a command of the text as a process of its own, on this home; returns what it said."""
        self.done.append(f"`{words}`")
        environment = {
            **os.environ,
            "NIGHTLEDGER_HOME": str(self.home),
            "NIGHTLEDGER_INBOX": str(self.home / "bank" / "files"),
            **self.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        ran = subprocess.run(
            shlex.split(words), cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise Broken(f"{words}: {ran.stderr or ran.stdout}")
        return ran.stdout

    def open_build(self) -> Any:
        """The warehouse of the open night, to be written to."""
        return warehouse.connect(self.settings.builds / "open", read_only=False, settings=self.settings)


@dataclass(frozen=True)
class Case:
    """One alert: what causes it, and how its runbook is followed."""

    kind: str
    cause: str
    act: Callable[[Drill, Callable[[], None]], None]
    """Causes it, calls the function when it must be raised, then follows the text."""

    def is_raised(self, drill: Drill) -> bool:
        """Whether its alert is raised now."""
        if self.kind == NO_ANSWER:
            return not runbook_airflow.answers(drill)
        return self.kind in drill.raised()


@dataclass(frozen=True)
class Line:
    """What became of a case."""

    case: Case
    followed: str
    seconds: float
    wrong: str = ""


def make_start(root: Path) -> None:
    """A bank, its history and one night, with the files of the next night in the inbox."""
    drill = Drill(root, now=BEGIN - timedelta(days=1), runs=0)
    drill.home.mkdir(parents=True)
    simulate(drill.home, DAY - timedelta(days=1), customers=CUSTOMERS, days=DAYS)
    with drill.clock():
        run_night(drill.settings, "history/first", DAY - timedelta(days=2), "history", tests=False)
    drill.start(DAY - timedelta(days=1))
    simulate(drill.home, DAY, customers=CUSTOMERS, days=DAYS)
    drill.command("make backup")
    (made,) = (path for path in (root / "home-backups").iterdir() if path.is_dir())
    first = made.rename(made.with_name("first")) / "manifest.json"
    stamp = (drill.now - datetime(1970, 1, 1)).total_seconds()
    os.utime(first, (stamp, stamp))  # made by the real clock, which is later than the drill's
    copy(drill.home, root / "start")


def drill_case(root: Path, case: Case) -> Line:
    """Cause one alert and follow its runbook."""
    drill = Drill(root)
    operations.engine(drill.settings).dispose()  # its connections are to the file of the case before
    clear(drill.home)
    copy(root / "start", drill.home)
    for made in (root / "home-backups").iterdir():
        if made.is_dir() and made.name != "first":
            clear(made)
    started, was_raised = time.monotonic(), False

    def must_be_raised() -> None:
        nonlocal was_raised
        if not case.is_raised(drill):
            raise Broken(f"not raised; {sorted(drill.raised())} are")
        was_raised = True

    try:
        if case.kind in drill.raised():
            raise Broken("raised before anything happened")
        case.act(drill, must_be_raised)
        if not was_raised:
            raise Broken("nobody has looked whether it is raised")
        if case.is_raised(drill):
            raise Broken("still raised after the text was followed")
        wrong = ""
    except Exception as error:  # noqa: BLE001 - the other cases go on
        wrong = f"{type(error).__name__}: {error}"
    runbook_airflow.stop(drill)
    return Line(case, "; ".join(drill.done), time.monotonic() - started, wrong)


def write(path: Path, lines: list[Line], seconds: float) -> None:
    """The page of the drill."""
    wrong, minutes = sum(bool(line.wrong) for line in lines), seconds / 60
    busy = f" beside other work (load {load:.0f})" if (load := os.getloadavg()[2]) > 3 else ""
    size = f"{CUSTOMERS} customers, {DAYS} days"
    text = [
        "# Drill of the runbooks",
        "",
        "Generated by `make drill-runbooks`; do not edit. Each line caused an alert in a copy of a small",
        "home, saw it raised on the page *Nights* and in the metrics, followed the runbook, and saw it gone.",
        "",
        f"**{len(lines)} alerts, {wrong} with a fault, in {minutes:.0f} minutes{busy}** ({size}).",
        "",
        "| alert | caused by | followed | gone | s |",
        "|---|---|---|---|---|",
    ]
    for line in lines:
        alert = alerts.alerts()[line.case.kind]
        page, _, section = alert.runbook.partition("#")
        gone = f"**NO**: {line.wrong}".replace("|", "/").replace("\n", " ") if line.wrong else "yes"
        text.append(
            f"| [{alert.rule}](../runbooks/{page}.md#{section}) | {line.case.cause} | {line.followed} "
            f"| {gone} | {line.seconds:.0f} |"
        )
    path.write_text("\n".join(text) + "\n")


def main() -> int:
    """Drill every case; 1 when an alert did not come or did not go."""
    parser = argparse.ArgumentParser(prog="tests.drills.runbooks", description=__doc__)
    parser.add_argument("--only", nargs="*", help="kinds of alerts.yml; default: all that have a case here")
    parser.add_argument("--keep", type=Path, help="a folder for the home, kept for the next time")
    parser.add_argument("--table", type=Path, help="default: the page in docs/reference, if all ran")
    given = parser.parse_args()
    console, started = Console(width=140), time.monotonic()
    cases = [Case(*each) for each in runbook_cases.CASES]
    chosen = [case for case in cases if not given.only or case.kind in given.only]
    root = given.keep or Path(tempfile.mkdtemp(prefix="nightledger-runbooks-"))
    try:
        if not (root / "start").exists():
            console.print("A bank, its history and a night …")
            make_start(root)
        lines = []
        for case in chosen:
            lines.append(drill_case(root, case))
            line = lines[-1]
            console.print(
                f"{case.kind:>14}  {line.seconds:4.0f} s  {line.wrong or 'raised, followed, gone'}",
                markup=False,
            )
        if given.table or not given.only:
            write(given.table or PAGE, lines, time.monotonic() - started)
    finally:
        if not given.keep:
            clear(root)
            shutil.rmtree(root, ignore_errors=True)
    return 1 if any(line.wrong for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
