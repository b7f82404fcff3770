"""What one publication says about incidents: deliveries, models, drift and performance."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from nightledger.governance import ledger as model_ledger
from nightledger.incidents import causes, drifting, following, ledger
from nightledger.incidents.changes import Change
from nightledger.incidents.ledger import Incident
from nightledger.incidents.story import (
    DATA,
    DEMOTED,
    FAILED,
    LATE,
    PERFORMANCE,
    QUIET,
    Story,
    blame,
    change_ids,
    features,
    records,
)

OVER_WHEN_SEEN = (PERFORMANCE, DEMOTED)
"""Kinds that are over when a person has seen them."""
_FILES = ("missing file", "late file", "refused file", "layout", "corrected file")
_NOT_THERE = ("missing file", "late file")
_QUIET_BY_KIND = {"corrected file": 7}
_QUIET_COLUMN = 28
"""Days after which a data incident without news is over; of a column, those that say what is usual."""


def look(story: Story) -> None:
    """Find what is new, what goes on and what is over."""
    day = story.night.as_of_date()
    _deliveries(story, day)
    _demotions(story, day)
    drifting.look(story, day)
    _performance(story)
    for incident in [old for old in story.incidents if old.state == "open"]:
        if incident.kind in (FAILED, LATE) and incident.first_date <= day:
            story.close(incident, f"{day} is published.")


# --- deliveries ---------------------------------------------------------------------------------------------


def _deliveries(story: Story, day: date) -> None:
    """Files and columns: one incident for a source in trouble, however many of its files and days."""
    first = story.night.dates()[0]
    # Where a file was refused, its source has "not come" either: the refusal is first, and why.
    for change in sorted(story.changes, key=lambda change: change.kind in _NOT_THERE):
        if change.kind not in _FILES or not first <= change.as_of_date <= day:
            continue
        if any(change.id in change_ids(old) for old in story.incidents):
            continue
        began = change.as_of_date
        member = {"change": change.id, "what": change.what, "started_on": str(began), "about": change.about}
        old = next((old for old in story.incidents if _goes_on(old, change)), None)
        if old is None:
            story.open(
                Incident(
                    DATA,
                    change.client_id,
                    f"{change.about}: {_family(change)}",
                    change.what,
                    began,
                    day,
                    story.night.run_id,
                    severity="low" if change.kind == "corrected file" else "moderate",
                    cause_kind=change.kind,
                    cause=change.what,
                    cause_id=change.id,
                    members=[member],
                )
            )
            continue
        old.members = [*(old.members or []), member]
        old.last_date = day
        if change.kind == "late file":
            story.changed(old)
        else:
            story.tell(old, ledger.GREW, change.what)
    for old in [one for one in story.incidents if one.kind == DATA and one.state == "open"]:
        quiet = _QUIET_COLUMN if "." in old.about else _QUIET_BY_KIND.get(old.cause_kind, QUIET)
        if (day - old.last_date).days > quiet and not any(
            member.get("model") for member in old.members or []
        ):
            story.close(old, f"Nothing new for {quiet} days.")


def _family(change: Change) -> str:
    """What of a source's troubles belongs together."""
    return {"corrected file": "correction", "layout": "layout"}.get(change.kind, "delivery")


def _goes_on(old: Incident, change: Change) -> bool:
    families = {_family(change)} | ({"layout"} if change.kind in _NOT_THERE else set())
    is_same = (
        old.kind == DATA
        and old.client_id == change.client_id
        and old.about in {f"{change.about}: {family}" for family in families}
    )
    return is_same and old.state == "open" and (change.as_of_date - old.last_date).days <= QUIET


# --- models -------------------------------------------------------------------------------------------------


def _demotions(story: Story, day: date) -> None:
    for row in model_ledger.decisions(story.night.settings):
        if row["decision"] not in (model_ledger.DEMOTED, model_ledger.WITHDRAWN):
            continue
        if row["applies_after"] < day - timedelta(days=QUIET):
            continue
        model, version = row["model"], row["version"]
        scores = f"{row['champion_after']} scores" if row["champion_after"] else "nothing scores"
        story.open(
            Incident(
                DEMOTED,
                "",
                model,
                f"{model} {version} was taken back; {scores}.",
                row["applies_after"],
                row["applies_after"],
                story.night.run_id,
                severity="high",
                cause_kind="model",
                cause=f"{row['decided_by']}: {row['reason']}",
                cause_id=f"decision {row['id']}",
            )
        )


