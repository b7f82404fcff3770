"""Incidents in the operational database: a row for each, and what happened to it, which nobody can change."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from nightledger import operations
from nightledger.incidents.changes import Change
from nightledger.operations.schema import incident_events, upstream_changes
from nightledger.operations.schema import incidents as table
from nightledger.settings import Settings

OPENED, GREW, CLOSED, ACKNOWLEDGED, TRAINING = (
    "opened",
    "grew",
    "closed",
    "acknowledged",
    "training asked for",
)
BY_NIGHT = "the night"


class IncidentError(ValueError):
    """An incident cannot be acted on; the message says why."""


@dataclass
class Incident:
    """One event, with what it is blamed on.

    Attributes:
        id: hash of kind, client, about and first date: the same event always has the same. Of a version that
            does worse the date is no part of it: it is one event, however many months it lasts.
        kind: `drift`, `performance`, `data`, `night failed`, `publish late` or `champion demoted`.
        about: feature, source, model or date.
        severity: `low`, `moderate` or `high`.
        cause_kind: kind of the blamed change, or `customers`, or empty: nobody has looked.
        cause_id: of the blamed change, else empty.
        candidates: sentences about the other changes that can explain it.
        members: what belongs to it: of drift {about, model, started_on, what_changed, weighted_drift}.
        weighted_drift: sum over members of the model that it moves most; None where nothing drifts.
        first_date, last_date: as-of dates.
    """

    kind: str
    client_id: str
    about: str
    title: str
    first_date: date
    last_date: date
    run_id: str
    severity: str = "moderate"
    cause_kind: str = ""
    cause: str = ""
    cause_id: str = ""
    candidates: list[str] | None = None
    members: list[dict[str, Any]] | None = None
    weighted_drift: float | None = None
    state: str = "open"
    id: str = ""

    def __post_init__(self) -> None:
        self.candidates, self.members = self.candidates or [], self.members or []
        began = "" if self.kind == "performance" else str(self.first_date)
        text = "\x1f".join((self.kind, self.client_id, self.about, began))
        self.id = self.id or hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def writing(settings: Settings) -> Iterator[sa.Connection]:
    """A transaction in which nobody else writes incidents."""
    with operations.engine(settings).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("lock table incidents in share row exclusive mode"))
        else:
            connection.exec_driver_sql("begin immediate")
        yield connection


def everything(connection: sa.Connection) -> list[Incident]:
    """All incidents, oldest first."""
    rows = connection.execute(sa.select(table).order_by(table.c.first_date, table.c.id))
    return [incident_of(dict(row._mapping)) for row in rows]


def incident_of(row: dict[str, Any]) -> Incident:
    """An incident of its row."""
    kept = {name: row[name] for name in Incident.__dataclass_fields__}
    return Incident(**kept | {name: json.loads(kept[name]) for name in ("candidates", "members")})


def save(connection: sa.Connection, incident: Incident) -> None:
    """Write an incident, new or changed."""
    now = operations.clock()
    values = asdict(incident) | {"updated_at": now}
    values |= {name: json.dumps(values[name], default=str) for name in ("candidates", "members")}
    done = connection.execute(table.update().where(table.c.id == incident.id).values(values))
    if done.rowcount == 0:
        connection.execute(table.insert(), values | {"opened_at": now})


def happened(
    connection: sa.Connection,
    incident_id: str,
    event: str,
    run_id: str,
    *,
    note: str = "",
    by: str = BY_NIGHT,
) -> bool:
    """Append an event unless the run has told it already; returns whether it is new."""
    events = incident_events
    said = sa.select(events.c.id).where(
        events.c.incident_id == incident_id, events.c.event == event, events.c.run_id == run_id
    )
    if connection.execute(said).first():
        return False
    row = {"incident_id": incident_id, "event": event, "note": note, "done_by": by, "run_id": run_id}
    connection.execute(events.insert(), row | {"recorded_at": operations.clock()})
    return True


def remember(connection: sa.Connection, changes: Sequence[Change], run_id: str) -> None:
    """Keep changes that are not kept yet."""
    known: set[str] = set(connection.execute(sa.select(upstream_changes.c.id)).scalars())
    rows = [
        asdict(change)
        | {"touches": json.dumps(change.touches), "run_id": run_id, "recorded_at": operations.clock()}
        for change in changes
        if change.id not in known
    ]
    if rows:
        connection.execute(upstream_changes.insert(), rows)


def changes(connection: sa.Connection) -> list[Change]:
    """Every recorded change, oldest first."""
    rows = connection.execute(sa.select(upstream_changes).order_by(upstream_changes.c.as_of_date))
    names = ("as_of_date", "kind", "client_id", "about", "what")
    return [
        Change(**{name: getattr(row, name) for name in names}, touches=tuple(json.loads(row.touches)))
        for row in rows
    ]
