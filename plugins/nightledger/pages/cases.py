"""The pages on which people work cases of fraud alerts: the queue, and one case."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from nightledger import cases, fraud_queue
from nightledger.cases import Case, CaseConflict, CaseError
from nightledger.pages import access
from nightledger.pages.drawing import page
from nightledger.settings import Settings

MOST_ROWS = 200
"""Rows of the list; the others are counted."""
NAME_SHOWN = 64
"""Characters of a name that nobody has which are repeated."""
NOBODY = "–"
"""Stands for nobody among the people to choose from."""
VIEWS = {
    "tonight": "Tonight's queue",
    "waiting": "Not closed, of any night",
    "all": "Every alert of any night",
}

router = APIRouter()


@dataclass(frozen=True)
class _Listed:
    """An alert with its case, as a row of the list."""

    alert: fraud_queue.Row
    case: Case
    address: str


def _beside(transaction_key: str) -> str:
    """Address of a case of the same client, as seen from one of them: nothing knows what stands before it."""
    return f"./{quote(transaction_key, safe='')}"


@router.get("/cases", dependencies=[access.needs("read_cases")])
def list_page(
    person: access.Person,
    view: Annotated[str, Query()] = "tonight",
    client: Annotated[str, Query()] = "",
    state: Annotated[str, Query()] = "",
    who: Annotated[str, Query()] = "",
) -> HTMLResponse:
    """Alerts within their night's budget, each with the state of its case."""
    settings = Settings()
    view = view if view in VIEWS else "tonight"
    theirs = access.clients(person)
    if client:
        access.needs_client(person, client)
    night = fraud_queue.night(settings, theirs)
    known = cases.read_cases(settings, theirs) if night["publication"] else {}
    alerts = fraud_queue.alerts(
        settings, {client} if client else theirs, newest=view == "tonight", worked=known.keys()
    )
    most = fraud_queue.MOST_ALERTS
    rows = _listed(alerts[:most], known)
    if view == "waiting":
        rows = [row for row in rows if row.case.state != "closed"]
    shown = [row for row in rows if _is_chosen(row.case, state, who)]
    waiting = [row for row in rows if row.case.state != "closed"]
    me = access.name(person)
    there = {(alert["client_id"], alert["transaction_key"]) for alert in alerts}
    is_whole = view != "tonight" and len(alerts) <= most
    gone = [
        case
        for key, case in known.items()
        if is_whole and key not in there and client in ("", case.client_id) and _is_chosen(case, state, who)
    ]
    return page(
        "cases.html",
        night=night,
        rows=shown[:MOST_ROWS],
        found=len(shown),
        all=len(rows),
        cut_at=most if len(alerts) > most else None,
        states=Counter(row.case.verdict or row.case.state for row in rows),
        gone=[(case, _address(case)) for case in gone if view != "waiting" or case.state != "closed"],
        left=_sums(waiting),
        views=VIEWS,
        people=_people(known.values(), me),
        chosen={"view": view, "client": client, "state": state, "who": who},
        me=me,
        nobody=NOBODY,
    )


def _listed(alerts: Sequence[fraud_queue.Row], known: dict[cases.Key, Case]) -> list[_Listed]:
    """One row per payment: the newest alert of it."""
    rows: dict[cases.Key, _Listed] = {}
    for alert in alerts:
        key = (alert["client_id"], alert["transaction_key"])
        if key not in rows:
            case = known.get(key, Case(*key))
            rows[key] = _Listed(alert, case, _address(case))
    return list(rows.values())


def _address(case: Case) -> str:
    """Of a case, as seen from the list."""
    return f"cases/{quote(case.client_id, safe='')}/{quote(case.transaction_key, safe='')}"


def _is_chosen(case: Case, state: str, who: str) -> bool:
    if who and (case.assignee or NOBODY) != who:
        return False
    return not state or state in (case.state, case.verdict)


def _sums(rows: Sequence[_Listed]) -> list[tuple[str, Any]]:
    """Expected loss by currency: two are never added up."""
    sums: dict[str, Any] = {}
    for row in rows:
        currency = row.alert["currency"]
        sums[currency] = sums.get(currency, 0) + row.alert["expected_loss"]
    return sorted(sums.items())


def _people(known: Any, me: str) -> list[str]:
    """Everybody who has done or been given something, and who asks."""
    names = {me}
    for case in known:
        for event in case.events:
            names |= {event.who, *filter(None, [event.assignee])}
    return sorted(names, key=str.casefold)