def _performance(story: Story) -> None:
    """Champions whose predictions did not come true, by whole cohorts as known now; one incident each."""
    ratio = following.limits(story.night.settings).performance_ratio
    rows = records(
        story.night.now,
        """
        select p.client_id, p.model, p.model_version, p.cohort_month, p.last_date, p.events::double as events,
               p.expected_events::double as expected, p.calibration_ratio as of_expected
        from marts.mart_realised_performance as p
        where p.role = 'champion' and p.basis = 'now' and p.is_mature
            and p.cohort_month >= (select max(as_of_date) from ops.horizon) - interval 400 days
            and exists (
                select 1 from ops.model_pins as pins
                where pins.role = 'champion' and pins.model_version = p.model_version
                    and pins.model in (p.model, p.model || '.' || p.client_id)
                    and pins.as_of_date = (select max(as_of_date) from ops.horizon))
        order by p.client_id, p.model, p.model_version, p.cohort_month
        """,
    )
    bad: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        # Beyond the factor, and beyond three standard deviations of a count.
        is_beyond = row["of_expected"] is not None and not 1 / ratio < row["of_expected"] < ratio
        if is_beyond and abs(row["events"] - row["expected"]) >= 3 * max(row["expected"], 1) ** 0.5:
            bad.setdefault((row["client_id"], row["model"], row["model_version"]), []).append(row)
    for months in bad.values():
        _underperforms(story, months)
    scoring = _champions(story)
    going_on = {(client, f"{model} {version}") for client, model, version in bad}
    for old in [one for one in story.incidents if one.kind == PERFORMANCE and one.state == "open"]:
        model, _, version = old.about.partition(" ")
        if not {(model, version), (f"{model}.{old.client_id}", version)} & scoring:
            story.close(old, f"{version} is no longer the champion.")
        elif (old.client_id, old.about) not in going_on:
            story.close(old, "As known now, its predictions have come true.")


def _champions(story: Story) -> set[tuple[str, str]]:
    """(model, version) of the champions of the last date."""
    rows = story.night.now.execute(
        "select distinct model, model_version from ops.model_pins where role = 'champion'"
        " and as_of_date = (select max(as_of_date) from ops.horizon)"
    ).fetchall()
    return {(model, version) for model, version in rows}


def _underperforms(story: Story, months: Sequence[Mapping[str, Any]]) -> None:
    """Open the incident of a version, or let it grow by months that are not in it yet.

    Args:
        story: of the publication.
        months: cohorts of one client and version that did not come true, oldest first.
    """
    first, last = months[0], months[-1]
    client, model = first["client_id"], first["model"]
    of_score = f"score of {model}"
    behind = causes.behind(story.lineage, of_score, features(story, first["model_version"]))
    sight = causes.Sighting(client, of_score, model, first["last_date"], False, behind)
    made = Incident(
        PERFORMANCE,
        client,
        f"{model} {first['model_version']}",
        "",
        first["cohort_month"],
        last["last_date"],
        story.night.run_id,
        severity="high",
        members=[
            {
                "model": model,
                "about": "calibration",
                "started_on": str(row["cohort_month"]),
                "weighted_drift": 0.0,
            }
            for row in months
        ],
    )
    span = " to ".join(dict.fromkeys(f"{row['cohort_month']:%Y-%m}" for row in (first, last)))
    expected, happened = (sum(row[name] for row in months) for name in ("expected", "events"))
    in_cohorts = f"the cohort of {span}" if len(months) == 1 else f"{len(months)} cohorts ({span})"
    made.title = f"{made.about} expected {expected:.0f} events in {in_cohorts}, and {happened:.0f} happened."
    old = next((one for one in story.incidents if one.id == made.id), None)
    if old is None:
        story.open(blame(made, causes.candidates(sight, story.changes)))
        return
    known = {member["started_on"] for member in old.members or []}
    new = [member for member in made.members or [] if member["started_on"] not in known]
    if not new:
        return
    old.members = [*(old.members or []), *new]
    old.title, old.last_date = made.title, max(old.last_date, made.last_date)
    note = f"Nor did {', '.join(member['started_on'][:7] for member in new)} come true."
    if old.state == "open":
        story.tell(old, ledger.GREW, note)
    else:
        story.reopen(old, note)
