"""Incidents of data: what the pass makes of columns, drifts and files that went wrong."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ml.scoring import ScoringRefused
from nightledger import incidents, operations
from nightledger.incidents import causes
from nightledger.monitoring import notifying
from tests.helpers.small_publications import CITIES, DAY, coverage, manifest, transactions


def test_a_column_that_empties_is_an_incident_at_once(home):
    """Catches a feed that loses a column, which a feature of 90 days shows two months later."""
    home.watch(DAY - timedelta(days=1), transactions(DAY - timedelta(days=1), 20, 0))
    assert home.watch(DAY, transactions(DAY, 20, 50)) == {"opened": 1}
    incident = home.only()
    assert (incident["kind"], incident["cause_kind"]) == ("data", "layout")
    assert "city is empty in 50% of the records of core; usual was 0%" in incident["cause"]


def test_drift_of_a_column_that_emptied_joins_its_incident(home):
    """Catches an incident for a feature beside that of the feed which the feature is made of."""
    home.watch(DAY, transactions(DAY, 20, 0))
    home.watch(DAY + timedelta(days=1), transactions(DAY + timedelta(days=1), 20, 50))
    later = DAY + timedelta(days=9)
    home.alerts = [("away_share_90d", later, True), ("score of churn", later, True)]
    home.watch(later)
    incident = home.only()
    members = [member["about"] for member in json.loads(incident["members"]) if member.get("model")]
    assert members == ["away_share_90d", "score of churn"]
    assert (incident["state"], incident["cause_kind"]) == ("open", "layout")


def test_what_nothing_explains_is_the_customers_and_is_over_when_nothing_drifts(home):
    """Catches a change of ours that is blamed because there must be one, and an incident that never ends."""
    home.watch(DAY)
    home.alerts = [
        ("spend_30d", DAY + timedelta(days=1), True),
        ("away_share_90d", DAY + timedelta(days=1), True),
    ]
    home.watch(DAY + timedelta(days=1))
    incident = home.only()
    assert (incident["kind"], incident["cause_kind"]) == ("drift", "customers")
    assert incident["cause"] == causes.NOTHING_OF_OURS
    assert incident["weighted_drift"] == pytest.approx(0.06)
    later = DAY + timedelta(days=40)
    home.alerts.append(("rows_seen", later, True))
    assert home.watch(later) == {"opened": 1}, "an event that lasts does not hide the next"
    home.alerts = [(about, day, False) for about, day, _ in home.alerts]
    assert home.watch(later + timedelta(days=5)) == {"closed": 2}


@pytest.mark.parametrize(
    ("after", "kind", "named"),
    [
        ({"code": manifest(cities=CITIES + "-- changed")}, "dbt", "int_cities"),
        ({"pinned": "v2"}, "model", "churn v2 scores instead of v1"),
        ({"sql": "update ops.clients set timezone = 'Asia/Kolkata'"}, "client", "timezone of bank"),
    ],
)
def test_the_change_of_the_same_night_is_blamed(home, after, kind, named):
    """Catches a change that nobody recorded, or that is not among what the drifting feature is made of."""
    after = dict(after)
    sql = [after.pop("sql")] if "sql" in after else []
    home.watch(DAY)
    home.alerts = [("away_share_90d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1), *sql, **after)
    incident = home.only()
    assert incident["cause_kind"] == kind
    assert named in incident["cause"]


def test_a_change_is_blamed_for_a_drift_on_an_earlier_date_of_its_night(home):
    """Catches a night that makes up for others and stamps what changed with its last date only."""
    home.watch(DAY)
    days = [DAY + timedelta(days=ahead) for ahead in (1, 2, 3)]
    home.alerts = [("away_share_90d", days[0], True)]
    home.watch(days[2], code=manifest(cities=CITIES + "-- changed"), made_up=(days[0], days[1]))
    assert home.only()["cause"] == f"{days[0]}: model int_cities was changed."


def test_a_file_and_a_column_are_told_with_the_date_on_which_they_failed(home):
    """Catches files of several dates of one night that all fail on its last one, or on its first."""
    home.watch(DAY, transactions(DAY, 20, 0))
    days = [DAY + timedelta(days=ahead) for ahead in (1, 2, 3)]
    emptied = transactions(days[1], 20, 50)
    again = transactions(days[2], 1, 0)
    home.rows = [coverage(days[1], "missing")]
    assert home.watch(days[2], emptied, again, made_up=(days[0], days[1])) == {"opened": 2}
    assert {row["first_date"] for row in incidents.listed(home.settings)} == {days[1]}


def test_an_older_night_looked_at_again_changes_nothing(home):
    """Catches a task cleared in May that closes what June has found, which then stays closed for good."""
    home.watch(DAY)
    home.alerts = [("spend_30d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1))
    before = home.everything()
    assert incidents.watch(home.settings, f"nightly/{DAY}") == {}
    assert home.everything() == before


def test_a_closed_incident_that_goes_on_is_opened_again(home):
    """Catches a drift that goes on and that nobody sees, since its incident was closed once."""
    home.watch(DAY)
    home.alerts = [("spend_30d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1))
    incidents.close(home.settings, home.only()["id"], "nightly/other")
    assert home.watch(DAY + timedelta(days=2)) == {"opened": 1}
    assert home.only()["state"] == "open"


def test_the_last_date_of_a_drift_is_the_one_on_which_it_was_seen(home):
    """Catches an incident that is said to last until tonight when nothing was beyond its limit tonight."""
    home.watch(DAY)
    seen = DAY + timedelta(days=1)
    home.alerts, home.last_seen_on = [("spend_30d", seen, True)], seen
    home.watch(seen)
    home.watch(DAY + timedelta(days=3))
    assert home.only()["last_date"] == seen


def test_rules_that_a_feature_does_not_read_are_not_blamed(home):
    """Catches a release of rules that is blamed for whatever drifts in its week."""
    home.watch(DAY)
    home.alerts = [("away_share_90d", DAY + timedelta(days=1), True)]
    home.watch(DAY + timedelta(days=1), code=manifest(rules="2"))
    assert home.only()["cause_kind"] == "customers"
    with operations.engine(home.settings).connect() as connection:
        recorded = connection.execute(sa.text("select kind, what from upstream_changes")).all()
    assert recorded == [("rules", "merchant rules brands was changed.")]


def test_a_missing_file_and_its_late_arrival_are_one_event(home):
    """Catches two incidents of one file, and one that stays open when the file is long there."""
    home.watch(DAY, coverage(DAY, "arrived"))
    home.rows = [coverage(DAY + timedelta(days=1), "missing")]
    home.watch(DAY + timedelta(days=1))
    assert (home.only()["kind"], home.only()["cause_kind"]) == ("data", "missing file")
    home.rows = [coverage(DAY + timedelta(days=1), "late")]
    home.watch(DAY + timedelta(days=2))
    assert len(json.loads(home.only()["members"])) == 2
    assert home.watch(DAY + timedelta(days=7)) == {"closed": 1}


def test_a_refused_file_and_its_missing_day_are_one_event(home):
    """Catches two incidents of one file: that it was refused, and that nothing of its day has come."""
    message = "file app.csv · record – · column event_type · the column is missing · next: ask the sender"
    verdict = {"client_id": "bank", "source": "app", "records": 0, "quarantined": 0, "load_id": "1"}
    verdict |= {"file": "app.csv", "verdict": "refused", "message": message}
    operations.record_files(home.settings, f"nightly/{DAY}", [verdict])
    home.watch(DAY, coverage(DAY, "missing"))
    assert home.only()["cause_kind"] == "layout"
    assert [member["what"] for member in json.loads(home.only()["members"])][1:] == [
        f"app of {DAY} has not come."
    ]
    home.rows = [coverage(DAY, "late")]
    home.watch(DAY + timedelta(days=1))
    assert len(json.loads(home.only()["members"])) == 3, "its late arrival is of it too"


def test_a_refused_file_says_which_column_and_a_corrected_one_which_day(home):
    """Catches a new layout that is told as just any refusal, and a correction that nobody hears of."""
    home.watch(DAY, transactions(DAY, 3, 0))
    run = f"nightly/{DAY + timedelta(days=1)}"
    verdict = {"client_id": "bank", "source": "core", "records": 0, "quarantined": 0}
    message = "file core.csv · record – · column city · the column is missing · next: ask the sender"
    operations.record_files(
        home.settings,
        run,
        [
            verdict | {"load_id": "1", "file": "core.csv", "verdict": "refused", "message": message},
            verdict | {"load_id": "again", "file": "core.csv", "verdict": "loaded", "message": ""},
        ],
    )
    again = f"""
        insert into raw.transactions by name
        select * replace (2 as _content_hash, 'again' as _load_id) from raw.transactions
        where business_date = '{DAY - timedelta(days=1)}'
    """
    home.watch(DAY + timedelta(days=1), transactions(DAY, 3, 0), again)
    found = {row["cause_kind"]: row["title"] for row in incidents.listed(home.settings)}
    assert found == {
        "layout": "core: core.csv was refused: the column is missing: see the run's page.",
        "corrected file": f"core told {DAY - timedelta(days=1)} again, otherwise than before.",
    }


def test_a_failed_night_names_what_stopped_it_and_ends_with_its_publication(home):
    """Catches a message with a customer's value, and an alarm that stays on when the numbers are out."""
    run = f"nightly/{DAY}"
    operations.open_run(home.settings, run, kind="nightly", as_of_date=DAY)
    with pytest.raises(RuntimeError), operations.stage(home.settings, run, "dbt_features"):
        raise RuntimeError("customer C123 has 99.99")
    first = incidents.night_failed(home.settings, run)
    assert incidents.night_failed(home.settings, run) == first
    incident = home.only()
    assert incident["title"] == f"The night of {DAY} failed in dbt features."
    assert incident["cause"] == "RuntimeError in dbt features: see the task's log."
    assert "C123" not in str(notifying.message(home.settings, incident, "opened"))
    assert home.watch(DAY) == {"closed": 1}


