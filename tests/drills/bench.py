"""The scratch directory of a drill: a bank, the night's start, and a copy of the home before each stage.

The home under test always lies at the same path, so that dbt's partial parse holds for every copy.
"""

import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from nightledger.settings import Settings
from tests.drills.children import Child, Outcome
from tests.drills.stages import DAY, STAGES
from tests.helpers.steps import first_model, run_night, settings_of, simulate


@dataclass(frozen=True)
class Bench:
    """Where a drill works."""

    root: Path
    customers: int = 250
    days: int = 350
    made: Path | None = None
    """A home that is such a start already, to be copied."""

    @property
    def home(self) -> Path:
        """The home under test."""
        return self.root / "home"

    @property
    def settings(self) -> Settings:
        """Settings of the home under test."""
        return settings_of(self.home)

    @property
    def log(self) -> Path:
        """Everything that the children say."""
        return self.root / "children.log"

    def saved(self, stage: str) -> Path:
        """The copy of the home as it was before a stage of the undisturbed night."""
        return self.root / "before" / stage

    def save(self, stage: str) -> None:
        """Copy the home as it is before a stage."""
        self.saved(stage).parent.mkdir(exist_ok=True)
        copy(self.home, self.saved(stage))

    def restore(self, stage: str) -> None:
        """Make the home what it was before a stage."""
        clear(self.home)
        copy(self.saved(stage), self.home)
        shutil.rmtree(self.root / "alive", ignore_errors=True)

    def make_start(self) -> Outcome:
        """History, a model and the night before; the files of the night that will be disturbed are there."""
        self.home.mkdir(parents=True)

        def start() -> None:
            if self.made:
                copy(self.made, self.home)
                return
            day_before = DAY - timedelta(days=1)
            simulate(self.home, day_before, customers=self.customers, days=self.days)
            run_night(self.settings, "history/first", DAY - timedelta(days=2), "history")
            first_model(self.settings)
            run_night(self.settings, "nightly/first", day_before)
            simulate(self.home, DAY, customers=self.customers, days=self.days)

        return Child(start, self.log).wait()

    def undisturbed(self, run_id: str) -> dict[str, float]:
        """Run the night stage by stage, saving the home before each; returns seconds by stage."""
        seconds = {}
        for stage, step in STAGES.items():
            self.save(stage)
            outcome = Child(lambda step=step: step(self.settings, run_id), self.log).wait()
            if outcome.state != "done":
                raise RuntimeError(f"the undisturbed night broke in {stage}: {outcome.error}")
            seconds[stage] = outcome.seconds
        return seconds


def copy(source: Path, target: Path) -> None:
    """Copy a tree with times and modes, sharing blocks where the file system can."""
    target.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", target], check=True)


def clear(path: Path) -> None:
    """Remove a tree, read-only directories too; a mount point is only emptied."""
    if not path.exists():
        return
    for folder in [path, *(p for p in path.rglob("*") if p.is_dir() and not p.is_symlink())]:
        folder.chmod(0o750)
    if path.is_mount():
        for child in path.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    else:
        shutil.rmtree(path)
