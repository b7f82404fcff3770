"""By when a night must be published, whether it was, and how long a night that is going on still takes.

One definition for the page in Airflow, the metrics, the alert and the dashboards: see
docs/metric-decisions.md, "Nights on time". Times are UTC without a zone.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from croniter import croniter

from nightledger import operations
from nightledger.operations.schema import night_deadlines, publications, runs, stages
from nightledger.settings import Settings

WINDOW = timedelta(days=90)
"""What the shares of nights on time and of fresh time look back on."""
NIGHTS = 20
"""Published nights whose median is the usual duration."""
ASSUMED = timedelta(minutes=30)
"""Duration of a night before any was published."""
MARGIN = 1.5
"""How much longer than usual the rest of a night may take before the alert comes too late."""
LEAST_LEAD = timedelta(minutes=10)
"""A person needs that long to do anything."""
STAGES = (
    *("open", "ingest", "dbt_merchants", "enrich", "dbt_features"),
    *("score", "dbt_marts", "audit", "publish"),
)
"""What lies between the lock and the publication, in order."""
PUBLISHED = ("published", "rolled_back")


@dataclass(frozen=True)
class Night:
    """One business date and its deadline."""

    as_of_date: date
    publish_by: datetime
    is_judged: bool
    """False for a date whose deadline had passed before the installation's first run: it was made up."""
    published_at: datetime | None
    """First publication whose as-of date is this one or a later one."""

    def state(self, now: datetime) -> str:
        """`on time`, `late`, `overdue` (late and not out yet), `due` (still in time) or `made up`."""
        if not self.is_judged:
            return "made up"
        if self.published_at is not None:
            return "on time" if self.published_at <= self.publish_by else "late"
        return "overdue" if now > self.publish_by else "due"


@dataclass(frozen=True)
class Standard:
    """What was promised over the last `WINDOW`, and what was kept; shares are None with nothing to judge."""

    since: datetime | None
    """Begin of what is judged: the first deadline after the first run, at most `WINDOW` ago."""
    nights: int
    on_time: int
    fresh_share: float | None
    """Share of the time since then in which readers saw a publication of at most `fresh_hours`."""

    @property
    def on_time_share(self) -> float | None:
        """Share of the judged nights that were published by their deadline."""
        return self.on_time / self.nights if self.nights else None


@dataclass(frozen=True)
class Usual:
    """How long nights take: medians over the last `NIGHTS` published ones."""

    seconds: Mapping[str, float]
    """Of each stage that ended, over all its tries."""
    whole: timedelta
    """From opening to publication."""
    nights: int

    def remaining(self, done: Iterable[str]) -> timedelta:
        """What a night usually still takes after these stages."""
        total = sum(self.seconds.get(stage, 0.0) for stage in STAGES)
        if not total:
            return self.whole
        ended = set(done)
        left = sum(self.seconds.get(stage, 0.0) for stage in STAGES if stage not in ended)
        return self.whole * (left / total)

    def lead(self, done: Iterable[str] = ()) -> timedelta:
        """How long before the deadline the rest must begin; later, a person is told."""
        return max(MARGIN * self.remaining(done), LEAST_LEAD)


def publish_by(settings: Settings, day: date) -> datetime:
    """When the night of a business date must be published, by today's settings.

    The first moment of `NIGHTLEDGER_PUBLISH_BY` at or after the night may begin: at the time of the
    schedule that runs the date, else at the end of the date.
    """
    begin = datetime.combine(day + timedelta(days=1), time())
    if settings.schedule:
        fires = croniter(settings.schedule, datetime.combine(day, time()) - timedelta(microseconds=1))
        start = fires.get_next(datetime)
        if start.date() == day:  # the interval of the night; it is run at its end
            begin = max(begin, fires.get_next(datetime))
    first = datetime.combine(begin.date(), settings.publish_by.replace(tzinfo=None))
    return first if first >= begin else first + timedelta(days=1)


def record(settings: Settings, day: date) -> None:
    """Fix the deadlines of a night, of all nights before it, and of what the schedule should have run.

    A deadline is fixed once: a later change of the setting concerns later nights only.
    """
    now = operations.clock()
    since = first_run(settings) or now
    known = {row["as_of_date"] for row in operations.read(settings, sa.select(night_deadlines.c.as_of_date))}
    ran = {row["as_of_date"] for row in operations.read(settings, sa.select(runs.c.as_of_date).distinct())}
    missing = sorted({day, *ran, *scheduled(settings, since, now)} - known)
    rows = [
        {
            "as_of_date": missed,
            "publish_by": publish_by(settings, missed),
            "is_judged": publish_by(settings, missed) > since,
            "recorded_at": now,
        }
        for missed in missing
    ]
    if rows:
        with operations.engine(settings).begin() as connection:
            connection.execute(night_deadlines.insert(), rows)


def first_run(settings: Settings) -> datetime | None:
    """Since when the installation runs nights."""
    found = operations.read(settings, sa.select(sa.func.min(runs.c.opened_at).label("at")))
    return found[0]["at"] if found else None


