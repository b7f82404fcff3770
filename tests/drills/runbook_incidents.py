"""What causes the alerts that hang on incidents, and the steps of their runbooks.

No model is good enough to score in so small a bank: decisions and what a night says of models are told.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from nightledger import incidents
from nightledger.governance import demotion, ledger
from tests.helpers.steps import LAST, run_night

if TYPE_CHECKING:
    from tests.drills.runbooks import Drill

Look = Callable[[], None]
DAY_BEFORE = LAST - timedelta(days=1)
"""The date of the night that is published already."""
CHAMPION = {"client_id": "demo_bank", "model": "churn", "model_version": "second", "role": "champion"}


def champion_lost(drill: "Drill", look: Look) -> None:
    """A champion has cost more than a client allows."""
    _tell_champions(drill, "fraud")
    with drill.clock():
        reason = "bank: lost 900 INR over 30 days; 500 are allowed."
        breach = {"model": "fraud", "version": "second", "reason": reason, "clients": {}}
        demotion.demote_for_loss(drill.settings, breach, "nightly/drill-1", lambda _version: "")
    _watch(drill, "nightly/drill-1")
    look()
    said = drill.command("make decisions MODEL=fraud")
    assert "loss limit" in said
    assert ledger.champions(drill.settings)["fraud"] == "first"
    _acknowledge(drill, "champion demoted", "the earlier champion scores")


def drift(drill: "Drill", look: Look) -> None:
    """A feature of a champion drifts, by what the night says."""
    feature = {"feature": "spend_30d", "weighted_drift": 0.03}
    alert = {
        **{name: CHAMPION[name] for name in ("client_id", "model", "model_version")},
        **feature,
        "alert_about": "spend_30d",
        "what_changed": "distribution",
        "severity": "moderate",
        "is_within_budget": True,
        "is_ongoing": True,
        "started_on": LAST,
        "last_seen_on": LAST,
    }
    rows: list[tuple[str, dict[str, Any]]] = [("marts.mart_drift_alerts", alert)]
    for day, psi in ((DAY_BEFORE, 0.3), (LAST, 0.4)):
        told = {**CHAMPION, **feature, "reference": "training", "excess_psi": psi, "as_of_date": day}
        rows.append(("marts.fct_drift", told))
    _watch(drill, _publish_told(drill, rows))
    look()
    (found,) = _open_incidents(drill, "drift")
    assert found["cause_kind"] == "customers", found["cause"]
    drill.done.append("nothing of ours is blamed: read its drift report")
    _acknowledge(drill, "drift", "salaries were paid a week late")
    drill.done.append("the night is built again, from the rows alone: nothing of it drifts")
    run = drill.run()
    with drill.clock():
        assert run_night(drill.settings, run, LAST, force=True, tests=False) is not None
    _watch(drill, run)


def performance(drill: "Drill", look: Look) -> None:
    """Twice as much happened as a champion had expected."""
    cohort = {
        **CHAMPION,
        "basis": "now",
        "row_count": 400,
        "matured_rows": 400,
        "events": 80,
        "expected_events": 40,
        "calibration_ratio": 2.0,
        "is_mature": True,
        "cohort_month": date(2025, 11, 1),
        "first_date": date(2025, 11, 30),
        "last_date": date(2025, 11, 30),
    }
    pin = {name: CHAMPION[name] for name in ("model", "model_version", "role")} | {"as_of_date": LAST}
    told = [("ops.model_pins", pin), ("marts.mart_realised_performance", cohort)]
    run = _publish_told(drill, told)
    _tell_champions(drill, "churn")
    _watch(drill, run)
    look()
    said = drill.command("make decisions MODEL=churn")
    assert "second" in said
    _acknowledge(drill, "performance", "a campaign of November that the model does not know")


def _publish_told(drill: "Drill", rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Publish the night with rows that are put into its tables after dbt made them; returns the run."""
    run = drill.until("publish")
    with drill.open_build() as connection:
        for table, row in rows:
            columns = ", ".join(f"${name} as {name}" for name in row)
            connection.execute(f"insert into {table} by name select {columns}", row)
    drill.go_on(run, "publish")
    return run


def _watch(drill: "Drill", run: str) -> None:
    """What the task `incidents` does after a publication."""
    with drill.clock():
        incidents.watch(drill.settings, run)


def _open_incidents(drill: "Drill", kind: str) -> list[dict[str, Any]]:
    return [row for row in incidents.open_incidents(drill.settings) if row["kind"] == kind]


def _acknowledge(drill: "Drill", kind: str, note: str) -> None:
    """A step of the text, as the page does it."""
    drill.done.append("acknowledge the incident with a note")
    with drill.clock():
        for row in _open_incidents(drill, kind):
            incidents.acknowledge(drill.settings, row["id"], by="drill", note=note)


def _tell_champions(drill: "Drill", name: str) -> None:
    """Two versions of a model become champion, one after the other."""
    for version in ("first", "second"):
        with drill.clock(), ledger.appending(drill.settings, name) as (connection, _):
            ledger.append(
                connection,
                model=name,
                version=version,
                decision=ledger.PROMOTED,
                reason="told",
                decided_by="promotion rules",
                run_id=f"train/{version}",
                trained_on_as_of=DAY_BEFORE,
                applies_after=DAY_BEFORE,
                champion_after=version,
                known_at=drill.now,
            )
