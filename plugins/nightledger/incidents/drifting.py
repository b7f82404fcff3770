"""Drift: each alert that people are shown joins the incident of its event, or opens one."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from nightledger.incidents import causes, ledger
from nightledger.incidents.changes import Change
from nightledger.incidents.ledger import Incident
from nightledger.incidents.story import DEMOTED, DRIFT, QUIET, Story, blame, change_ids, features, records

_SAME_STORY = 28
"""Days after its first in which a drift that nothing upstream explains is the same event: not for ever, since
one that lasts would hide the next."""
_SHOWN = 4


def look(story: Story, day: date) -> None:
    """Alerts that people are shown: each joins the incident of its event, or opens one."""
    alerts = records(
        story.night.now,
        "select client_id, alert_about, model, model_version, feature, what_changed, severity,"
        " weighted_drift, is_ongoing, started_on, last_seen_on from marts.mart_drift_alerts"
        " where is_within_budget order by started_on, weighted_drift desc, alert_about",
    )
    for alert in alerts:
        key = (alert["client_id"], alert["alert_about"], str(alert["started_on"]))
        if not alert["is_ongoing"]:
            continue
        theirs = [old for old in story.incidents if key in _keys(old)]
        if not theirs:
            _add(story, alert)
        elif all(old.state == "closed" for old in theirs):
            story.reopen(theirs[-1], f"{alert['alert_about']} drifts still.")
    last_seen = {
        (row["client_id"], row["alert_about"], str(row["started_on"])): row["last_seen_on"]
        for row in alerts
        if row["is_ongoing"]
    }
    now = _weighted(story)
    for old in [one for one in story.incidents if one.state == "open" and _keys(one)]:
        goes_on = _keys(old) & last_seen.keys()
        last = max((last_seen[key] for key in goes_on), default=old.last_date)
        if old.last_date < last:
            old.last_date = last
            story.changed(old)
        weight = _weight_of(old, now) if goes_on else old.weighted_drift
        if weight != old.weighted_drift:
            old.weighted_drift = weight
            story.changed(old)
        if not goes_on and (old.kind == DRIFT or (day - old.last_date).days > QUIET):
            story.close(old, "Nothing of it drifts any more.")


def _add(story: Story, alert: Mapping[str, Any]) -> None:
    about, client = alert["alert_about"], alert["client_id"]
    sight = causes.Sighting(
        client,
        about,
        alert["model"],
        alert["started_on"],
        _is_jump(story, alert),
        causes.behind(story.lineage, about, features(story, alert["model_version"])),
    )
    blamed = causes.candidates(sight, story.changes)
    member = {
        "about": about,
        "model": alert["model"],
        "started_on": str(alert["started_on"]),
        "what_changed": alert["what_changed"],
        "weighted_drift": round(float(alert["weighted_drift"]), 6),
    }
    incident = _same_event(story, sight, blamed[0] if blamed else None)
    if incident is None:
        title = f"{about} of {client} drifts ({alert['what_changed']})."
        made = Incident(
            DRIFT,
            client,
            about,
            title,
            alert["started_on"],
            alert["started_on"],
            story.night.run_id,
            severity="high" if alert["severity"] == "large" else "moderate",
            members=[member],
            weighted_drift=member["weighted_drift"],
        )
        story.open(blame(made, blamed))
        return
    incident.members = [*(incident.members or []), member]
    incident.last_date = max(incident.last_date, alert["started_on"])
    if alert["severity"] == "large":
        incident.severity = "high"
    names = [name for name in dict.fromkeys(one["about"] for one in incident.members if one.get("model"))]
    if incident.kind == DRIFT:
        shown = ", ".join(names[:_SHOWN]) + (
            f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        )
        incident.title = f"{shown} of {client} drift."
    story.tell(incident, ledger.GREW, f"{about} drifts too.")


def _same_event(story: Story, sight: causes.Sighting, blamed: Change | None) -> Incident | None:
    """The open incident to which a drift belongs."""
    theirs = [
        old for old in story.incidents if old.state == "open" and old.client_id in ("", sight.client_id)
    ]
    drifting = [old for old in theirs if _keys(old)]
    if sight.about.startswith("score of "):
        for old in reversed(drifting):
            if any(member.get("model") == sight.model for member in old.members or []):
                return old
    if blamed is not None:
        for old in reversed(theirs):
            if blamed.id in change_ids(old):
                return old
            if blamed.kind == "model" and old.kind == DEMOTED and old.about == blamed.about:
                return old
        return None
    for old in reversed(drifting):
        if old.cause_kind == causes.CUSTOMERS and (sight.started_on - old.first_date).days <= _SAME_STORY:
            return old
    return None


def _is_jump(story: Story, alert: Mapping[str, Any]) -> bool:
    """Whether the index was less than half of its value on the scored date before."""
    rows = story.night.now.execute(
        "select as_of_date, excess_psi from marts.fct_drift where client_id = ? and model = ? and feature = ?"
        " and reference = 'training' and role = 'champion' and as_of_date <= ?"
        " order by as_of_date desc limit 2",
        [alert["client_id"], alert["model"], alert["feature"], alert["started_on"]],
    ).fetchall()
    return len(rows) == 2 and rows[1][1] < rows[0][1] / 2


def _weighted(story: Story) -> dict[tuple[str, str, str], float]:
    """Weighted drift of the last date, by client, model and what alerts are about."""
    rows = story.night.now.execute(
        "select client_id, model, case when feature = 'score' then 'score of ' || model else feature end,"
        " max(weighted_drift) from marts.fct_drift where reference = 'training' and role = 'champion'"
        " and as_of_date = (select max(as_of_date) from ops.horizon) group by all"
    ).fetchall()
    return {(client, model, about): float(value or 0) for client, model, about, value in rows}


def _weight_of(incident: Incident, now: Mapping[tuple[str, str, str], float]) -> float:
    """Of the model that it moves most: the sum over its features, or its score if that moved further."""
    sums = by_model(incident, now)
    return round(max(sums.values(), default=0.0), 6)


def by_model(incident: Incident, now: Mapping[tuple[str, str, str], float] | None = None) -> dict[str, float]:
    """Weighted drift of an incident by model; from its own members, or by what is known now."""
    features: dict[str, float] = {}
    scores: dict[str, float] = {}
    seen = set()
    for member in incident.members or []:
        model, about = member.get("model"), member["about"]
        if not model or (model, about) in seen:
            continue
        seen.add((model, about))
        value = member["weighted_drift"] if now is None else now.get((incident.client_id, model, about), 0.0)
        where = scores if about.startswith("score of ") else features
        where[model] = where.get(model, 0.0) + value
    return {model: max(features.get(model, 0.0), scores.get(model, 0.0)) for model in features | scores}


def _keys(incident: Incident) -> set[tuple[str, str, str]]:
    """(client, about, first date) of the drifts that belong to an incident."""
    return {
        (incident.client_id, member["about"], member["started_on"])
        for member in incident.members or []
        if member.get("what_changed")
    }
