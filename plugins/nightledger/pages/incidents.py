"""The page of incidents: what is going on, since when, what is blamed, and who has seen it."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from nightledger import incidents
from nightledger.incidents import finding, following, ledger
from nightledger.monitoring import notifying
from nightledger.pages import access
from nightledger.pages.drawing import page
from nightledger.pages.morning import prose
from nightledger.settings import Settings

MOST_CLOSED = 50
"""Closed incidents that are shown; the warehouse has them all."""
CAUSES = {
    "customers": "nothing that we know of",
    "layout": "a layout",
    "missing file": "a file that is missing",
    "late file": "a late file",
    "corrected file": "a corrected file",
    "refused file": "a refused file",
    "rules": "merchant rules",
    "dbt": "dbt",
    "model": "a model",
    "client": "a client's settings",
    "audit": "the audit",
    "machine": "the machine",
    "": "not looked for",
}
"""Kinds of causes in a person's words."""

router = APIRouter()


@router.get("/incidents", dependencies=[access.needs("read_incidents")])
def list_page(person: access.Person) -> HTMLResponse:
    """Open incidents first, then the newest that are over."""
    return _drawn(person)


@router.get("/incidents/{incident_id}", dependencies=[access.needs("read_incidents")])
def one_of_the_list(incident_id: str) -> Response:
    """The address of an incident in messages: what stands behind a # is lost on the way by the log-in."""
    return RedirectResponse(f"../incidents#{quote(incident_id)}", status_code=303)


@router.post(
    "/incidents/{incident_id}/acknowledge",
    dependencies=[access.needs("acknowledge_incidents"), access.from_our_pages],
)
def acknowledge(person: access.Person, incident_id: str, note: Annotated[str, Form()] = "") -> Response:
    """Keep that somebody has seen it, with their note."""
    try:
        incidents.acknowledge(Settings(), incident_id, by=access.name(person), note=note)
    except incidents.IncidentError as error:
        return _drawn(person, problem=str(error), status=409)
    return RedirectResponse(f"../../incidents#{quote(incident_id)}", status_code=303)


def _drawn(person: Any, problem: str = "", status: int = 200) -> HTMLResponse:
    settings = Settings()
    history: dict[str, list[dict[str, Any]]] = {}
    for event in incidents.events(settings):
        history.setdefault(event["incident_id"], []).append(event)
    rows = [_shown(row, history.get(row["id"], [])) for row in incidents.listed(settings)]
    over = [row for row in rows if row["state"] != "open"]
    return page(
        "incidents.html",
        status,
        open=[row for row in rows if row["state"] == "open"],
        over=over[:MOST_CLOSED],
        over_count=len(over),
        may_acknowledge=access.may(person, "acknowledge_incidents"),
        # The form stands on the page that answers it too, one level deeper.
        here="../../" if problem else "",
        problem=problem,
        prose=prose,
        longest_note=incidents.LONGEST_NOTE,
        retrain_drift=following.limits(settings).retrain_drift,
    )


def _shown(row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An incident as the page needs it."""
    members = [member for member in json.loads(row["members"]) if member.get("model")]
    seen = [event for event in events if event["event"] == ledger.ACKNOWLEDGED]
    dag_id, _, run_id = row["run_id"].partition("/")
    return dict(
        row,
        members=members,
        candidates=json.loads(row["candidates"]),
        cause_words=CAUSES.get(row["cause_kind"], row["cause_kind"]),
        events=events,
        seen=seen[-1] if seen else None,
        training=[event["note"] for event in events if event["event"] == ledger.TRAINING],
        run_page=f"runs/{quote(dag_id)}/{quote(run_id, safe='')}" if run_id else "",
        alert=notifying.runbook(row),
        is_over_when_seen=row["kind"] in finding.OVER_WHEN_SEEN,
        tone={"high": "bad", "moderate": "doubtful"}.get(row["severity"], "quiet"),
    )
