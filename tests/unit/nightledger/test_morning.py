"""What somebody at 3 a.m. is told, for each state of a night; and the alerts that hang on it."""

import json
import os
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from nightledger import operations
from nightledger.monitoring import alerts, metrics, morning, run_state
from nightledger.night import lock
from nightledger.settings import PROJECT, Settings
from tests.drills import runbook_cases
from tests.helpers.told_nights import Told

D = date(2026, 1, 19)
BEGIN = datetime(2026, 1, 20, 2)
NOW = datetime(2026, 1, 20, 3)
RUN = f"nightly/scheduled__{D}"


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Four good nights up to the one before `D`, and a backup of the last hour, seen at 03:00."""
    told = Told(Settings(home=tmp_path / "home", min_free_share=0, _env_file=None), NOW)
    for day in (15, 16, 17, 18):
        told.publish(date(2026, 1, day), datetime(2026, 1, day + 1, 2))
    backup = tmp_path / "home-backups" / "20260120T020000" / "manifest.json"
    backup.parent.mkdir(parents=True)
    backup.write_text("{}")
    stamp = (NOW - datetime(1970, 1, 1)).total_seconds() - 3600
    os.utime(backup, (stamp, stamp))
    with told.at(NOW):
        yield told


def kinds(told: Told, now: datetime = NOW) -> list[str]:
    with told.at(now):
        return [alert.kind for alert in morning.look(told.settings).raised]


def test_a_good_night_raises_nothing(told):
    """Catches an alert that cries wolf, and a page that does not find what readers see."""
    told.publish(D, BEGIN)
    found = morning.look(told.settings)
    assert found.raised == []
    assert found.failure is None
    assert found.published is not None
    assert (found.published.as_of_date, found.published.checks, found.published.warned) == (D, 2, [])
    assert [night.state(NOW) for night in found.nights] == ["on time"] * 5
    newest = found.costs[0]
    assert (newest.state, newest.wall, newest.records, newest.scored) == (
        "published",
        timedelta(minutes=6),
        1200,
        900,
    )
    assert newest.cpu_seconds == pytest.approx(288)
    assert newest.price(told.settings) == pytest.approx(288 / 3600 * 0.04)
    assert found.grown == {"raw.transactions": 9000, "marts.mart_spend": 1000}


def test_a_failed_audit_is_told_with_its_check_and_what_to_do(told):
    """Catches a page that shows a stack trace instead of the check, or the wrong runbook."""
    run = told.open(D, BEGIN)
    told.audit_fails(run, told.steps(run, BEGIN, until="audit"))
    failure = morning.look(told.settings).failure
    assert failure is not None
    assert failure.alert.kind == "audit"
    assert failure.run.state == "failed"
    ((check, message),) = failure.evidence
    assert check == "file_equals_raw_plus_quarantine"
    assert message.startswith("2 found: ")
    assert "hold the file" in message
    assert failure.run.log == "/dags/nightly/runs/scheduled__2026-01-19/tasks/audit"
    assert kinds(told) == ["audit"]


def test_a_failed_test_is_told_by_its_name(told):
    """Catches a failure whose test one must look for in a log."""
    run = told.open(D, BEGIN)
    end = told.steps(run, BEGIN, until="dbt_features")
    node = {"seconds": 1.0, "rows": 17, "message": "Got 17 results"}
    told_nodes = [
        node | {"unique_id": "test.nightledger.amounts_are_whole.0f3a", "status": "fail"},
        node | {"unique_id": "model.nightledger.dim_accounts", "status": "success"},
    ]
    operations.record_nodes(told.settings, run, "features", told_nodes)
    told.step(run, "dbt_features", end, error="TestsFailed: 1 test failed")
    failure = morning.look(told.settings).failure
    assert failure is not None
    assert failure.evidence == [("amounts_are_whole", "Got 17 results")]
    assert failure.alert.kind == "test"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Conversion Error: Could not convert string 'Joes' shop 77' to INT32 when casting from source "
            "column amount\nLINE 4: select a",
            "Conversion Error: Could not convert string '…' to INT32 when casting from source "
            "column amount\nLINE 4: select a",
        ),
        (
            'Constraint Error: Duplicate key "customer_id: 77" violates',
            'Constraint Error: Duplicate key "…" violates',
        ),
        ('invalid date field format: "31.02.\n77", expected', 'invalid date field format: "…"'),
        (
            "Type INT64 with value 770 can't be cast because the value is out of range",
            "Type INT64 with value … can't be cast because the value is out of range",
        ),
        ("Overflow in multiplication of INT32 (77 * -5.1)!", "Overflow in multiplication of INT32 (…)!"),
    ],
)
def test_a_failed_table_is_told_without_the_values_of_rows(told, said, shown):
    """Catches a customer's value in front of everybody who may look at the page, from dbt or the error."""
    run = told.open(D, BEGIN)
    end = told.steps(run, BEGIN, until="dbt_marts")
    node = {"seconds": 1.0, "rows": 0, "message": said, "status": "error"}
    operations.record_nodes(
        told.settings, run, "marts", [node | {"unique_id": "model.nightledger.mart_spend"}]
    )
    told.step(run, "dbt_marts", end, error=f"DbtFailed: mart_spend: {said}")
    failure = morning.look(told.settings).failure
    assert failure is not None
    assert failure.evidence == [("mart_spend", shown)]
    assert failure.message == f"mart_spend: {shown}"
    assert "77" not in failure.message


