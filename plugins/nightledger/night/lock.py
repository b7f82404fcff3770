"""The lock that lets one night be open, and what is pinned in it.

It is a file, not a row in Airflow's metadata, so that commands, backfills and a second scheduler obey it too.
"""

import fcntl
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from nightledger import operations, publications, trouble, warehouse
from nightledger.settings import Settings

log = logging.getLogger(__name__)


class NightError(RuntimeError):
    """A step of the night cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class Night:
    """What is pinned when a night opens."""

    run: str
    kind: str
    """`nightly`, or `history`: features at every month-end and no scores."""
    night_of: str
    """The business date D that the night is for."""
    base: str | None
    """The publication that it was copied from."""
    publication_id: str
    code_revision: str
    since: str | None = None
    """`history` only: the first date whose month-end is built; none: the first business date."""
    full_tests: bool = True
    """Whether dbt's tests read whole tables, or only what the night touches."""
    month_ends: bool = False
    """`nightly` only: of the dates since the last publication, only month-ends and the night's own."""


def take(settings: Settings, run_id: str, is_alive: Callable[[str], bool]) -> bool:
    """Make `run_id` the one night that is open.

    A run that already holds the lock resumes. The remains of a run that is no longer alive go to
    `builds/abandoned/` (the last one is kept).

    Args:
        settings: of the installation.
        run_id: who asks.
        is_alive: tells whether another run is still going on.

    Returns:
        False while another live run holds the lock.

    Raises:
        nightledger.trouble.MachineTrouble: the disk is full, or operations.db is locked.
    """
    settings.builds.mkdir(parents=True, exist_ok=True)
    with trouble.explained(settings), _guard(settings):
        content = _read(settings)
        if content and content["run"] != run_id:
            if is_alive(content["run"]):
                log.info("the night of %s is open; %s waits", content["run"], run_id)
                return False
            _abandon(settings, content["run"])
        if not content or content["run"] != run_id:
            _write(settings, {"run": run_id, "base": publications.current_id(settings)})
        _sweep(settings)
    return True


def _sweep(settings: Settings) -> None:
    """Remove what killed processes left in the landing area: half-made copies, and copies made for reading.

    Only the holder of the lock reads files there; people may be landing one at any time.
    """
    for made in (".even-*", ".pull-*"):
        for copies in settings.landing.glob(made):
            shutil.rmtree(copies, ignore_errors=True)
    for part in settings.landing.glob(".*.part"):
        if not psutil.pid_exists(int(part.name.split(".")[1])):
            part.unlink(missing_ok=True)


@contextmanager
def _guard(settings: Settings) -> Iterator[None]:
    """Let one process at a time look at the lock and take it; the kernel frees the guard of a dead one."""
    with (settings.builds / ".guard").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def release(settings: Settings, run_id: str) -> None:
    """Let the next night open; only the holder can."""
    if holder(settings) == run_id:
        (settings.builds / "lock.json").unlink()


def holder(settings: Settings) -> str | None:
    """The run that has a night open, or None."""
    content = _read(settings)
    return content["run"] if content else None


def base_of(settings: Settings, run_id: str) -> str | None:
    """The publication that was current when `run_id` took the lock.

    Raises:
        NightError: `run_id` does not hold the lock.
    """
    content = _read(settings)
    if not content or content["run"] != run_id:
        raise NightError(f"{run_id} does not hold the lock; the step `take_lock` comes first")
    base: str | None = content["base"]
    return base


def pinned(settings: Settings, run_id: str) -> Night | None:
    """What `run_id` has pinned, or None when it has not opened its night yet.

    Raises:
        NightError: another run holds the lock, or none does.
    """
    content = _read(settings)
    if not content or content["run"] != run_id:
        held_by = content["run"] if content else "nobody"
        raise NightError(f"{run_id} has no night open (the lock is held by {held_by}). Start a new run.")
    return Night(**content["night"]) if "night" in content else None


def pin(settings: Settings, night: Night) -> None:
    """Write down what a night has pinned, in one atomic step."""
    _write(settings, {"run": night.run, "base": night.base, "night": asdict(night)})


def _read(settings: Settings) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads((settings.builds / "lock.json").read_text())
    except FileNotFoundError:
        return None
    return content


def _write(settings: Settings, content: dict[str, Any]) -> None:
    temporary = settings.builds / ".lock.part"
    temporary.write_text(json.dumps(content))
    temporary.replace(settings.builds / "lock.json")


def _abandon(settings: Settings, dead_run: str) -> None:
    """Set a dead run's build aside; finish the log of one that died just after moving the pointer."""
    current = warehouse.publication_path(settings)
    if current:
        publications.ensure_logged(settings, current)
    logged = {row["publication_id"] for row in operations.publication_log(settings)}
    grave = settings.builds / "abandoned"
    for path in sorted(settings.builds.iterdir()):
        if path.is_symlink() or not path.is_dir() or path == grave or path.name in logged:
            continue
        if grave.exists():
            publications.remove(grave)
        path.chmod(0o750)
        path.rename(grave)
        log.warning("the remains of %s (%s) are now in %s", dead_run, path.name, grave)
    (settings.builds / "open").unlink(missing_ok=True)
    operations.end_run(settings, dead_run, "failed")
