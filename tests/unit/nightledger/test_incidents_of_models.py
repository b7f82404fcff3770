"""Incidents of models: what did not come true, what was taken back, and which trainings that asks for."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta

from nightledger import incidents, operations
from nightledger.governance import ledger as model_ledger
from nightledger.incidents import following
from nightledger.incidents.ledger import Incident
from tests.helpers.small_publications import DAY, Home


def test_a_champion_that_was_taken_back_is_an_incident_until_somebody_has_seen_it(home):
    """Catches a demotion that nobody is told of, and one that a night quietly calls over."""
    home.watch(DAY)
    decision = {
        "model": "churn", "version": "v2", "decision": model_ledger.DEMOTED, "reason": "it lost 3 %",
        "decided_by": "loss limit", "run_id": "nightly/x", "trained_on_as_of": DAY, "champion_after": "v1",
        "applies_after": DAY, "known_at": operations.clock(),
    }  # fmt: skip
    with model_ledger.appending(home.settings, "churn") as (connection, _):
        model_ledger.append(connection, **decision)
    home.watch(DAY + timedelta(days=1))
    incident = home.only()
    assert (incident["kind"], incident["title"]) == (
        "champion demoted",
        "churn v2 was taken back; v1 scores.",
    )
    home.watch(DAY + timedelta(days=20))
    assert home.only()["state"] == "open"
    incidents.acknowledge(home.settings, incident["id"], by="ana", note="the fraud wave of May")
    assert home.only()["state"] == "closed"
    said = [(e["event"], e["done_by"], e["note"]) for e in incidents.events(home.settings, incident["id"])]
    assert said[1] == ("acknowledged", "ana", "the fraud wave of May")


def test_a_cohort_that_did_not_come_true_is_an_incident_once(home):
    """Catches predictions that fail unseen, and small numbers that are taken for a failure."""
    cohort = (
        "insert into marts.mart_realised_performance values ('bank', 'churn', 'v1', 'champion', 'now', true, "
    )
    home.rows = [
        cohort + f"'2026-01-01', '{DAY}', 80, 40, 2.0)",
        cohort + f"'2025-12-01', '{DAY}', 4, 2, 2.0)",
    ]
    home.watch(DAY)
    assert home.only()["title"] == "churn v1 expected 40 events in the cohort of 2026-01, and 80 happened."
    assert home.watch(DAY + timedelta(days=1)) == {}
    decide(home, "v1")
    assert incidents.ask_training(home.settings, "nightly/x") == ["churn"]


def decide(home: Home, version: str, decision: str = model_ledger.PROMOTED) -> None:
    """Make a version of churn the champion."""
    with model_ledger.appending(home.settings, "churn") as (connection, _):
        model_ledger.append(
            connection, model="churn", version=version, decision=decision, reason="x", decided_by="rules",
            run_id=f"train/{version}", trained_on_as_of=DAY, champion_after=version, applies_after=DAY,
            known_at=operations.clock(),
        )  # fmt: skip


def missed(month: str) -> str:
    """SQL: a cohort of twice the events that were expected."""
    return (
        "insert into marts.mart_realised_performance values ('bank', 'churn', 'v1', 'champion', 'now', true,"
        f" '{month}-01', '{DAY}', 80, 40, 2.0)"
    )


def test_a_version_that_does_worse_for_months_is_one_event_until_it_is_replaced(home, monkeypatch):
    """Catches an incident and a training for each month of one failing version, and one that never ends."""
    decide(home, "v1")
    home.rows = [missed(f"2025-{month:02}") for month in range(6, 12)]
    assert home.watch(DAY) == {"opened": 1}
    assert home.only()["title"] == (
        "churn v1 expected 240 events in 6 cohorts (2025-06 to 2025-11), and 480 happened."
    )
    assert json.loads(home.only()["members"])[0]["started_on"] == "2025-06-01"
    assert incidents.ask_training(home.settings, "nightly/1") == ["churn"]
    home.rows.append(missed("2025-12"))
    assert home.watch(DAY + timedelta(days=1)) == {"grew": 1}
    monkeypatch.setattr(operations, "clock", lambda: datetime(2026, 6, 1))
    assert incidents.ask_training(home.settings, "nightly/2") == []
    assert home.watch(DAY + timedelta(days=2), pinned="v2") == {"closed": 1}
    assert home.only()["state"] == "closed"


def test_a_version_that_is_no_longer_champion_asks_for_no_training(home):
    """Catches a challenger trained for a version that nobody uses, since the next date has another one."""
    home.rows = [missed("2026-01")]
    home.watch(DAY)
    decide(home, "v2")
    assert incidents.ask_training(home.settings, "nightly/x") == []


def test_a_version_that_somebody_has_seen_is_opened_again_by_another_month_only(home):
    """Catches a click that hides what comes later, and one that hides nothing."""
    home.rows = [missed("2026-01")]
    home.watch(DAY)
    incidents.acknowledge(home.settings, home.only()["id"], by="ana", note="we know")
    assert home.watch(DAY + timedelta(days=1)) == {}
    assert home.only()["state"] == "closed"
    home.rows.append(missed("2026-02"))
    assert home.watch(DAY + timedelta(days=2)) == {"opened": 1}
    assert home.only()["state"] == "open"


def drifting(model: str, weight: float, first: date = DAY) -> Incident:
    """A drift incident of one feature."""
    member = {
        "about": "f",
        "model": model,
        "started_on": str(first),
        "what_changed": "",
        "weighted_drift": weight,
    }
    return Incident(
        "drift", "bank", "f", "t", first, first, "r", members=[member], weighted_drift=weight
    )  # fmt: skip


def test_an_incident_asks_for_one_training_and_a_model_has_its_pause(home):
    """Catches a training every night of a drift, of the wrong client, or for what is below the threshold."""
    limit = following.Limits(retrain_drift=0.02, retrain_pause_days=28, performance_ratio=1.5)
    low, high = drifting("churn", 0.01), drifting("anomaly", 0.05)
    champions = {"churn": "v1", "anomaly.bank": "v1"}
    wanted = following.trainings([low, high], [], limit, "night 1", champions)
    assert wanted == [(high.id, "anomaly.bank")]
    asked = [
        {
            "incident_id": high.id,
            "note": "anomaly.bank",
            "run_id": "night 1",
            "recorded_at": operations.clock(),
        }
    ]
    assert following.trainings([high], asked, limit, "night 1", champions) == wanted, "the same run again"
    assert following.trainings([high], asked, limit, "night 2", champions) == []
    other = drifting("anomaly", 0.05, DAY + timedelta(days=1))
    assert following.trainings([other], asked, limit, "night 2", champions) == []
    missing = replace(other, kind="data", id="x")
    assert following.trainings([missing], [], limit, "night 2", champions) == [], "it would learn the fault"
    asked[0]["recorded_at"] -= timedelta(days=28)
    assert following.trainings([other], asked, limit, "night 2", champions) == [(other.id, "anomaly.bank")]
