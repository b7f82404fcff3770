"""A disk that is full in each stage: a small file system of its own where that is allowed."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from nightledger import warehouse
from nightledger.settings import Settings
from tests.drills import points
from tests.drills.drill import Broken, Drill, Try
from tests.drills.stages import STAGES

FULL = "a full tmpfs"
LIMITED = "a limit on the size of files, as this system allows no mount"
ROOM = 3
"""The small disk is so many times as large as the home."""


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[str]:
    """Put a small file system at `path` if the system allows it; yields how disks are made full."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "nightledger-drill", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield FULL if mounted else LIMITED
    finally:
        if mounted:
            subprocess.run(["umount", str(path)], check=True)


def size_of(path: Path) -> int:
    """Bytes that a tree takes on disk."""
    return sum(p.lstat().st_blocks * 512 for p in path.rglob("*"))


def fill(home: Path, leave: int = 0) -> None:
    """Take all of the disk but so many bytes."""
    free = shutil.disk_usage(home).free - leave
    if free > 0:
        with (home / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)


def _limit(settings: Settings, _pipe: Any) -> None:
    """No file may be larger than half the warehouse: a write beyond is an error, as on a full disk."""
    path = settings.builds / "current" / warehouse.FILE
    size = path.stat().st_size // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _fill_at(home: Path, words: str, _pipe: Any) -> None:
    """Fill the disk just before the first step whose label holds these words."""

    def reached(label: str) -> None:
        if words in label and not (home / "ballast").exists():
            fill(home)

    points.watch(home, reached)


def full(drill: Drill, only: tuple[str, ...] = tuple(STAGES)) -> None:
    """Each stage on a disk without a free byte, and on one that is full after half of what it writes."""
    bench = drill.bench
    largest = max(size_of(bench.saved(stage)) for stage in STAGES)
    names = list(STAGES)
    with small_disk(bench.home, ROOM * largest) as way:
        for stage in only:
            following = names[names.index(stage) + 1 :]
            grown = size_of(bench.saved(following[0])) - size_of(bench.saved(stage)) if following else 0
            _one(drill, stage, way, "from its beginning", partial(fill, bench.home))
            if way == FULL and stage == "open":
                plant = partial(_fill_at, bench.home, f".part/{warehouse.FILE}")
                _one(drill, stage, way, "while it copies the base", lambda: None, plant)
            elif way == FULL and grown > 1 << 20:
                _one(drill, stage, way, "half-way", partial(fill, bench.home, leave=grown // 2))


def _one(
    drill: Drill,
    stage: str,
    way: str,
    when: str,
    make_full: Callable[[], None],
    plant: Callable[[Any], None] | None = None,
) -> None:
    with drill.fault("disk full", f"{stage}, {when}", stage, how=way) as night:
        if way == FULL:
            make_full()
        else:
            plant = partial(_limit, night.settings)
        outcome = night.step(stage, plant=plant)
        _judge(night, stage, outcome.state, outcome.error)
        (night.settings.home / "ballast").unlink(missing_ok=True)
        night.row.recovered = "room made, the same run tried again"
        night.resume(stage)


def _judge(night: Try, stage: str, state: str, error: str) -> None:
    if state == "done":
        night.row.happened = "needed no room"
    elif state != "failed":
        raise Broken(f"{stage} is {state}")
    elif "make room" not in error.lower():
        raise Broken(f"the message does not say to make room: {error}")
    else:
        night.row.happened = "failed"
