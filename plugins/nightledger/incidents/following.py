"""What follows from incidents: trainings; and what a failed run leaves behind."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
import yaml

from nightledger import operations, warehouse
from nightledger.incidents.changes import definitions
from nightledger.incidents.drifting import by_model
from nightledger.incidents.ledger import Incident
from nightledger.incidents.story import DRIFT, FAILED, PERFORMANCE
from nightledger.operations.schema import audits, stages
from nightledger.settings import Settings

_SHOWN = 4


@dataclass(frozen=True)
class Limits:
    """From `vars` in dbt_project.yml."""

    retrain_drift: float
    retrain_pause_days: int
    performance_ratio: float


def limits(settings: Settings) -> Limits:
    """The thresholds of this installation."""
    given = yaml.safe_load((settings.dbt_project / "dbt_project.yml").read_text())["vars"]
    return Limits(**{name: given[name] for name in Limits.__dataclass_fields__})


def trainings(
    incidents: Sequence[Incident],
    asked: Sequence[Mapping[str, Any]],
    limit: Limits,
    run_id: str,
    champions: Mapping[str, str],
) -> list[tuple[str, str]]:
    """(incident, model) of the trainings that a night asks for.

    Args:
        incidents: all of them.
        asked: events of trainings that were asked for.
        limit: when an incident asks, and for how long a model is left alone afterwards.
        run_id: of the night; what it has asked for before is asked again.
        champions: version of each model that scores; a client's own is called `<model>.<client>`. A version
            that has been replaced asks for nothing.
    """
    now = operations.clock()
    found = [(row["incident_id"], row["note"]) for row in asked if row["run_id"] == run_id]
    recent = {row["note"] for row in asked if _age(row["recorded_at"], now) < limit.retrain_pause_days}
    done = {row["incident_id"] for row in asked}
    for incident in incidents:
        # Of a file that is missing nothing is to be learnt: it is to be sent.
        if incident.state != "open" or incident.id in done or incident.kind not in (DRIFT, PERFORMANCE):
            continue
        models = by_model(incident)
        if not models:
            continue
        most = max(sorted(models), key=lambda name: models[name])
        own = f"{most}.{incident.client_id}"
        model = own if own in champions else most
        if incident.kind == PERFORMANCE:
            is_enough = champions.get(model) == incident.about.partition(" ")[2]
        else:
            is_enough = (incident.weighted_drift or 0.0) >= limit.retrain_drift
        if is_enough and model not in recent:
            found.append((incident.id, model))
            recent.add(model)
    return sorted(set(found))


def _age(moment: datetime, now: datetime) -> int:
    return (now - moment).days


def failure(settings: Settings, run_id: str, day: date | None) -> dict[str, Any] | None:
    """What is known of a failed run of a date, as arguments of `report`; without a value of a customer."""
    if day is None:
        return None
    failed = operations.read(
        settings,
        sa.select(stages)
        .where(stages.c.run_id == run_id, stages.c.state == "failed")
        .order_by(stages.c.id.desc())
        .limit(1),
    )
    stage = failed[0]["stage"] if failed else "waiting for sources"
    error = json.loads(failed[0]["detail"]).get("error", "") if failed else ""
    kind, cause, others = _why(settings, run_id, stage, error)
    return {
        "kind": FAILED,
        "about": str(day),
        "title": f"The night of {day} failed in {stage.replace('_', ' ')}.",
        "first_date": day,
        "cause_kind": kind,
        "cause": cause,
        "candidates": others,
    }


def _why(settings: Settings, run_id: str, stage: str, error: str) -> tuple[str, str, list[str]]:
    name, _, message = error.partition(": ")
    refused = [row for row in operations.file_verdicts(settings, run_id) if row["verdict"] == "refused"]
    others = [f"{row['source']}: {row['file']} was refused." for row in refused]
    if name == "RequiredSourceMissing" or (not error and stage == "waiting for sources"):
        sources = re.findall(r"[a-z0-9_]+/[a-z0-9_]+ for [0-9, -]+\d", message)
        what = f"Not there: {'; '.join(sources)}." if sources else "A required source has not delivered."
        # A file of another source that was refused in the same run explains nothing.
        its = [row for row in refused if f"{row['client_id']}/{row['source']}" in what or not sources]
        if its:
            first = f"{its[0]['source']}: {its[0]['file']} was refused."
            return "refused file", first, [what, *(other for other in others if other != first)]
        return "missing file", what, others
    if name == "AuditFailed":
        rows = operations.read(settings, sa.select(audits).where(audits.c.run_id == run_id))
        checks = sorted({r["check"] for r in rows if r["status"] == "failed" and r["severity"] == "error"})
        return "audit", f"The audit failed: {', '.join(checks)}.", others
    if name == "ScoringRefused" and (changed := _changed_definitions(settings)):
        return "dbt", f"{'; '.join(changed[:_SHOWN])}: the models know other features.", others
    if name in ("TestsFailed", "DbtFailed"):
        bad = [
            row["unique_id"].split(".")[2]
            for row in operations.node_results(settings, run_id)
            if row["status"] in ("fail", "error", "runtime error")
        ]
        return "dbt", f"dbt: {', '.join(bad[:_SHOWN]) or 'it could not run'}.", others
    return "machine", f"{name or 'It was stopped'} in {stage.replace('_', ' ')}: see the task's log.", others


def _changed_definitions(settings: Settings) -> list[str]:
    """What the open night's project has otherwise than the publication that readers see."""
    published = warehouse.publication_path(settings)
    built = settings.builds / "open" / "target" / "manifest.json"
    if published is None or not built.exists():
        return []
    now, before = (json.loads(path.read_text()) for path in (built, published / "manifest.json"))
    return [f"{name.split('.')[0]} {name.split('.')[-1]} {how}" for name, how in definitions(now, before)]
