"""Incidents: one for each event that people should know of, with the first upstream change that explains it.

After every publication `watch` looks once at what the night said (drift, realised performance, deliveries,
decisions about models); `night_failed` does so after a failure. Both may be repeated: what is known changes
nothing.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nightledger import operations, publications, trouble
from nightledger.governance import ledger as model_ledger
from nightledger.incidents import changes as upstream
from nightledger.incidents import finding, following, ledger
from nightledger.incidents.changes import Change
from nightledger.incidents.ledger import Incident, IncidentError
from nightledger.incidents.lineage import Lineage
from nightledger.incidents.story import FAILED, Story
from nightledger.operations.schema import incident_events, runs, stages, upstream_changes
from nightledger.operations.schema import incidents as table
from nightledger.settings import Settings

__all__ = [
    "Incident",
    "IncidentError",
    "acknowledge",
    "ask_training",
    "close",
    "events",
    "listed",
    "night_failed",
    "open_incidents",
    "report",
    "watch",
]

LONGEST_NOTE = 2000
"""Characters that somebody may say about an incident at once."""


def watch(settings: Settings, run_id: str) -> dict[str, int]:
    """Look at what the run has published; opens, extends and closes incidents.

    Args:
        settings: of the installation.
        run_id: a run that has published, by its name in the lock.

    Returns:
        How many incidents were opened, grew or were closed; nothing where a newer publication has been
        looked at: what an older one says of incidents is over.
    """
    published = publications.published_by(settings, run_id)
    if published is None or _is_overtaken(settings, published):
        return {}
    described = publications.describe(settings.builds / published)
    night = upstream.open_night(settings, run_id, published, described.get("base"))
    try:
        lineage = Lineage(night.manifest)
        with ledger.writing(settings) as connection:
            known = ledger.changes(connection)
            new = [change for change in upstream.found(night, lineage, known) if change.id not in _ids(known)]
            ledger.remember(connection, new, run_id)
            story = Story(night, lineage, ledger.changes(connection), ledger.everything(connection))
            finding.look(story)
            counts: dict[str, int] = {}
            for incident in story.touched():
                ledger.save(connection, incident)
            for incident_id, event, note in story.told:
                if ledger.happened(connection, incident_id, event, run_id, note=note):
                    counts[event] = counts.get(event, 0) + 1
    finally:
        night.now.close()
        if night.before:
            night.before.close()
    return counts


def _is_overtaken(settings: Settings, published: str) -> bool:
    """Whether a publication that was made later has been looked at already."""
    made = [row for row in operations.publication_log(settings) if row["action"] == "published"]
    place = max(n for n, row in enumerate(made) if row["publication_id"] == published)
    later = {row["run_id"] for row in made[place + 1 :]}
    if not later:
        return False
    looked = sa.union(
        sa.select(incident_events.c.run_id),
        sa.select(upstream_changes.c.run_id),
        sa.select(stages.c.run_id).where(stages.c.stage == "incidents", stages.c.state == "done"),
    )
    with operations.engine(settings).connect() as connection:
        return not later.isdisjoint(connection.execute(looked).scalars())


def _ids(changes: list[Change]) -> set[str]:
    return {change.id for change in changes}


def night_failed(settings: Settings, run_id: str, day: date | None = None) -> str | None:
    """Open the incident of a failed night, if its date has none that is open.

    Args:
        settings: of the installation.
        run_id: the run that failed.
        day: its as-of date; of a run that has opened its night, the recorded one counts.

    Returns:
        Its id; None where nothing says for which date the run was.
    """
    operations.engine(settings)  # the first night may fail before it has opened
    found = operations.read(settings, sa.select(runs).where(runs.c.run_id == run_id))
    told = following.failure(settings, run_id, found[0]["as_of_date"] if found else day)
    return report(settings, run_id=run_id, **told) if told else None


def report(
    settings: Settings,
    *,
    kind: str,
    about: str,
    title: str,
    first_date: date,
    run_id: str,
    client_id: str = "",
    severity: str = "high",
    cause_kind: str = "",
    cause: str = "",
    candidates: list[str] | None = None,
) -> str:
    """Open an incident that something else has found; a second call for the same event changes nothing.

    But a night that fails again for another cause is news: the open incident gets that one, and has grown.

    Args:
        settings: of the installation.
        kind: see `Incident`.
        about: what it is about; with kind, client and date it is the event.
        title: one line for people, without any value of a customer.
        first_date: as-of date on which it began.
        run_id: of the run that found it.
        client_id: whose; empty: of everybody.
        severity: `low`, `moderate` or `high`.
        cause_kind: kind of the upstream change that is blamed.
        cause: that change in a sentence.
        candidates: the other suspects.

    Returns:
        Its id.
    """
    incident = Incident(
        kind,
        client_id,
        about,
        title,
        first_date,
        first_date,
        run_id,
        severity=severity,
        cause_kind=cause_kind,
        cause=cause,
        candidates=candidates,
    )
    with ledger.writing(settings) as connection:
        there = next((old for old in ledger.everything(connection) if old.id == incident.id), None)
        if there is None or there.state == "closed":
            ledger.save(connection, incident)
            ledger.happened(connection, incident.id, ledger.OPENED, run_id, note=title)
        elif kind == FAILED and (there.title, there.cause) != (title, cause):
            incident.last_date = there.last_date
            ledger.save(connection, incident)
            ledger.happened(connection, incident.id, ledger.GREW, run_id, note=f"{title} {cause}".strip())
    return incident.id


def close(settings: Settings, incident_id: str, run_id: str, *, note: str = "") -> None:
    """Close an incident that is over; one that is closed stays so."""
    with ledger.writing(settings) as connection:
        incident = next((row for row in ledger.everything(connection) if row.id == incident_id), None)
        if incident is not None and incident.state == "open":
            incident.state = "closed"
            ledger.save(connection, incident)
            ledger.happened(connection, incident_id, ledger.CLOSED, run_id, note=note)


def acknowledge(settings: Settings, incident_id: str, *, by: str, note: str) -> None:
    """Keep that a person has seen an incident; what is over by being seen is closed by it.

    Args:
        settings: of the installation.
        incident_id: which.
        by: who.
        note: what they say; it must say something.

    Raises:
        IncidentError: there is no such incident, nothing was said, or too much.
    """
    if not note.strip():
        raise IncidentError("Write a note: what you found, or what you will do.")
    if len(note.strip()) > LONGEST_NOTE:
        raise IncidentError(f"The note has more than {LONGEST_NOTE:,} characters: shorten it.")
    with ledger.writing(settings) as connection:
        incident = next((row for row in ledger.everything(connection) if row.id == incident_id), None)
        if incident is None:
            raise IncidentError("There is no such incident.")
        run_id = f"page/{operations.clock().isoformat()}"
        ledger.happened(connection, incident_id, ledger.ACKNOWLEDGED, run_id, note=note.strip(), by=by)
        if incident.kind in finding.OVER_WHEN_SEEN and incident.state == "open":
            incident.state = "closed"
            ledger.save(connection, incident)
            ledger.happened(connection, incident_id, ledger.CLOSED, run_id, note="seen", by=by)


def ask_training(settings: Settings, run_id: str) -> list[str]:
    """The models that open incidents ask for: once an incident, and not again within the pause.

    Args:
        settings: of the installation.
        run_id: of the night; asked again by the same run, the answer is the same.
    """
    champions = model_ledger.champions(settings)
    with ledger.writing(settings) as connection:
        said = connection.execute(sa.select(incident_events)).mappings().all()
        asked = [dict(row) for row in said if row["event"] == ledger.TRAINING]
        known = ledger.everything(connection)
        wanted = following.trainings(known, asked, following.limits(settings), run_id, champions)
        for incident_id, model in wanted:
            ledger.happened(connection, incident_id, ledger.TRAINING, run_id, note=model)
    return sorted({model for _, model in wanted})


def open_incidents(settings: Settings) -> list[dict[str, Any]]:
    """Open incidents, the newest first."""
    return [row for row in listed(settings) if row["state"] == "open"]


def listed(settings: Settings, limit: int = 200) -> list[dict[str, Any]]:
    """Incidents as rows, open ones first, then the newest; before there were any, none."""
    if not _is_there(settings):
        return []
    order = (sa.case((table.c.state == "open", 0), else_=1), table.c.last_date.desc(), table.c.id)
    return operations.read(settings, sa.select(table).order_by(*order).limit(limit))


def events(settings: Settings, incident_id: str | None = None) -> list[dict[str, Any]]:
    """What happened to an incident, or to all, oldest first."""
    if not _is_there(settings):
        return []
    query = sa.select(incident_events).order_by(incident_events.c.id)
    return operations.read(
        settings, query.where(incident_events.c.incident_id == incident_id) if incident_id else query
    )


def _is_there(settings: Settings) -> bool:
    """Whether there are tables of incidents; asking makes none."""
    url = sa.make_url(settings.operations_dsn)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return False
    with trouble.explained(settings):
        return sa.inspect(operations.reading_engine(settings)).has_table("incidents")


def sentence(row: Mapping[str, Any]) -> str:
    """An incident and its cause in one line."""
    return f"{row['title']} {row['cause']}".strip()
