"""What somebody who is woken at 3 a.m. must know: can people trust the numbers, what runs, what failed, why.

Everything is read at one moment from the operational database, the lock and the current publication; nothing
is written. Times are UTC without a zone.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nightledger import operations, publications, warehouse
from nightledger.backup_set import MANIFEST
from nightledger.monitoring import alerts, deadlines, run_state
from nightledger.monitoring.run_state import Failure, Run
from nightledger.operations.schema import runs, stages
from nightledger.settings import Settings

STRIP = 14
"""Nights of the strip."""
SHOWN = 12
"""Tables whose rows are shown, the largest first."""
ROOM = 3
"""People are told when the disk has less free than so many times the share at which a night is refused."""
BACKUP_AGE = timedelta(days=2)
"""A backup is made every day; one may fail."""


@dataclass(frozen=True)
class Published:
    """The publication that readers see."""

    publication_id: str
    as_of_date: date
    at: datetime | None
    """When it became current; None when the log does not know it."""
    kind: str
    checks: int
    warned: list[tuple[str, str]]
    """Checks of its audit that found something, and what."""
    bytes: int
    tables: dict[str, int]
    """Rows of each table."""


@dataclass(frozen=True)
class Cost:
    """What one run took, over all tries of its stages."""

    run: str
    as_of_date: date
    state: str
    opened_at: datetime
    wall: timedelta | None
    cpu_seconds: float | None
    """None for runs from before this was measured."""
    peak_mb: float | None
    records: int
    quarantined: int
    scored: int

    def price(self, settings: Settings) -> float | None:
        """Its CPU time by `NIGHTLEDGER_CPU_HOUR_PRICE`."""
        return None if self.cpu_seconds is None else self.cpu_seconds / 3600 * settings.cpu_hour_price


@dataclass(frozen=True)
class Stage:
    """One stage: how long it usually takes, and what it took the last time it was run."""

    name: str
    usual: float | None
    seconds: float
    state: str
    cpu_seconds: float | None
    peak_mb: float | None


@dataclass
class Morning:
    """Everything that the page shows."""

    now: datetime
    published: Published | None
    damage: str | None
    """Why the publication that readers should see cannot be read."""
    nights: list[deadlines.Night]
    """The newest `STRIP`, oldest first."""
    due: deadlines.Night | None
    """The deadline that comes next, or that has passed."""
    standard: deadlines.Standard
    usual: deadlines.Usual
    at_work: list[Run]
    """Runs that run or wait."""
    failure: Failure | None
    """Of the last run of a night, while nothing was published since."""
    failed_dates: set[date]
    late_sources: list[str]
    refused: list[tuple[str, str]]
    incidents: list[dict[str, Any]]
    free_bytes: int
    disk_bytes: int
    backup_at: datetime | None
    costs: list[Cost]
    stages: list[Stage]
    grown: dict[str, int | None] = field(default_factory=dict)
    """By how many rows each table differs from the publication before; None: it is new."""
    raised: list[alerts.Alert] = field(default_factory=list)
    """What is on fire now."""

    def expected_at(self, run: Run) -> datetime:
        """When a run will be published if the rest takes as long as usual."""
        spent = self.now - run.since if run.stage in self.usual.seconds else timedelta(0)
        stage = timedelta(seconds=self.usual.seconds.get(run.stage or "", 0.0))
        return self.now + max(self.usual.remaining(run.done) - min(spent, stage), timedelta(0))


def look(settings: Settings) -> Morning:
    """See how things stand."""
    now = operations.clock()
    known = deadlines.nights(settings, now)
    recent = run_state.last_runs(settings, now)
    try:
        published, damage = _published(settings), None
    except (publications.Damaged, OSError) as error:
        published, damage = None, str(error)
    busy = [run for run in recent if run.state in ("running", "tried again", "silent", "waiting")]
    last = next((run for run in recent if run.state not in ("waiting", "nothing to do")), None)
    failed = last is not None and last.state in ("failed", "tried again")
    costs = _costs(settings, {run.run_id: run.state for run in recent})
    usual = deadlines.usual(settings)
    night = next((run for run in recent if run.run_id.startswith("nightly/")), None)
    usage = shutil.disk_usage(next(path for path in (settings.home, *settings.home.parents) if path.exists()))
    found = Morning(
        now=now,
        published=published,
        damage=damage,
        nights=known[-STRIP:],
        due=deadlines.next_due(known, settings, now),
        standard=deadlines.standard(settings, known, now),
        usual=usual,
        at_work=busy,
        failure=run_state.why(settings, last) if failed and last is not None else None,
        failed_dates={run.as_of_date for run in recent if run.error and run.as_of_date},
        late_sources=_late_sources(settings),
        refused=run_state.refused(settings, night.run_id) if night else [],
        incidents=_incidents(settings),
        free_bytes=usage.free,
        disk_bytes=usage.total,
        backup_at=_last_backup(settings),
        costs=costs,
        stages=_stages(settings, usual),
        grown=_grown(settings, published),
    )
    found.raised = _raised(settings, found)
    return found


def late_kind(found: Morning) -> str | None:
    """`late` when a deadline has passed, `late_soon` when the rest is likely to take longer than is left."""
    due = found.due
    if due is None or not due.is_judged:
        return None
    if due.state(found.now) == "overdue":
        return "late"
    runs_of_it = [run for run in found.at_work if run.as_of_date == due.as_of_date and run.state != "waiting"]
    done = runs_of_it[0].done if runs_of_it else ()
    return "late_soon" if found.now >= due.publish_by - found.usual.lead(done) else None


def _raised(settings: Settings, found: Morning) -> list[alerts.Alert]:
    """What is on fire, the most urgent first; the same conditions as in docker/prometheus/alerts.yml."""
    standard, stale = found.standard, None
    if found.published and found.due and found.standard.since:
        stale = found.now - _end(found.published.as_of_date) > timedelta(hours=settings.fresh_hours)
    kinds = [
        "damaged" if found.damage else None,
        found.failure.alert.kind if found.failure and found.failure.run.state == "failed" else None,
        "silent" if any(run.state == "silent" for run in found.at_work) else None,
        late_kind(found),
        "stale" if stale else None,
        "file_refused" if found.refused else None,
        "source_late" if found.late_sources else None,
        *dict.fromkeys(
            {"champion demoted": "champion_lost"}.get(row["kind"], row["kind"]) for row in found.incidents
        ),
        "disk" if found.free_bytes < ROOM * settings.min_free_share * found.disk_bytes else None,
        "backup" if found.backup_at is None or found.now - found.backup_at > BACKUP_AGE else None,
        "objective"
        if (standard.on_time_share is not None and standard.on_time_share < settings.on_time_objective)
        or (standard.fresh_share is not None and standard.fresh_share < settings.fresh_objective)
        else None,
    ]
    known = alerts.alerts()
    if found.published is None:  # there is nothing to keep yet
        kinds = [kind for kind in kinds if kind not in ("backup", "objective")]
    return [known[kind] for kind in dict.fromkeys(kinds) if kind in known]


def _end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(days=1)  # noqa: DTZ001


def _published(settings: Settings) -> Published | None:
    path = warehouse.publication_path(settings)
    if path is None:
        return None
    said = publications.describe(path)
    log = [row for row in operations.publication_log(settings) if row["publication_id"] == path.name]
    at = [row["recorded_at"] for row in log if row["action"] in deadlines.PUBLISHED]
    audit = path / "audit.json"
    checks = json.loads(audit.read_text())["checks"] if audit.exists() else []
    return Published(
        publication_id=path.name,
        as_of_date=date.fromisoformat(said["as_of_date"]),
        at=at[-1] if at else None,
        kind=said["kind"],
        checks=len(checks),
        warned=[(row["check"], row["detail"]) for row in checks if row["status"] == "failed"],
        bytes=(path / warehouse.FILE).stat().st_size,
        tables={name: rows for name, (rows, _) in said.get("tables", {}).items() if isinstance(rows, int)},
    )


def _grown(settings: Settings, published: Published | None) -> dict[str, int | None]:
    """Rows of the largest tables beside those of the publication before, as far as it is still there."""
    if published is None:
        return {}
    base = publications.describe(settings.builds / published.publication_id).get("base")
    before: dict[str, Any] = {}
    if base and (settings.builds / base / "publication.json").exists():
        before = publications.describe(settings.builds / base).get("tables", {})
    largest = sorted(published.tables, key=lambda name: published.tables[name], reverse=True)[:SHOWN]
    return {name: published.tables[name] - before[name][0] if name in before else None for name in largest}


def _late_sources(settings: Settings) -> list[str]:
    """Sources that the last night did without, as `client/source`."""
    query = sa.select(stages).where(
        stages.c.stage == "ingest", stages.c.state == "done", stages.c.run_id.like("nightly/%")
    )
    rows = operations.read(settings, query.order_by(stages.c.id.desc()).limit(1))
    return list(json.loads(rows[0]["detail"]).get("late", [])) if rows else []


def _incidents(settings: Settings) -> list[dict[str, Any]]:
    from nightledger import incidents  # brings DuckDB with it

    return incidents.open_incidents(settings)


def _last_backup(settings: Settings) -> datetime | None:
    """When the newest whole backup in the usual place was made."""
    folder = settings.home.with_name(f"{settings.home.name}-backups")
    made = [path for path in folder.glob(f"*/{MANIFEST}") if path.parent.suffix != ".part"]
    return max((_modified(path) for path in made), default=None)


def _modified(path: Path) -> datetime:
    return datetime.utcfromtimestamp(path.stat().st_mtime)  # noqa: DTZ004 - UTC without a zone, as everywhere


def _costs(settings: Settings, states: Mapping[str, str]) -> list[Cost]:
    """What the last runs took, newest first."""
    last = operations.read(settings, sa.select(runs).order_by(runs.c.opened_at.desc()).limit(STRIP))
    names = [row["run_id"] for row in last]
    details: dict[str, list[dict[str, Any]]] = {}
    for row in operations.read(settings, sa.select(stages).where(stages.c.run_id.in_(names))):
        details.setdefault(row["run_id"], []).append(json.loads(row["detail"]))
    return [
        _cost(row, states.get(row["run_id"], row["state"]), details.get(row["run_id"], [])) for row in last
    ]


def _cost(row: dict[str, Any], state: str, details: Sequence[dict[str, Any]]) -> Cost:
    measured = [each for each in details if "cpu_seconds" in each]
    counted = [each for each in details if "records" in each]
    return Cost(
        run=row["run_id"],
        as_of_date=row["as_of_date"],
        state=state,
        opened_at=row["opened_at"],
        wall=row["ended_at"] - row["opened_at"] if row["ended_at"] else None,
        cpu_seconds=sum(each["cpu_seconds"] for each in measured) if measured else None,
        peak_mb=max((each["peak_mb"] for each in measured), default=None),
        records=counted[-1]["records"] if counted else 0,
        quarantined=counted[-1]["quarantined"] if counted else 0,
        scored=sum(each.get("scored", 0) for each in details),
    )


def _stages(settings: Settings, usual: deadlines.Usual) -> list[Stage]:
    """The stages of the last night, over all its tries, in order."""
    query = sa.select(stages).where(stages.c.run_id.like("nightly/%")).order_by(stages.c.id)
    rows = operations.read(settings, query)
    rows = [row for row in rows if row["run_id"] == rows[-1]["run_id"]]
    found = []
    for name in dict.fromkeys(row["stage"] for row in rows):
        tries = [row for row in rows if row["stage"] == name]
        details = [json.loads(row["detail"]) for row in tries]
        measured = [each for each in details if "cpu_seconds" in each]
        found.append(
            Stage(
                name=name,
                usual=usual.seconds.get(name),
                seconds=sum(row["seconds"] for row in tries),
                state=tries[-1]["state"],
                cpu_seconds=sum(each["cpu_seconds"] for each in measured) if measured else None,
                peak_mb=max((each["peak_mb"] for each in measured), default=None),
            )
        )
    return found
