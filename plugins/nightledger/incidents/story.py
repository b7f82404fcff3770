"""What is known when a publication is looked at, and what looking at it adds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from nightledger.incidents import causes, ledger
from nightledger.incidents.changes import Change, Night
from nightledger.incidents.ledger import Incident
from nightledger.incidents.lineage import Lineage

DRIFT, PERFORMANCE, DATA, FAILED = "drift", "performance", "data", "night failed"
LATE, DEMOTED = "publish late", "champion demoted"
QUIET = 3
"""Days without news after which most things are over."""


@dataclass
class Story:
    """A publication, the changes and incidents known so far, and what it adds to them."""

    night: Night
    lineage: Lineage
    changes: Sequence[Change]
    incidents: list[Incident]
    told: list[tuple[str, str, str]] = field(default_factory=list)
    _touched: dict[str, Incident] = field(default_factory=dict)

    def touched(self) -> list[Incident]:
        """Incidents that are new or changed."""
        return list(self._touched.values())

    def open(self, incident: Incident) -> Incident:
        """Add an incident, unless it is there."""
        there = next((old for old in self.incidents if old.id == incident.id), None)
        if there is None:
            self.incidents.append(incident)
            self.tell(incident, ledger.OPENED, incident.title)
        return there or incident

    def tell(self, incident: Incident, event: str, note: str) -> None:
        """Say what happened to an incident tonight."""
        self._touched[incident.id] = incident
        self.told.append((incident.id, event, note))

    def changed(self, incident: Incident) -> None:
        """Keep new figures of an incident to which nothing has happened."""
        self._touched[incident.id] = incident

    def reopen(self, incident: Incident, note: str) -> None:
        """What was thought to be over goes on."""
        incident.state = "open"
        self.tell(incident, ledger.OPENED, note)

    def close(self, incident: Incident, note: str) -> None:
        """An incident is over."""
        incident.state = "closed"
        self.tell(incident, ledger.CLOSED, note)


def records(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Rows of a query by name; none where a warehouse of an older release lacks the table."""
    try:
        answer = connection.execute(sql)
    except duckdb.CatalogException:
        return []
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def features(story: Story, version: str) -> list[str]:
    """The features of a version of which the warehouse knows a drift."""
    rows = story.night.now.execute(
        "select distinct feature from marts.fct_drift where model_version = ? and feature <> 'score'"
        " order by 1",
        [version],
    ).fetchall()
    return [feature for (feature,) in rows]


def blame(incident: Incident, blamed: Sequence[Change]) -> Incident:
    """Write into an incident what it is blamed on: the first change; the others are candidates."""
    if not blamed:
        incident.cause_kind, incident.cause = causes.CUSTOMERS, causes.NOTHING_OF_OURS
        return incident
    first = blamed[0]
    incident.cause_kind, incident.cause_id = first.kind, first.id
    incident.cause = f"{first.as_of_date}: {first.what}"
    incident.candidates = [f"{change.as_of_date}: {change.what}" for change in blamed[1:6]]
    return incident


def change_ids(incident: Incident) -> set[str]:
    """The recorded changes that an incident is about."""
    return {member["change"] for member in incident.members or [] if "change" in member} | {incident.cause_id}