def test_an_error_is_tried_again_before_it_is_a_failure(told):
    """Catches somebody who is woken for an error that the next try mends."""
    run = told.open(D, BEGIN)
    end = told.steps(run, BEGIN, until="dbt_marts")
    for number in range(1, run_state.TRIES + 1):
        told.step(run, "dbt_marts", end, error="DbtFailed: mart_spend: out of luck")
        (found,) = (each for each in run_state.last_runs(told.settings, NOW) if each.run_id == run)
        assert found.state == ("failed" if number == run_state.TRIES else "tried again")
        assert kinds(told) == (["model"] if number == run_state.TRIES else [])


def test_a_failure_is_over_when_a_later_run_publishes(told):
    """Catches a red card that stays after somebody has mended everything."""
    run = told.open(D, BEGIN)
    told.audit_fails(run, told.steps(run, BEGIN, until="audit"))
    again = told.open(D, BEGIN + timedelta(minutes=30), run="nightly/manual__again")
    told.steps(again, BEGIN + timedelta(minutes=30))
    told.lay(f"{D}.9", D, base=told.ids[-1])
    operations.record_publication(
        told.settings, action="published", publication_id=f"{D}.9", as_of_date=D, run_id=again, reason="told"
    )
    operations.end_run(told.settings, again, "published")
    lock.release(told.settings, again)
    assert kinds(told) == []


def test_a_night_that_waits_says_for_what_and_is_late_in_good_time(told):
    """Catches a wait that nobody sees, and an alert that comes after the deadline."""
    wait = "bank/cards for 2026-01-19, until 2026-01-20 06:00 UTC"
    with told.at(datetime(2026, 1, 20, 2, 1)):
        operations.note_wait(told.settings, RUN, D, wait)
    for now, expected in (
        (datetime(2026, 1, 20, 4, 49), []),
        (datetime(2026, 1, 20, 4, 50), ["late_soon"]),
        (datetime(2026, 1, 20, 5, 1), ["late", "objective"]),
    ):
        with told.at(now - timedelta(minutes=1)):
            operations.note_wait(told.settings, RUN, D, wait)
        assert kinds(told, now) == expected
        with told.at(now):
            (run,) = morning.look(told.settings).at_work
        assert (run.state, run.waits_for, run.since) == ("waiting", wait, datetime(2026, 1, 20, 2, 1))


def test_a_wait_in_vain_is_a_failure_that_names_the_source(told):
    """Catches a night that failed before it opened and of which the page knows nothing."""
    told.step(RUN, "wait_for_sources", NOW, error="RequiredSourceMissing: waited in vain for bank/cards")
    failure = morning.look(told.settings).failure
    assert failure is not None
    assert (failure.alert.kind, failure.message) == ("source", "waited in vain for bank/cards")
    assert failure.alert.link == "/nightledger/runbooks/a-source-is-late#a-required-source-has-not-come"


def test_a_night_that_runs_says_when_it_ends(told):
    """Catches an estimate that forgets what is done."""
    run = told.open(D, datetime(2026, 1, 20, 2, 56))
    told.steps(run, datetime(2026, 1, 20, 2, 56), until="score")  # 200 s of 360
    found = morning.look(told.settings)
    (at_work,) = found.at_work
    assert (at_work.state, at_work.stage) == ("running", "score")
    assert found.expected_at(at_work) == datetime(2026, 1, 20, 3, 2)  # 40 s of 60 have passed


def test_a_night_that_says_nothing_any_more_is_told(told):
    """Catches a killed process whose lock makes it look as if it ran."""
    run = told.open(D, BEGIN)
    end = told.steps(run, BEGIN, until="score")
    assert kinds(told, end + timedelta(minutes=29)) == []
    assert kinds(told, end + timedelta(minutes=31)) == ["silent"]


def test_a_refused_file_and_a_late_source_can_wait(told):
    """Catches somebody who is woken for a night that was published."""
    told.publish(D, BEGIN, late=["bank/events"])
    told.refuse(RUN, "cards.csv", "unknown column x", NOW)
    found = morning.look(told.settings)
    assert [(alert.kind, alert.urgent) for alert in found.raised] == [
        ("file_refused", False),
        ("source_late", False),
    ]
    assert found.refused == [("bank/cards: cards.csv", "unknown column x")]
    assert found.late_sources == ["bank/events"]


def test_days_without_a_night_a_full_disk_and_an_old_backup_are_told(told):
    """Catches an installation that stands still and says nothing."""
    assert "stale" in kinds(told, datetime(2026, 1, 20, 6, 1))
    assert "backup" in kinds(told, NOW + timedelta(days=2))
    told.settings = told.settings.model_copy(update={"min_free_share": 0.34})
    assert "disk" in kinds(told)


