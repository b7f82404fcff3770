"""A held reader, two nights at once, jumping clocks, changing files, a damaged base, a locked database."""

import hashlib
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from nightledger import operations, publications, warehouse
from nightledger.ingestion import landing, preflight
from nightledger.settings import Settings
from tests.drills.children import FORK, Child
from tests.drills.drill import OTHER, Broken, Drill, Try
from tests.drills.judge import Reader
from tests.drills.stages import DAY, STAGES, from_stage

PROJECT = Path(__file__).resolve().parents[2]


def held_reader(drill: Drill) -> None:
    """A connection that was opened before the night keeps its numbers until it is closed."""
    with drill.fault("reader", "the whole night", how="one connection open from before take_lock") as night:
        holder = Reader(drill.bench, hold=True)
        night.go(list(STAGES))
        seen, problems = holder.stop()
        if problems or seen != {drill.before.content}:
            raise Broken(f"its numbers moved: {seen} {problems}")
        night.row.happened = "its numbers stood still; the next connection saw the new night"
        night.row.recovered = "not needed"


def two_nights(drill: Drill) -> None:
    """Two runs of one date started together: one waits for the other."""
    for force, added in ((False, 1), (True, 2)):
        how = "the second with force" if force else "the same date, by two runs"
        with drill.fault("two nights at once", "the whole night", how=how) as night:
            night.publications = added
            first = night.start_night(night.run)
            time.sleep(0.05)
            second = night.start_night(OTHER, force=force)
            ends = [first.wait(), second.wait()]
            if [end.state for end in ends] != ["done", "done"]:
                raise Broken("; ".join(f"{end.state} {end.error}" for end in ends))
            made = [end.value for end in ends if end.value]
            if len(made) != added or len(set(made)) != added:
                raise Broken(f"published {made}")
            night.row.happened = f"one waited for the other; {added} published"
            night.row.recovered = "not needed"
    with drill.fault("two nights at once", "ingest", how="a task of a run without the lock") as night:
        night.go(["take_lock", "open"])
        night.failed(night.step("ingest", OTHER), "Start a new run")
        night.row.happened = "failed"
        night.row.recovered = "the holder goes on"
        night.go(from_stage("ingest"))


def clocks(drill: Drill) -> None:
    """A clock that jumps between stages, and at every look."""

    def shifted(shift: Callable[[int], timedelta]) -> Callable[[Any], None]:
        def plant(_pipe: Any) -> None:
            now, looks = operations.clock, 0

            def clock() -> datetime:
                nonlocal looks
                looks += 1
                return now() + shift(looks)

            operations.clock = clock

        return plant

    jumps: dict[str, Callable[[int, int], timedelta]] = {
        "3 days ahead after open": lambda stage, _look: timedelta(days=3 * (stage > 1)),
        "2 days back after open": lambda stage, _look: timedelta(days=-2 * (stage > 1)),
        "5 hours to and fro between stages": lambda stage, _look: timedelta(hours=5 * (-1) ** stage),
        "an hour back at every look": lambda _stage, look: timedelta(hours=-look),
        "40 days ahead the whole night": lambda _stage, _look: timedelta(days=40),
    }
    for name, jump in jumps.items():
        with drill.fault("clock", name, how="operations.clock replaced in the tasks") as night:
            for number, stage in enumerate(STAGES):
                plant = shifted(partial(jump, number))
                outcome = night.step(stage, plant=plant)
                if outcome.state != "done":
                    raise Broken(f"{stage}: {outcome.state} {outcome.error}")
            night.row.happened, night.row.recovered = "published", "not needed"
    with drill.fault("clock", "before the cutoff at open", how="the clock set to noon of the date") as night:
        night.go(["take_lock"])
        noon = datetime.combine(DAY, datetime.min.time()) + timedelta(hours=12)
        behind = noon - operations.clock()
        night.failed(night.step("open", plant=shifted(lambda _look: behind)), "cannot start before")
        night.row.happened, night.row.recovered = "failed", "the clock set right, the same run tried again"
        night.go(from_stage("open"))


