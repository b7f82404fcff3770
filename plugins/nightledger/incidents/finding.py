"""What one publication says about incidents: deliveries, models, drift and performance."""

from datetime import date, timedelta

from nightledger import model_ledger
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
"""Kinds that nothing else ends than a person who has seen them."""
_FILES = ("missing file", "late file", "refused file", "layout", "corrected file")
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
    for change in [one for one in story.changes if one.as_of_date == day and one.kind in _FILES]:
        if any(change.id in change_ids(old) for old in story.incidents):
            continue
        member = {"change": change.id, "what": change.what, "started_on": str(day), "about": change.about}
        old = next((old for old in story.incidents if _goes_on(old, change)), None)
        if old is None:
            story.open(
                Incident(
                    DATA,
                    change.client_id,
                    f"{change.about}: {_family(change)}",
                    change.what,
                    day,
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
    about = f"{change.about}: {_family(change)}"
    is_same = old.kind == DATA and (old.client_id, old.about) == (change.client_id, about)
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
    """Champions whose predictions did not come true, by whole cohorts as known now."""
    ratio = following.limits(story.night.settings).performance_ratio
    rows = records(
        story.night.now,
        """
        select client_id, model, model_version, cohort_month, last_date, events::double as events,
               expected_events::double as expected, calibration_ratio
        from marts.mart_realised_performance
        where role = 'champion' and basis = 'now' and is_mature
            and cohort_month >= (select max(as_of_date) from ops.horizon) - interval 400 days
        order by cohort_month, client_id, model, model_version
        """,
    )
    for row in rows:
        of = row["calibration_ratio"]
        # Beyond the factor, and beyond three standard deviations of a count.
        if of is None or 1 / ratio < of < ratio:
            continue
        if abs(row["events"] - row["expected"]) < 3 * max(row["expected"], 1) ** 0.5:
            continue
        title = (
            f"{row['model']} {row['model_version']} expected {row['expected']:.0f} events in the cohort of"
            f" {row['cohort_month']:%Y-%m}, and {row['events']:.0f} happened."
        )
        member = {
            "model": row["model"],
            "about": "calibration",
            "started_on": str(row["cohort_month"]),
            "weighted_drift": 0.0,
        }
        sight = causes.Sighting(
            row["client_id"],
            f"score of {row['model']}",
            row["model"],
            row["last_date"],
            False,
            causes.behind(story.lineage, f"score of {row['model']}", features(story, row["model_version"])),
        )
        blamed = causes.candidates(sight, story.changes)
        incident = Incident(
            PERFORMANCE,
            row["client_id"],
            f"{row['model']} {row['model_version']}",
            title,
            row["cohort_month"],
            row["last_date"],
            story.night.run_id,
            severity="high",
            members=[member],
        )
        story.open(blame(incident, blamed))