def scheduled(settings: Settings, since: datetime, now: datetime) -> list[date]:
    """Business dates whose night the schedule has started, or should have, and whose deadline is after
    `since`."""
    if not settings.schedule:
        return []
    fires = croniter(settings.schedule, since - timedelta(days=8))
    start, found = fires.get_next(datetime), []
    while (end := fires.get_next(datetime)) <= now:
        if start.date() >= settings.schedule_from and publish_by(settings, start.date()) > since:
            found.append(start.date())
        start = end
    return sorted(set(found))


def nights(settings: Settings, now: datetime) -> list[Night]:
    """Every night with a deadline, oldest first: those that are fixed, and those that the schedule owes."""
    since = first_run(settings)
    if since is None:
        return []
    fixed = {row["as_of_date"]: row for row in operations.read(settings, sa.select(night_deadlines))}
    ran = {row["as_of_date"] for row in operations.read(settings, sa.select(runs.c.as_of_date).distinct())}
    ran |= {row["as_of_date"] for row in operations.waits(settings)}
    out = sorted(
        (row["as_of_date"], row["recorded_at"]) for row in _log(settings) if row["action"] == "published"
    )
    found = []
    for day in sorted(fixed.keys() | ran | set(scheduled(settings, since, now))):
        due = fixed[day]["publish_by"] if day in fixed else publish_by(settings, day)
        judged = fixed[day]["is_judged"] if day in fixed else due > since
        published = min((at for as_of, at in out if as_of is not None and as_of >= day), default=None)
        found.append(Night(day, due, judged, published))
    return found


def standard(settings: Settings, known: Sequence[Night], now: datetime) -> Standard:
    """What was kept of both objectives over the last `WINDOW`.

    A night counts once its deadline has passed or it is published. Fresh is what readers saw at a moment
    when that publication's date had ended at most `fresh_hours` before, rollbacks included.
    """
    judged = [night for night in known if night.is_judged and now - night.publish_by < WINDOW]
    judged = [night for night in judged if night.state(now) != "due"]
    if not judged:
        return Standard(None, 0, 0, None)
    on_time = sum(night.state(now) == "on time" for night in judged)
    since = max(now - WINDOW, min(night.publish_by for night in judged))
    share = _fresh_seconds(settings, since, now) / (now - since).total_seconds() if now > since else None
    return Standard(since, len(judged), on_time, share)


def _fresh_seconds(settings: Settings, since: datetime, now: datetime) -> float:
    """Seconds between two moments in which readers saw a fresh publication."""
    log = [row for row in _log(settings) if row["action"] in PUBLISHED]
    dates = {row["publication_id"]: row["as_of_date"] for row in log if row["as_of_date"] is not None}
    ends = [row["recorded_at"] for row in log[1:]] + [now]
    total = 0.0
    for row, end in zip(log, ends, strict=True):
        day = dates.get(row["publication_id"])
        if day is None:  # the row that published it is older than the log
            continue
        stale = datetime.combine(day + timedelta(days=1), time()) + timedelta(hours=settings.fresh_hours)
        seen = min(end, now, stale) - max(row["recorded_at"], since)
        total += max(seen.total_seconds(), 0.0)
    return total


def _log(settings: Settings) -> list[dict[str, Any]]:
    return operations.read(settings, sa.select(publications).order_by(publications.c.id))


def usual(settings: Settings) -> Usual:
    """How long the last published nights took."""
    query = sa.select(runs).where(runs.c.kind == "nightly", runs.c.state == "published")
    last = operations.read(settings, query.order_by(runs.c.opened_at.desc()).limit(NIGHTS))
    if not last:
        return Usual({}, ASSUMED, 0)
    names = [row["run_id"] for row in last]
    spent: dict[str, dict[str, float]] = {}
    for row in operations.read(settings, sa.select(stages).where(stages.c.run_id.in_(names))):
        of_run = spent.setdefault(row["stage"], {})
        of_run[row["run_id"]] = of_run.get(row["run_id"], 0.0) + row["seconds"]
    seconds = {stage: statistics.median(each.values()) for stage, each in spent.items() if stage in STAGES}
    whole = [(row["ended_at"] - row["opened_at"]).total_seconds() for row in last if row["ended_at"]]
    # Opening itself comes before the run is noted, so a night takes at least its stages.
    wall = max(statistics.median(whole), sum(seconds.values())) if whole else sum(seconds.values())
    return Usual(seconds, timedelta(seconds=wall), len(last))


def next_due(known: Sequence[Night], settings: Settings, now: datetime) -> Night | None:
    """The night whose deadline comes next, or the newest whose deadline has passed without a publication."""
    waiting = [night for night in known if night.state(now) in ("due", "overdue")]
    if waiting:
        # A later publication brings all of them: what matters is the newest that is overdue, so that people
        # are told of each.
        overdue = [night for night in waiting if night.state(now) == "overdue"]
        return overdue[-1] if overdue else waiting[0]
    if not settings.schedule:
        return None
    fires = croniter(settings.schedule, now - timedelta(days=8))
    start = fires.get_next(datetime)
    while (end := fires.get_next(datetime)) <= now:
        start = end
    day = start.date()
    if day < settings.schedule_from:
        return None
    return Night(day, publish_by(settings, day), True, None)
