"""Runs one function in a forked child, as Airflow runs a task, and kills it when told to."""

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORK = multiprocessing.get_context("fork")
LONGEST = 300.0
"""Seconds after which a child counts as hung."""


@dataclass
class Outcome:
    """How a child ended: `done`, `failed`, `killed` or `hung`."""

    state: str
    seconds: float
    value: Any = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)
    point: str = ""
    """The operation before which the child killed itself, if it did."""


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("nightledger"):
            self.lines.append(record.getMessage())


def preload() -> None:
    """Import in the parent what every child needs; a fork then costs nothing."""
    for name in ("alembic.command", "dbt.adapters.duckdb", "dbt.cli.main", "mlflow", "xgboost", "ml.scoring"):
        importlib.import_module(name)


class Child:
    """A running child; `wait` for it, or kill it after a while."""

    def __init__(
        self, function: Callable[[], Any], log: Path, *, plant: Callable[[Any], None] | None = None
    ) -> None:
        self._started = time.monotonic()
        self._ours, theirs = FORK.Pipe()
        self.process = FORK.Process(target=_main, args=(function, log, plant, theirs), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid or 0

    def wait(self, kill_after: float | None = None) -> Outcome:
        """Wait for the end; with `kill_after`, kill -9 that many seconds after the start."""
        deadline = self._started + (LONGEST if kill_after is None else kill_after)
        outcome, point = Outcome("killed", 0), ""
        while True:
            if not self._ours.poll(max(0.0, deadline - time.monotonic())):
                os.kill(self.pid, signal.SIGKILL)
                outcome.state = "hung" if kill_after is None else "killed"
                break
            try:
                kind, content = self._ours.recv()
            except EOFError:
                break
            if kind == "point":
                point = content
                continue
            outcome = content
            break
        self.process.join()
        outcome.seconds = time.monotonic() - self._started
        outcome.point = point
        return outcome


def _main(function: Callable[[], Any], log: Path, plant: Callable[[Any], None] | None, pipe: Any) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    warnings = _Warnings()
    logging.basicConfig(level=logging.INFO, handlers=[logging.StreamHandler(), warnings], force=True)
    try:
        if plant:
            plant(pipe)
        value = function()
        outcome = Outcome("done", 0, value=value, warnings=warnings.lines)
    except BaseException as error:
        logging.exception("the stage failed")
        outcome = Outcome("failed", 0, error=f"{type(error).__name__}: {error}", warnings=warnings.lines)
    pipe.send(("end", outcome))
    os._exit(0)