def test_a_publication_that_cannot_be_read_is_the_first_thing_said(told):
    """Catches an error page, just when nothing can be trusted."""
    (told.settings.builds / "current" / "publication.json").write_text("{")
    found = morning.look(told.settings)
    assert found.raised[0].kind == "damaged"
    assert "publication.json of 2026-01-18.4 cannot be read" in str(found.damage)


def test_before_anything_has_happened_nothing_is_wrong(tmp_path):
    """Catches an error page, or an alert, in an installation that is new."""
    settings = Settings(home=tmp_path / "new", schedule="", _env_file=None)
    found = morning.look(settings)
    assert (found.published, found.failure, found.nights, found.at_work) == (None, None, [], [])
    assert [alert.kind for alert in found.raised if alert.kind != "disk"] == []
    assert not (tmp_path / "new").exists(), "looking makes nothing"


def test_the_metrics_say_what_the_page_says(told):
    """Catches an alert of Prometheus that the page does not know, and the other way round."""
    run = told.open(D, BEGIN)
    told.audit_fails(run, told.steps(run, BEGIN, until="audit"))
    text = metrics.expose(told.settings).decode()
    assert 'nightledger_alert{kind="audit",urgent="true"} 1.0' in text
    assert 'nightledger_alert{kind="late",urgent="true"} 0.0' in text
    assert "nightledger_nights_judged 4.0" in text
    assert "nightledger_nights_on_time_ratio 1.0" in text
    assert "nightledger_usual_night_seconds 360.0" in text
    (line,) = (
        row for row in text.splitlines() if row.startswith("nightledger_publish_by_timestamp_seconds ")
    )
    assert float(line.split()[1]) == (datetime(2026, 1, 20, 5) - datetime(1970, 1, 1)).total_seconds()


RULES = yaml.safe_load((PROJECT / "docker" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]


@pytest.mark.parametrize("alert", alerts.alerts().values(), ids=lambda alert: alert.kind)
def test_every_alert_has_a_runbook_with_its_section_and_a_rule(alert):
    """Catches a link at 3 a.m. that leads nowhere, and a rule that says otherwise than the page."""
    from nightledger.pages.runbooks import anchors

    page, _, section = alert.runbook.partition("#")
    text = (alerts.RUNBOOKS / f"{page}.md").read_text()
    assert section in anchors(text)
    for part in ("**What you see.**", "**Is it urgent?**", "**How you know it is over.**"):
        assert part in text, f"{page}.md lacks {part}"
    (rule,) = (rule for rule in RULES if rule["alert"] == alert.rule)
    said = rule["annotations"]
    assert said["runbook_url"] == "{{ $externalLabels.airflow }}" + alert.link
    assert (said["summary"], said["description"]) == (alert.title, alert.do)
    assert rule["labels"]["severity"] == ("page" if alert.urgent else "ticket")
    expected = f'nightledger_alert{{kind="{alert.kind}"}} == 1'
    assert rule["expr"] == expected or alert.kind == "unreachable"


def test_every_rule_and_every_line_of_the_table_of_drills_is_an_alert():
    """Catches a rule without a kind, and an alert without a drill."""
    assert {rule["alert"] for rule in RULES} == {alert.rule for alert in alerts.alerts().values()}
    table = (alerts.RUNBOOKS / "README.md").read_text()
    for alert in alerts.alerts().values():
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {alert.rule} |"))
        assert f"({alert.runbook.partition('#')[0]}.md#{alert.runbook.partition('#')[2]})" in line
        drilled = alert.kind in {kind for kind, _, _ in runbook_cases.CASES}
        assert ("`make drill-runbooks`" in line) == drilled, alert.kind
        assert drilled or "`promtool test rules" in line


def test_an_error_is_told_by_its_name():
    """Catches a disk that is full and a night that is too early under one heading."""
    for error, kind in (
        ("AuditFailed: x", "audit"),
        ("nightledger.night.plan.RequiredSourceMissing: x", "source"),
        ("NightError: not enough disk for a night", "machine"),
        ("NightError: nobody", "other"),
        ("ValueError: AuditFailed: x", "other"),
        ("", "other"),
    ):
        assert alerts.of_error(error).kind == kind


def test_the_dashboard_of_grafana_asks_for_metrics_that_exist(told):
    """Catches a panel that stays empty for ever."""
    told.publish(D, BEGIN)
    run = told.open(D + timedelta(days=1), NOW - timedelta(minutes=2))
    told.steps(run, NOW - timedelta(minutes=2), until="ingest")
    text = metrics.expose(told.settings).decode()
    known = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    board = json.loads((PROJECT / "docker/grafana/dashboards/nightledger.json").read_text())
    assert all(panel["description"] for panel in board["panels"])
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            for word in re.findall(r"nightledger_\w+", target["expr"]):
                assert word in known, f"{panel['title']}: {word}"
