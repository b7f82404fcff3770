"""The page for 3 a.m.: can people trust the numbers now, what runs, what failed and why, and what to do."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from nightledger.monitoring import morning
from nightledger.monitoring.morning import Morning
from nightledger.pages import access
from nightledger.pages.drawing import page
from nightledger.settings import Settings

TONES = {
    "on time": "good",
    "made up later": "quiet",
    "due": "quiet",
    "late": "doubtful",
    "overdue": "bad",
    "failed": "bad",
    "running": "good",
}
STATES = {
    "running": "good",
    "waiting": "quiet",
    "tried again": "doubtful",
    "silent": "bad",
    "failed": "bad",
    "published": "good",
}

router = APIRouter()


class Verdict(NamedTuple):
    """The answer to the first question."""

    tone: str
    answer: str
    because: str


@router.get("/morning", dependencies=[access.needs("read_operations")])
def morning_page(person: access.Person) -> HTMLResponse:
    """Everything on one screen; it loads itself again every minute."""
    settings = Settings()
    found = morning.look(settings)
    return page(
        "morning.html",
        leaves_frame=True,
        m=found,
        settings=settings,
        verdict=verdict(found),
        cells=_cells(found),
        states=STATES,
        ago=lambda moment: ago(found.now - moment),
        span=ago,
        prose=prose,
        missed=_missed(found, settings),
        budget=_budget(found, settings),
        may_read_runs=access.may(person, "read_runs"),
        incidents=found.incidents if access.may(person, "read_incidents") else [],
    )


def verdict(found: Morning) -> Verdict:
    """Whether people can trust the numbers that they see now, and what they must know."""
    seen = found.published
    if found.damage:
        return Verdict("bad", "No", f"{found.damage}.")
    if seen is None:
        return Verdict("doubtful", "There are no numbers yet", "No night has been published.")
    day = f"They are of {seen.as_of_date:%a %d %B %Y}"
    due = found.due
    old = any(alert.kind == "stale" for alert in found.raised)
    if due is not None and due.state(found.now) == "overdue":
        old = True
        day += f", and the night of {due.as_of_date:%a %d %B} is late"
    elif old:
        day += ", and nothing newer has come for too long"
    if seen.warned:
        names = ", ".join(name.replace("_", " ") for name, _ in seen.warned)
        doubt = f"{len(seen.warned)} of {seen.checks} checks of the audit warn: {names}"
        answer = "With care, and they are old" if old else "Yes, with care"
        return Verdict("bad" if old else "doubtful", answer, f"{day}. {doubt}.")
    if old:
        return Verdict("bad", "They are right, but old", f"{day}.")
    return Verdict("good", "Yes", f"{day}, and all {seen.checks} checks of the audit passed.")


def prose(text: str) -> Markup:
    """Text of ours with words between backticks as code."""
    words = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(words)
    )


def ago(span: timedelta) -> str:
    """A span of time in its two largest units, as `3 h 20 min`."""
    minutes = round(abs(span.total_seconds()) / 60)
    if minutes < 1:
        return f"{abs(span.total_seconds()):.0f} s"
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"
    return f"{hours} h {minutes} min" if hours and minutes else f"{hours} h" if hours else f"{minutes} min"


def _cells(found: Morning) -> list[dict[str, Any]]:
    """The strip of nights: state, tone and how long each took."""
    took = {cost.as_of_date: cost.wall for cost in reversed(found.costs) if cost.state == "published"}
    running = {run.as_of_date for run in found.at_work if run.state == "running"}
    cells = []
    for night in found.nights:
        state = night.state(found.now)
        if state == "made up":
            state = "made up later"
        if night.published_at is None and state != "overdue" and night.as_of_date in running:
            state = "running"
        elif night.published_at is None and night.as_of_date in found.failed_dates:
            state = "failed"
        wall = took.get(night.as_of_date)
        cells.append(
            {
                "day": night.as_of_date,
                "state": state,
                "tone": TONES[state],
                "wall": ago(wall) if wall else "",
                "behind": _behind(night.published_at, night.publish_by) if state == "late" else "",
            }
        )
    return cells


def _behind(published_at: datetime | None, publish_by: datetime) -> str:
    return f"{ago(published_at - publish_by)} late" if published_at else ""


def _missed(found: Morning, settings: Settings) -> list[str]:
    """The objectives that are not kept, with what was reached."""
    standard = found.standard
    said = []
    if standard.on_time_share is not None and standard.on_time_share < settings.on_time_objective:
        said.append(_budget(found, settings))
    if standard.fresh_share is not None and standard.fresh_share < settings.fresh_objective:
        said.append(
            f"readers saw numbers of at most {settings.fresh_hours:g} h in {standard.fresh_share:.1%} of the "
            f"time; the objective is {settings.fresh_objective:.1%}"
        )
    return said


def _budget(found: Morning, settings: Settings) -> str:
    """How many late nights the objective allows over the nights that were judged, and how many there were."""
    judged, late = found.standard.nights, found.standard.nights - found.standard.on_time
    allowed = (1 - settings.on_time_objective) * judged
    return f"{late} late of {judged} nights; the objective allows {allowed:.1f}"
