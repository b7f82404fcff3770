"""Runs one fault after another, each on a fresh copy of the night's start, and keeps what happened."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from nightledger.dbt import project
from nightledger.settings import Settings
from tests.drills.bench import Bench
from tests.drills.children import Child, Outcome
from tests.drills.judge import Facts, Reader, facts, losses
from tests.drills.stages import STAGES, from_stage, whole_night

RUN = "nightly/drill"
OTHER = "nightly/again"


class Broken(AssertionError):
    """The platform did not behave as it must; the text says how."""


@dataclass
class Row:
    """One line of the table of faults."""

    group: str
    where: str
    how: str
    happened: str = ""
    message: str = ""
    recovered: str = ""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0

    def hide(self, home: str) -> None:
        """Say `<home>` instead of where it lay this time."""
        self.where, self.happened, self.message, self.recovered = (
            text.replace(home, "<home>") for text in (self.where, self.happened, self.message, self.recovered)
        )
        self.wrong = [text.replace(home, "<home>") for text in self.wrong]


@dataclass(frozen=True)
class Result:
    """What some faults came to, and what they were planted in."""

    rows: list[Row]
    stage_seconds: dict[str, float]
    """Of the undisturbed night."""
    customers: int
    days: int


@dataclass
class Try:
    """One disturbed night."""

    drill: "Drill"
    row: Row
    run: str = RUN
    publications: int = 1
    """How many publications must have been added at the end."""
    allowed: set[str] = field(default_factory=set)
    """Contents that readers may see besides those before and after."""

    @property
    def settings(self) -> Settings:
        """Settings of the home under test."""
        return self.drill.bench.settings

    def start(self, stage: str, run: str | None = None, plant: Callable[[Any], None] | None = None) -> Child:
        """Start one stage in a child of its own."""
        name = run or self.run
        return Child(lambda: STAGES[stage](self.settings, name), self.drill.bench.log, plant=plant)

    def step(self, stage: str, run: str | None = None, plant: Callable[[Any], None] | None = None) -> Outcome:
        """Run one stage; keeps its message."""
        outcome = self.start(stage, run, plant).wait()
        self.note(outcome)
        return outcome

    def start_night(
        self, run: str, *, force: bool = False, plant: Callable[[Any], None] | None = None
    ) -> Child:
        """Start a whole night in one child; it waits for the lock as the sensor does."""
        return Child(lambda: whole_night(self.settings, run, force=force), self.drill.bench.log, plant=plant)

    def note(self, outcome: Outcome) -> None:
        """Keep the first thing that a person was told: later ones are about the recovery."""
        self.row.message = self.row.message or outcome.error or "; ".join(outcome.warnings)

    def go(self, stages: list[str], run: str | None = None) -> None:
        """Run stages that must succeed; the night ends early when there is nothing to do."""
        for stage in stages:
            outcome = self.step(stage, run)
            if outcome.state != "done":
                raise Broken(f"{stage} did not recover: {outcome.state} {outcome.error}")
            if stage == "open" and outcome.value is None:
                return

    def resume(self, stage: str) -> None:
        """Go on with the same run from a stage, as Airflow's retry does."""
        self.row.recovered = self.row.recovered or "the same run, tried again"
        self.go(from_stage(stage))

    def take_over(self) -> None:
        """Let a new run build the night from its beginning."""
        self.row.recovered = self.row.recovered or "a new run"
        self.go(from_stage("take_lock"), OTHER)

    def failed(self, outcome: Outcome, *words: str) -> None:
        """The outcome must be an error whose message holds these words."""
        if outcome.state != "failed":
            raise Broken(f"should have failed, but is {outcome.state}")
        if missing := [word for word in words if word.lower() not in outcome.error.lower()]:
            raise Broken(f"the message lacks {missing}: {outcome.error}")


@dataclass
class Drill:
    """The faults' common ground: a bench, what an undisturbed night gives, and the table so far."""

    bench: Bench
    console: Console
    seed: int = 4
    rows: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    reference: Facts = field(init=False)
    before: Facts = field(init=False)
    dice: random.Random = field(init=False)

    def prepare(self) -> None:
        """Make the start, run the undisturbed night, and keep what it gave."""
        self.dice = random.Random(self.seed)
        self.console.print("A bank, its history, a model and the night before …")
        self._need(self.bench.make_start(), "the start")
        project.parse(self.bench.settings)  # every child inherits it
        self.before = self.look()
        self.console.print("The undisturbed night …")
        self.seconds = self.bench.undisturbed(RUN)
        self.reference = self.look()
        if not self.reference.tables["staging.stg_scores"][0]:
            raise Broken("no model could be trained on the drill's bank, so its night scores nobody")
        total = sum(self.seconds.values())
        self.console.print(f"  {total:.1f} s, content {self.reference.content[:12]}")

    def look(self) -> Facts:
        """What the home under test holds now."""
        return self._need(Child(lambda: facts(self.bench.settings), self.bench.log).wait(), "looking")

    def _need(self, outcome: Outcome, what: str) -> Any:
        if outcome.state != "done":
            said = self.bench.log.read_text(errors="replace")[-4000:]
            raise Broken(f"{what} failed: {outcome.state} {outcome.error}\n{said}")
        return outcome.value

    @contextmanager
    def fault(
        self, group: str, where: str, stage: str = "take_lock", *, how: str = "", reader: bool = True
    ) -> Iterator[Try]:
        """A fresh home as it was before `stage`; judged at the end, whatever happened inside."""
        started = time.monotonic()
        row = Row(group, where, how)
        self.bench.restore(stage)
        attempt = Try(self, row)
        watcher = Reader(self.bench) if reader else None
        try:
            yield attempt
        except Broken as error:
            row.wrong.append(str(error))
        finally:
            if watcher:
                seen, problems = watcher.stop()
                row.wrong += [f"a reader met: {problem}" for problem in problems[:3]]
                if strange := seen - attempt.allowed - {self.before.content, self.reference.content}:
                    row.wrong.append(f"a reader saw half a night: {strange}")
        if not row.wrong:
            row.wrong += self._judge(attempt)
        row.seconds = time.monotonic() - started
        row.hide(str(self.bench.home))
        self.rows.append(row)
        self._say(row)

    def _judge(self, attempt: Try) -> list[str]:
        outcome = Child(
            lambda: losses(attempt.settings, self.reference, self.before, attempt.publications),
            self.bench.log,
        ).wait()
        return outcome.value if outcome.state == "done" else [f"cannot be judged: {outcome.error}"]

    def _say(self, row: Row) -> None:
        mark = "[red]LOSS[/]" if row.wrong else "[green]ok[/]  "
        self.console.print(
            f"{len(self.rows):4} {mark} {row.seconds:5.1f} s  {row.group}: {row.where}", highlight=False
        )
        for problem in row.wrong:
            self.console.print(f"          {problem}", style="red", markup=False, highlight=False)
