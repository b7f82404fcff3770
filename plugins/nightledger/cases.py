"""Cases: what people do about fraud alerts, and the labels that nights make of what they find.

A case is of one payment of one client, and nothing but its events, which nobody can change. It is `new`
until somebody does something, then `open`, and `closed` as fraud or genuine until it is reopened. Each event
has the number that follows the one its author has seen: of two people who act on the same state the second is
told, and nothing is written.

A closing becomes a label when the next night opens, known since the publication that the night begins from,
as corrections of merchants are. So it counts from the next as-of date on, and no date published so far
changes, however often it is built again. Reopening withdraws the label in the same way.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from duckdb import DuckDBPyConnection

from nightledger import operations, warehouse
from nightledger.operations.schema import case_events, case_labels
from nightledger.settings import Settings

ACTIONS = ("assign", "note", "close", "reopen")
VERDICTS = ("fraud", "genuine")
STATES = ("new", "open", "closed")
LONGEST_NOTE = 4000
LONGEST_NAME = 200

Key = tuple[str, str]
"""Client and transaction."""


class CaseError(ValueError):
    """What somebody asked of a case cannot be done; the message says why."""


class CaseConflict(CaseError):
    """Somebody else did something about the case in the meantime; nothing was written."""


@dataclass(frozen=True)
class Event:
    """One thing that somebody did about a case."""

    version: int
    action: str
    verdict: str | None
    assignee: str | None
    note: str
    who: str
    recorded_at: datetime


@dataclass(frozen=True)
class Case:
    """A case as its events leave it."""

    client_id: str
    transaction_key: str
    events: tuple[Event, ...] = ()
    """Oldest first."""

    @property
    def version(self) -> int:
        """Number of the last event; 0 when there is none."""
        return self.events[-1].version if self.events else 0

    @property
    def decision(self) -> Event | None:
        """The closing that holds."""
        decided = [event for event in self.events if event.action in ("close", "reopen")]
        return decided[-1] if decided and decided[-1].action == "close" else None

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return "closed" if self.decision else "open" if self.events else "new"

    @property
    def verdict(self) -> str | None:
        """What it was closed as; None while it is not."""
        return self.decision.verdict if self.decision else None

    @property
    def assignee(self) -> str | None:
        """Who looks into it; None: nobody."""
        return next((event.assignee for event in reversed(self.events) if event.action == "assign"), None)


def read_cases(settings: Settings, clients: Collection[str] | None = None) -> dict[Key, Case]:
    """Every case of some clients (None: of all) about which somebody has done something."""
    query = sa.select(case_events).order_by(case_events.c.id)
    if clients is not None:
        query = query.where(case_events.c.client_id.in_(clients))
    return _grouped(_read(settings, query))


def read_case(settings: Settings, client_id: str, transaction_key: str) -> Case:
    """One case; without events when nobody has done anything about it."""
    table = case_events
    chosen = (table.c.client_id == client_id) & (table.c.transaction_key == transaction_key)
    rows = _read(settings, sa.select(table).where(chosen).order_by(table.c.id))
    return _grouped(rows).get((client_id, transaction_key), Case(client_id, transaction_key))


def _read(settings: Settings, query: sa.Select[Any]) -> list[dict[str, Any]]:
    if warehouse.publication_path(settings) is not None:
        operations.engine(settings)  # a home that an older release has made gets the tables now
    return operations.read(settings, query)


def _grouped(rows: Sequence[dict[str, Any]]) -> dict[Key, Case]:
    events: dict[Key, list[Event]] = {}
    for row in rows:
        event = Event(**{name: row[name] for name in Event.__dataclass_fields__})
        events.setdefault((row["client_id"], row["transaction_key"]), []).append(event)
    return {key: Case(*key, tuple(found)) for key, found in events.items()}


def act(
    settings: Settings,
    client_id: str,
    transaction_key: str,
    *,
    action: str,
    who: str,
    seen: int,
    verdict: str | None = None,
    assignee: str | None = None,
    note: str = "",
) -> Case:
    """Do something about a case.

    Args:
        settings: of the installation.
        client_id: of the payment.
        transaction_key: the payment; the caller knows that there is an alert of it.
        action: one of `ACTIONS`.
        who: does it.
        seen: version of the case that they looked at.
        verdict: one of `VERDICTS`, of a closing.
        assignee: who is to look into it, of an assignment; none: nobody.
        note: what they have to say, at most `LONGEST_NOTE` characters.

    Returns:
        The case with the new event.

    Raises:
        CaseConflict: the case is no longer at that version.
        CaseError: the action does not fit the case, or lacks something.
    """
    operations.engine(settings)  # what is not there yet is made now
    case = read_case(settings, client_id, transaction_key)
    if case.version != seen:
        raise _conflict(case, seen)
    note, assignee = note.strip(), (assignee or "").strip() or None
    _check(case, action, verdict, assignee, note)
    values = {
        "client_id": client_id,
        "transaction_key": transaction_key,
        "version": seen + 1,
        "action": action,
        "verdict": verdict if action == "close" else None,
        "assignee": assignee if action == "assign" else None,
        "note": note,
        "who": who,
        "recorded_at": operations.clock(),
    }
    try:
        with operations.engine(settings).begin() as connection:
            connection.execute(case_events.insert().values(values))
    except sa.exc.IntegrityError:
        now = read_case(settings, client_id, transaction_key)
        if now.version == seen:
            raise
        raise _conflict(now, seen) from None
    return read_case(settings, client_id, transaction_key)


def _conflict(case: Case, seen: int) -> CaseConflict:
    others = dict.fromkeys(event.who for event in case.events if event.version > seen)
    return CaseConflict(
        f"after you had opened this case, {' and '.join(others) or 'somebody'} did something about it. "
        "Nothing of yours was written: look at what happened, and send it again if it still holds"
    )


def _check(case: Case, action: str, verdict: str | None, assignee: str | None, note: str) -> None:
    if action not in ACTIONS:
        raise CaseError(f"an action is one of {', '.join(ACTIONS)}")
    if len(note) > LONGEST_NOTE:
        raise CaseError(
            f"the note has {len(note):,} characters, and {LONGEST_NOTE:,} is the most: shorten it"
        )
    if case.state == "closed" and action in ("assign", "close"):
        raise CaseError(f"the case is closed as {case.verdict}: reopen it first")
    if action == "assign" and assignee == case.assignee:
        raise CaseError(f"the case is {f'assigned to {assignee}' if assignee else 'nobody’s'} already")
    if action == "assign" and len(assignee or "") > LONGEST_NAME:
        raise CaseError(f"a name has at most {LONGEST_NAME} characters")
    if action == "note" and not note:
        raise CaseError("the note is empty: write what there is to say")
    if action == "close" and verdict not in VERDICTS:
        raise CaseError("say what it is: fraud or genuine")
    if action == "reopen" and case.state != "closed":
        raise CaseError("the case is not closed: there is nothing to reopen")
    if action == "reopen" and not note:
        raise CaseError("say why it is reopened: the label of the closing is withdrawn")


def take_up(settings: Settings, connection: DuckDBPyConnection) -> int:
    """Make labels of the closings and reopenings that no night has used yet, when a night opens.

    Each is known at the cutoff that the client had in the publication that the night begins from: no date
    published so far knew it, and tonight's does. What the labels change is noted in `ops.changed_facts`.

    Args:
        settings: of the installation.
        connection: writable, on the open build, which is still as its base was; `ops.base_horizon` is set.

    Returns:
        Number of new labels and withdrawals.
    """
    base = dict(connection.execute("select client_id, cutoff_at from ops.base_horizon").fetchall())
    taken = sa.select(case_labels.c.event_id)
    with operations.engine(settings).begin() as operational:
        new = operational.execute(
            sa.select(case_events)
            .where(case_events.c.action.in_(("close", "reopen")), case_events.c.id.not_in(taken))
            .order_by(case_events.c.id)
        ).all()
        labels = [
            {
                "event_id": event.id,
                "client_id": event.client_id,
                "transaction_key": event.transaction_key,
                "verdict": event.verdict,
                "known_at": base[event.client_id],
                "recorded_at": operations.clock(),
            }
            for event in new
            if event.client_id in base
        ]
        if labels:
            operational.execute(case_labels.insert(), labels)
        told = operational.execute(sa.select(case_labels)).all()
    # Those of an earlier try of this night too: its build, with what it had noted, is gone.
    tonight = [label for label in told if label.client_id in base and label.known_at >= base[label.client_id]]
    _note_facts(connection, tonight)
    return len(labels)


def _note_facts(connection: DuckDBPyConnection, labels: Sequence[Any]) -> None:
    """Say of which days something is told tonight."""
    for label in labels:
        connection.execute(
            "insert into ops.changed_facts"
            " select distinct client_id, business_date, $known_at::timestamp from marts.mart_fraud_alerts"
            " where client_id = $client_id and transaction_key = $transaction_key",
            {
                "client_id": label.client_id,
                "transaction_key": label.transaction_key,
                "known_at": label.known_at,
            },
        )