@router.get("/cases/{client_id}/{transaction_key}", dependencies=[access.needs("read_cases")])
def case_page(person: access.Person, client_id: str, transaction_key: str) -> HTMLResponse:
    """The alert, the payment and what the customer did around it, and everything that was done about it."""
    access.needs_client(person, client_id)
    return _draw(Settings(), person, Case(client_id, transaction_key))


@router.post(
    "/cases/{client_id}/{transaction_key}", dependencies=[access.needs("work_cases"), access.from_our_pages]
)
def act(
    person: access.Person,
    client_id: str,
    transaction_key: str,
    do: Annotated[str, Form()],
    seen: Annotated[int, Form()],
    note: Annotated[str, Form()] = "",
    assignee: Annotated[str, Form()] = "",
) -> Response:
    """Do something about a case; `do` is one of `DOINGS`."""
    access.needs_client(person, client_id)
    settings, me = Settings(), access.name(person)
    wanted = {"do": do, "note": note, "assignee": assignee}
    action = {"take": "assign", "hand_back": "assign", "fraud": "close", "genuine": "close"}.get(do, do)
    is_known = cases.read_case(settings, client_id, transaction_key).events
    if not is_known and fraud_queue.alert(settings, client_id, transaction_key) is None:
        return _draw(settings, person, Case(client_id, transaction_key))
    try:
        if do == "assign":
            _check_assignee(assignee, client_id)
        cases.act(
            settings,
            client_id,
            transaction_key,
            action=action,
            who=me,
            seen=seen,
            verdict=do,
            assignee={"take": me, "hand_back": ""}.get(do, assignee),
            note=note.replace("\r\n", "\n"),
        )
    except CaseError as error:
        status = 409 if isinstance(error, CaseConflict) else 422
        case = Case(client_id, transaction_key)
        return _draw(settings, person, case, status=status, seen=seen, wanted=wanted, problem=str(error))
    return RedirectResponse(_beside(transaction_key), 303)


def _check_assignee(wanted: str, client_id: str) -> None:
    """Refuse to give a case of a client to nobody, or to somebody who could not work it."""
    if not wanted.strip():
        raise CaseError("nobody is chosen: choose who looks into it, or hand it back")
    people = access.who_may("work_cases", client_id)
    if wanted.strip() not in people:
        raise CaseError(
            f"there is no {wanted.strip()[:NAME_SHOWN]} who works cases of {client_id}; those who do are "
            f"{', '.join(people)}. An administrator can give a person the role"
        )


DOINGS = {
    "note": "add a note",
    "fraud": "close it as fraud",
    "genuine": "close it as genuine",
    "reopen": "reopen it",
    "assign": "assign it",
    "take": "take it",
    "hand_back": "hand it back",
}
"""What the buttons do, in words."""


def _draw(
    settings: Settings,
    person: Any,
    case: Case,
    *,
    status: int = 200,
    seen: int | None = None,
    wanted: dict[str, str] | None = None,
    problem: str = "",
) -> HTMLResponse:
    """The page of a case; after something that could not be done with what the person had typed.

    A case that people have worked on stays theirs when the newest publication has no alert of it any more.

    Args:
        settings: of the installation.
        person: who asks.
        case: which one; its events are read now.
        status: of the answer.
        seen: version that the person had looked at; what came later is marked. None: they look now.
        wanted: what they had sent.
        problem: why it was not done.
    """
    alert = fraud_queue.alert(settings, case.client_id, case.transaction_key)
    case = cases.read_case(settings, case.client_id, case.transaction_key)
    me = access.name(person)
    work: dict[str, Any] = {
        "case": case,
        "may_work": access.may(person, "work_cases"),
        "people": [
            name for name in access.who_may("work_cases", case.client_id) if name not in (me, case.assignee)
        ],
        "me": me,
        "seen": case.version if seen is None else seen,
        "wanted": wanted or {"do": "", "note": "", "assignee": ""},
        "doings": DOINGS,
        "problem": problem,
    }
    if alert is None:
        return page("case_missing.html", status=status if case.events else 404, alert=None, **work)
    payment = alert["payment"]
    near = fraud_queue.around(settings, case.client_id, alert["customer_id"], payment) if payment else []
    known = cases.read_cases(settings, {case.client_id})
    return page(
        "case.html",
        status=status,
        **work,
        alert=alert,
        payment=payment,
        around=[
            row
            | {
                "case": known.get((case.client_id, row["transaction_key"])),
                "address": _beside(row["transaction_key"]),
            }
            for row in near
        ],
        local=lambda at: at.replace(tzinfo=UTC).astimezone(ZoneInfo(alert["timezone"])),
    )