def _files_of_tonight(settings: Settings) -> list[Path]:
    """The files that came for the date, the largest first."""
    inbox = settings.inbox or settings.home
    found = {path for day in (f"{DAY}", f"{DAY:%Y%m%d}") for path in inbox.rglob(f"*{day}*")}
    files = [path for path in found if not path.name.endswith(landing.MANIFEST)]
    return sorted(files, key=lambda path: path.stat().st_size, reverse=True)


def changing_files(drill: Drill) -> None:
    """A landed file, and a file of the inbox, that somebody writes to at the worst moment."""

    def change_after_check(name: str, _pipe: Any) -> None:
        check = preflight.check

        def checked(arrival: landing.Arrival, *others: Any) -> preflight.Layout:
            layout = check(arrival, *others)
            if arrival.file == name:
                content = arrival.path.read_bytes()
                arrival.path.chmod(0o640)
                arrival.path.write_bytes(content[:-20])
            return layout

        preflight.check = checked

    def change_before_check(name: str, _pipe: Any) -> None:
        check = preflight.check

        def checked(arrival: landing.Arrival, *others: Any) -> preflight.Layout:
            if arrival.file == name:
                arrival.path.chmod(0o640)
                with arrival.path.open("ab") as file:
                    file.write(b"one more line\n")
            return check(arrival, *others)

        preflight.check = checked

    moments = {"while it is read": change_after_check, "after it landed": change_before_check}
    for number, (when, plant) in enumerate(moments.items()):
        with drill.fault("landing file changes", f"ingest, {when}", how="its bytes are changed") as night:
            name = _files_of_tonight(night.settings)[number].name
            night.go(["take_lock", "open"])
            outcome = night.step("ingest", plant=partial(plant, name))
            told = _verdicts(night)
            refused = [row for row in told if row["verdict"] == "refused" and name in row["file"]]
            required = "required source" in outcome.error  # nothing is published without it
            changed = len(refused) == 1 and "changed" in refused[0]["message"]
            if not changed or not (outcome.state == "done" or required):
                raise Broken(f"not refused: {outcome.state} {outcome.error} {told}")
            if not any(row["verdict"] == "loaded" for row in told):
                raise Broken("the other files were not loaded")
            night.row.message = refused[0]["message"]
            night.row.happened = "this file refused, the others loaded"
            night.row.happened += "; its source is required, so the night stopped" if required else ""
            night.row.recovered = "the landing area restored, a new run"
            _restore_landing(night.settings, name)
            night.take_over()
    with drill.fault("inbox file changes", "ingest, while it lands", how="the sender is writing") as night:
        night.publications = 2
        path = _files_of_tonight(night.settings)[1]
        whole, stat = path.read_bytes(), path.stat()
        half = whole[: len(whole) // 2]
        path.write_bytes(half)

        def write_the_rest(_pipe: Any) -> None:
            land, sha256 = landing.land, hashlib.sha256

            def landed(settings: Settings, file: Path, *others: Any) -> bool:
                if file != path:
                    return land(settings, file, *others)

                def begin() -> Any:  # it has looked at the file and begins to copy
                    path.write_bytes(whole)
                    return sha256()

                with mock.patch.object(landing.hashlib, "sha256", begin):
                    return land(settings, file, *others)

            landing.land = landed

        night.go(["take_lock", "open"])
        outcome = night.step("ingest", plant=write_the_rest)
        path.write_bytes(whole)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if outcome.state != "done":
            raise Broken(f"ingest: {outcome.state} {outcome.error}")
        if any(row["file"] == path.name for row in _verdicts(night)):
            raise Broken(f"half a file was landed: {_verdicts(night)}")
        night.go(from_stage("dbt_merchants"))
        night.allowed.add(drill.look().content)
        night.row.happened = "left in the inbox; the others loaded and published"
        night.row.recovered = "a new run takes the whole file"
        night.go(list(STAGES), OTHER)


def _verdicts(night: Try) -> list[dict[str, Any]]:
    child = Child(lambda: operations.file_verdicts(night.settings, night.run), night.drill.bench.log)
    rows: list[dict[str, Any]] = child.wait().value
    return rows


def _restore_landing(settings: Settings, name: str) -> None:
    """Put the bytes back that arrived, as `make restore` does."""
    inbox = settings.inbox or settings.home
    original = next(path for path in inbox.rglob(name))
    [arrival] = [arrival for arrival in landing.arrivals(settings) if arrival.file == name]
    arrival.path.write_bytes(original.read_bytes())


def damaged_base(drill: Drill, only: tuple[str, ...] = ()) -> None:
    """The current publication is damaged; the message's own command must help."""

    def overwrite(at: Callable[[int], int], path: Path) -> None:
        file = path / warehouse.FILE
        with file.open("r+b") as stream:
            stream.seek(at(file.stat().st_size))
            there = stream.read(16)
            stream.seek(-len(there), os.SEEK_CUR)
            stream.write(bytes(byte ^ 0xFF for byte in there))

    def truncate(path: Path) -> None:
        os.truncate(path / warehouse.FILE, (path / warehouse.FILE).stat().st_size // 2)

    damages: dict[str, Callable[[Path], object]] = {
        "its warehouse cut in half": truncate,
        "bytes flipped in the header": partial(overwrite, lambda _size: 8),
        "bytes flipped in the middle": partial(overwrite, lambda size: size // 2),
        "its warehouse missing": lambda path: (path / warehouse.FILE).unlink(),
        "publication.json missing": lambda path: (path / "publication.json").unlink(),
        "publication.json cut off": lambda path: os.truncate(path / "publication.json", 100),
    }
    how = "the publication that the night would start from"
    for name, damage in damages.items():
        if only and name not in only:
            continue
        with drill.fault("damaged base", f"open, {name}", how=how, reader=False) as night:
            path = (night.settings.builds / "current").resolve()
            for part in (path, *path.iterdir()):
                part.chmod(0o750)
            damage(path)
            night.go(["take_lock"])
            night.failed(night.step("open"), "make rollback TO=")
            night.row.happened = "failed"
            night.row.recovered = "the command of the message, then a new run"
            _do_as_told(night)
            night.go(list(STAGES), OTHER)


def _do_as_told(night: Try) -> None:
    """Run the rollback that the message names, as `make` would."""
    told = re.search(r'make rollback TO=(\S+) REASON="([^"]+)"', night.row.message)
    if not told:
        raise Broken(f"no command in the message: {night.row.message}")
    words = shlex.split(f'rollback --reason "{told[2]}" --to "{told[1]}"')
    message = night.row.message
    done = subprocess.run(
        [sys.executable, "-m", "nightledger.publications", *words],
        env=os.environ | {"NIGHTLEDGER_HOME": str(night.settings.home)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or publications.current_id(night.settings) != told[1]:
        raise Broken(f"the command of the message failed: {done.stdout} {done.stderr}")
    night.row.message = message


def locked_database(
    drill: Drill, stages: tuple[str, ...] = ("open", "ingest", "dbt_features", "audit", "publish")
) -> None:
    """Another process keeps operations.db locked, for less and for more than the patience of a task."""
    for stage in stages:
        for longer in (False, True):
            where = f"{stage}, for {'longer' if longer else 'less'} than a task waits"
            with drill.fault("operations.db locked", where, stage, how="an exclusive SQLite lock") as night:
                ours, theirs = FORK.Pipe()
                locker = Child(partial(_lock, night.settings, theirs), drill.bench.log)
                ours.recv()
                running = night.start(stage, plant=_impatient if longer else None)
                if longer:
                    outcome = running.wait()
                    ours.send("enough")
                else:
                    time.sleep(2)
                    ours.send("enough")
                    outcome = running.wait()
                locker.wait()
                night.note(outcome)
                if longer:
                    night.failed(outcome, "locked", "fuser")
                    night.row.happened = "failed"
                    night.row.recovered = "the lock gone, the same run tried again"
                    night.resume(stage)
                else:
                    if outcome.state != "done":
                        raise Broken(f"did not wait: {outcome.error}")
                    night.row.happened, night.row.recovered = "waited", "not needed"
                    night.go(from_stage(stage)[1:])


def _impatient(_pipe: Any) -> None:
    operations.PATIENCE = 1.0


def _lock(settings: Settings, pipe: Any) -> None:
    connection = sqlite3.connect(settings.operations_dsn.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("begin exclusive")
    pipe.send("locked")
    pipe.recv()
    connection.execute("rollback")
    connection.close()