def test_a_night_that_fails_again_for_another_cause_says_so(home):
    """Catches a second failure of a date that nobody hears of, under the title of the first."""
    first = incidents.night_failed(home.settings, "nightly/1", DAY)
    assert home.only()["title"] == f"The night of {DAY} failed in waiting for sources."
    for run in ("nightly/2", "nightly/2", "nightly/3"):
        with pytest.raises(ValueError, match="q"), operations.stage(home.settings, run, "dbt_marts"):
            raise ValueError("q")
        assert incidents.night_failed(home.settings, run, DAY) == first
    assert home.only()["title"] == f"The night of {DAY} failed in dbt marts."
    assert home.only()["cause_kind"] == "machine"
    assert [event["event"] for event in incidents.events(home.settings)] == ["opened", "grew"]


def test_a_night_whose_models_refuse_to_score_names_what_was_changed_in_dbt(home):
    """Catches an operator who reads "see the log" where a change to a model is to be taken back."""
    home.publish(DAY)
    run, built = f"nightly/{DAY + timedelta(days=1)}", home.settings.builds / "open" / "target"
    built.mkdir(parents=True)
    (home.settings.builds / "current").symlink_to(f"{DAY}.1")
    (built / "manifest.json").write_text(json.dumps(manifest(cities=CITIES.replace("order by city", ""))))
    operations.open_run(home.settings, run, kind="nightly", as_of_date=DAY + timedelta(days=1))
    with pytest.raises(ScoringRefused), operations.stage(home.settings, run, "score"):
        raise ScoringRefused("churn v1 was trained on other features")
    incidents.night_failed(home.settings, run)
    assert (home.only()["cause_kind"], home.only()["cause"]) == (
        "dbt",
        "model int_cities was changed: the models know other features.",
    )


