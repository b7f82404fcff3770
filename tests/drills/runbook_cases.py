"""What causes each alert, and the steps of its runbook."""

import errno
import gzip
import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

from ml import scoring
from ml.scoring import ScoringRefused
from nightledger import ingestion
from nightledger.dbt.project import DbtFailed
from nightledger.dbt.runner import TestsFailed
from nightledger.night import steps as night
from nightledger.settings import Settings
from tests.drills.runbook_airflow import no_answer
from tests.drills.runbook_incidents import champion_lost, drift, performance
from tests.drills.stages import STAGES
from tests.helpers.steps import LAST

if TYPE_CHECKING:
    from tests.drills.runbooks import Drill

Look = Callable[[], None]


def _take_lock(settings: Settings, run: str, _day: date) -> None:
    assert night.take_lock(settings, run, lambda _: False)


def _open(settings: Settings, run: str, day: date) -> None:
    assert night.open_night(settings, run, day, "nightly") is not None


STEPS: dict[str, Callable[[Settings, str, date], Any]] = {
    "take_lock": _take_lock,
    "open": _open,
    **{
        name: (lambda step: lambda settings, run, _day: step(settings, run))(STAGES[name])
        for name in STAGES
        if name not in ("take_lock", "open")
    },
}
"""Every stage of a night by its task's name, in order."""


def audit(drill: "Drill", look: Look) -> None:
    """A row of raw is lost after dbt has read it."""
    run = drill.until("audit")
    with drill.open_build() as connection:
        connection.execute(
            "delete from raw.transactions where rowid = (select max(rowid) from raw.transactions)"
        )
    drill.fails(run, "audit")
    look()
    drill.again()


def test(drill: "Drill", look: Look) -> None:
    """A row stands in raw twice."""
    run = drill.until("dbt_merchants")
    with drill.open_build() as connection:
        last = "select max(rowid) from raw.transactions"
        connection.execute(
            f"insert into raw.transactions select * from raw.transactions where rowid = ({last})"
        )
    with drill.clock():
        for stage in ("dbt_merchants", "enrich", "dbt_features"):
            try:
                STEPS[stage](drill.settings, run, date.min)
            except (TestsFailed, DbtFailed):  # one of them finds it
                break
    look()
    drill.again()


def model(drill: "Drill", look: Look) -> None:
    """A table that a model reads is not there."""
    run = drill.until("dbt_features")
    with drill.open_build() as connection:
        connection.execute("alter table raw.accounts rename to accounts_away")
    drill.fails(run, "dbt_features", tries=3)
    look()
    drill.done.append("mend what the message names")
    with drill.open_build() as connection:
        connection.execute("alter table raw.accounts_away rename to accounts")
    drill.cleared(run, "dbt_features")


def refused(drill: "Drill", look: Look) -> None:
    """A model was trained on features that dbt no longer makes."""
    run = drill.until("score")
    told = ScoringRefused("churn v1 was trained on other features than features_customers has")
    with mock.patch.object(scoring, "score_night", side_effect=told):
        drill.fails(run, "score")
    look()
    drill.done.append("take the change of dbt back")
    drill.again()


def machine(drill: "Drill", look: Look) -> None:
    """The disk is full while files are loaded."""
    run = drill.until("ingest")
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch.object(ingestion, "load", side_effect=full):
        drill.fails(run, "ingest", tries=3)
    look()
    drill.done.append("make room")
    drill.cleared(run, "ingest")


def source(drill: "Drill", look: Look) -> None:
    """The bank has not sent its transactions."""
    files = [path for path in (drill.home / "bank" / "files").iterdir() if _is_of(path.name, "transactions")]
    aside = drill.root / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for path in files:
        path.rename(aside / path.name)
    run = drill.until("ingest")
    drill.fails(run, "ingest")
    look()
    drill.done.append("put the file into the inbox")
    for path in files:
        (aside / path.name).rename(path)
    drill.again()


def _is_of(name: str, feed: str) -> bool:
    return name.startswith(f"{feed}_2025-12-15")


def too_early(drill: "Drill", look: Look) -> None:
    """Somebody starts it in the afternoon."""
    drill.now -= timedelta(hours=12)
    run = drill.until("open")
    drill.fails(run, "open")
    look()
    drill.now += timedelta(hours=12)
    drill.again()


def damaged(drill: "Drill", look: Look) -> None:
    """A byte of the published warehouse is turned over."""
    drill.start()
    path = drill.settings.builds / "current" / "warehouse.duckdb"
    path.chmod(0o640)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 255]))
    drill.now += timedelta(minutes=20)
    run = drill.until("open")
    message = drill.fails(run, "open")
    look()
    words = message.partition("make rollback ")[2].partition('". Then')[0] + '"'
    drill.command(f"make rollback {words}")
    drill.again()


