"""Processes that the launcher started, told apart from all others for as long as they live."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import psutil

CLOCK_SLACK = 2.0
"""Seconds by which the start of one process may seem to differ when the system's clock is set."""


@dataclass(frozen=True)
class Started:
    """A process by number and start; a number alone is given to another process one day.

    Each leads a session of its own, which all that it starts stay in. Process groups would not do: Airflow
    puts every task into one of its own.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this number now."""
        return cls(pid, psutil.Process(pid).create_time())

    def as_dict(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    def is_alive(self) -> bool:
        """Whether it runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            return self._is(process) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def session(self) -> list[psutil.Process]:
        """Everything of its session that still runs, itself included.

        When the leader is gone its number stays taken until the last member has gone, so it cannot mean
        another session. When another process has the number, nothing of the session is left.
        """
        try:
            if not self._is(psutil.Process(self.pid)):
                return []
        except psutil.NoSuchProcess:
            pass
        return [process for process in psutil.process_iter() if _session_of(process) == self.pid]

    def _is(self, process: psutil.Process) -> bool:
        return bool(abs(process.create_time() - self.created) < CLOCK_SLACK)


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return None


def stop(started: Sequence[Started], grace: float) -> None:
    """Stop processes and all they started: ask the leaders, wait, then kill what is left.

    Args:
        started: of the launcher; those that have gone already are fine.
        grace: seconds to end in peace.
    """
    for leader in started:
        if leader.is_alive():
            os.kill(leader.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(leader.session() for leader in started):
        time.sleep(0.2)
    # A dying process may have started another one in the meantime: look again until none is left.
    while left := [process for leader in started for process in leader.session()]:
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=5)