def test_a_failed_night_that_waited_for_a_source_names_it(home):
    """Catches an incident without a word about which file is missing."""
    from nightledger.night.plan import RequiredSourceMissing

    run = f"nightly/{DAY}"
    other = {"client_id": "bank", "source": "app", "records": 0, "quarantined": 0, "load_id": "1"}
    other |= {"file": "app.csv", "verdict": "refused", "message": "of another source: no reason"}
    operations.record_files(home.settings, run, [other])
    with pytest.raises(RequiredSourceMissing), operations.stage(home.settings, run, "ingest"):
        raise RequiredSourceMissing(
            "a required source has delivered nothing: bank/core for 2026-03-09, 2026-03-10. Nothing"
        )
    incidents.night_failed(home.settings, run, DAY)
    assert home.only()["cause_kind"] == "missing file"
    assert home.only()["cause"] == "Not there: bank/core for 2026-03-09, 2026-03-10."


def test_nobody_acknowledges_without_a_word_or_what_is_not_there(home):
    """Catches a click that hides an incident without anybody knowing why."""
    incidents.report(home.settings, kind="publish late", about="x", title="t", first_date=DAY, run_id="r")
    with pytest.raises(incidents.IncidentError, match="Write a note"):
        incidents.acknowledge(home.settings, home.only()["id"], by="ana", note="  ")
    with pytest.raises(incidents.IncidentError, match="no such incident"):
        incidents.acknowledge(home.settings, "nothing", by="ana", note="seen")


@pytest.mark.parametrize("table", ["incident_events", "upstream_changes"])
def test_what_happened_cannot_be_rewritten(home, table):
    """Catches a history that an update, a deletion or a replacement changes."""
    home.watch(DAY)
    home.watch(DAY + timedelta(days=1), code=manifest(rules="2"))
    incidents.report(home.settings, kind="publish late", about="x", title="t", first_date=DAY, run_id="r")
    for change in (
        "update {} set run_id = 'x'",
        "delete from {}",
        "insert or replace into {0} select * from {0}",
    ):
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            operations.engine(home.settings).begin() as connection,
        ):
            connection.execute(sa.text(change.format(table)))