def moved(drill: "Drill", look: Look) -> None:
    """Somebody rolls back while the night runs."""
    run = drill.until("publish")
    drill.command('make rollback REASON="wrong numbers"')
    drill.done.clear()
    drill.fails(run, "publish")
    look()
    drill.again()


def other(drill: "Drill", look: Look) -> None:
    """Something that nobody foresaw."""
    run = drill.until("enrich")
    with mock.patch("nightledger.merchants.nearest.resolve_nearest", side_effect=ValueError("never seen")):
        drill.fails(run, "enrich", tries=3)
    look()
    drill.done.append("mend what the message names")
    drill.cleared(run, "enrich")


def silent(drill: "Drill", look: Look) -> None:
    """The process of a step is killed."""
    drill.until("dbt_features")
    drill.now += timedelta(hours=1)
    look()
    drill.again()


def late_soon(drill: "Drill", look: Look) -> None:
    """Nobody has started it, ten minutes before its deadline."""
    drill.now = drill.now.replace(hour=4, minute=51)
    look()
    drill.again()


def late(drill: "Drill", look: Look) -> None:
    """Nobody has started it."""
    drill.now = drill.now.replace(hour=5, minute=30)
    look()
    drill.done.append("tell the readers")
    drill.again()


def objective(drill: "Drill", look: Look) -> None:
    """One of two nights came late."""
    drill.now = drill.now.replace(hour=5, minute=30)
    drill.start()
    look()
    drill.done.append("set objectives that can be kept")
    drill.changes = {"on_time_objective": 0.4, "fresh_objective": 0.4}


def stale(drill: "Drill", look: Look) -> None:
    """No night has been published for too long."""
    drill.now = drill.now.replace(hour=6, minute=1)
    look()
    drill.again()


def source_late(drill: "Drill", look: Look) -> None:
    """A source that is not required, and has a calendar, brings nothing for a day."""
    sources = drill.root / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(drill.settings.sources, sources)
    path = sources / "demo_bank_transactions.yml"
    path.write_text(path.read_text().replace("required: true", "required: false"))
    drill.changes = {"sources": sources}
    files = [path for path in (drill.home / "bank" / "files").iterdir() if _is_of(path.name, "transactions")]
    for each in files:
        each.rename(drill.root / each.name)
    drill.start()
    look()
    drill.done.append("ask the bank: the file comes")
    for each in files:
        (drill.root / each.name).rename(each)
    drill.now += timedelta(hours=1)
    drill.done.append("the next night takes it up")
    drill.start()


def file_refused(drill: "Drill", look: Look) -> None:
    """A file comes with other fields, and with another sum than its manifest says."""
    path = drill.home / "bank" / "files" / f"events_{LAST}.jsonl.gz"
    meant = path.read_bytes()
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    drill.start()
    look()
    drill.done.append("ask the bank for another file: it comes")
    path.write_bytes(meant)
    drill.now += timedelta(hours=1)
    drill.again()


def disk(drill: "Drill", look: Look) -> None:
    """Less is free than three times what a night needs (as if the disk were fuller)."""
    grave = drill.settings.builds / "abandoned"
    grave.mkdir(exist_ok=True)
    usage = shutil.disk_usage(drill.home)
    drill.changes = {"min_free_share": (usage.free / usage.total + 0.01) / 3}
    look()
    drill.command(f"rm -rf {grave}")
    drill.done[-1] = "`rm -rf <home>/builds/abandoned`"
    drill.done.append("make the disk larger")
    drill.changes = {}


def backup(drill: "Drill", look: Look) -> None:
    """Nobody has made a backup for two days."""
    drill.start()
    drill.now += timedelta(days=2)
    look()
    drill.command("make backup")  # made by the real clock, which is later than the drill's


CASES = [
    ("audit", "a row of raw is lost", audit),
    ("test", "a row of raw stands there twice", test),
    ("model", "a table that a model reads is not there", model),
    ("refused", "a model knows other features (told)", refused),
    ("source", "the bank has not sent its transactions", source),
    ("too_early", "started twelve hours before its time", too_early),
    ("damaged", "a byte of the published warehouse is turned over", damaged),
    ("moved", "rolled back while the night runs", moved),
    ("machine", "no space left on the device", machine),
    ("other", "an error that nobody foresaw", other),
    ("silent", "the process of a step is gone", silent),
    ("late_soon", "not begun nine minutes before its deadline", late_soon),
    ("late", "not begun half an hour after its deadline", late),
    ("objective", "one of two nights came late", objective),
    ("source_late", "a source that is not required brings nothing", source_late),
    ("file_refused", "a file with other fields", file_refused),
    ("champion_lost", "a champion costs more than a client allows", champion_lost),
    ("drift", "a feature of a champion drifts", drift),
    ("performance", "twice as much happens as a champion expected", performance),
    ("stale", "no night for more than 30 hours", stale),
    ("disk", "less free than three times the least", disk),
    ("backup", "no backup for two days", backup),
    ("unreachable", "its processes are killed, the supervisor first", no_answer),
]
