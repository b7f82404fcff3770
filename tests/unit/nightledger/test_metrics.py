"""What Prometheus is told about an installation."""

import json
from datetime import UTC, date, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nightledger import operations, publications, warehouse
from nightledger.governance.promotion import record_training
from nightledger.monitoring import metrics
from nightledger.night import lock


def told(settings) -> dict[str, dict[tuple[str, ...], float]]:
    """By metric, the value of each combination of labels (in the order of the text)."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.expose(settings).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def night(settings, run: str, kind: str, day: date, state: str, **verdict) -> None:
    """A night as far as the operational database knows it."""
    operations.open_run(
        settings, run, kind=kind, as_of_date=day, base=None, publication_id=f"{day}.1", code_revision="abc"
    )
    with operations.stage(settings, run, "ingest") as detail:
        detail["late"] = ["bureau"]
    verdict = {"client_id": "bank", "source": "cards", "load_id": run, "file": "secret-name.csv", **verdict}
    operations.record_files(settings, run, [{"verdict": "loaded", "message": "", **verdict}])
    operations.record_audit(
        settings,
        run,
        [
            {"check": name, "severity": "warn", "status": status, "violations": violations, "detail": "C123"}
            for name, status, violations in (("a", "passed", 0), ("b", "failed", 7))
        ],
    )
    operations.end_run(settings, run, state)


@pytest.fixture
def home(settings, monkeypatch):
    """A published night, and one that failed after it; a model that waits for a person."""
    monkeypatch.setattr(operations, "clock", lambda: datetime(2026, 3, 2, 4))
    night(settings, "nightly/1", "nightly", date(2026, 2, 28), "published", records=100, quarantined=3)
    night(settings, "nightly/2", "nightly", date(2026, 3, 1), "failed", records=50, quarantined=1)
    operations.record_publication(
        settings, action="published", publication_id="2026-02-28.1", base=None, run_id="nightly/1",
        as_of_date=date(2026, 2, 28), content_hash="0", reason="",
    )  # fmt: skip
    build = settings.builds / "2026-02-28.1"
    build.mkdir(parents=True)
    (build / warehouse.FILE).write_bytes(b"12345")
    (build / "publication.json").write_text(
        json.dumps({"as_of_date": "2026-02-28", "base": None, "kind": "nightly", "code_revision": "abc"})
    )
    publications.point(settings, "current", build.name)
    return settings


def test_an_installation_in_which_nothing_has_happened_is_no_error(settings):
    """Catches a scrape that fails until the first night, or that makes a database by asking."""
    found = told(settings)
    assert found["nightledger_lock_held"] == {(): 0}
    assert found["nightledger_home_free_bytes"][()] > 0
    assert not settings.home.exists()


def test_a_failed_night_shows_and_readers_keep_what_they_have(home):
    """Catches a monitor that stays green after a failed night, or takes its date for what readers see."""
    found = told(home)
    assert found["nightledger_data_through_timestamp_seconds"] == {
        (): datetime(2026, 2, 28, tzinfo=UTC).timestamp()
    }
    assert found["nightledger_publication_info"] == {("", "abc", "nightly", "2026-02-28.1"): 1}
    assert found["nightledger_publication_bytes"] == {(): 5}
    assert found["nightledger_publication_timestamp_seconds"] == {
        ("published",): datetime(2026, 3, 2, 4, tzinfo=UTC).timestamp()
    }
    assert found["nightledger_runs"] == {("nightly", "failed"): 1, ("nightly", "published"): 1}
    assert found["nightledger_last_run_failed"] == {("nightly",): 1}


def test_counts_are_of_every_night_and_the_audit_is_of_the_last(home):
    """Catches records of the last night only, or violations that were mended long ago."""
    found = told(home)
    assert found["nightledger_records"] == {("bank", "cards", "loaded"): 150}
    assert found["nightledger_records_quarantined"] == {("bank", "cards", "loaded"): 4}
    assert found["nightledger_files"] == {("bank", "cards", "loaded"): 2}
    assert found["nightledger_audit_violations"] == {("a", "warn", "passed"): 0, ("b", "warn", "failed"): 7}
    assert found["nightledger_last_run_late_sources"] == {("nightly",): 1}
    assert list(found["nightledger_last_run_stage_seconds"]) == [("nightly", "ingest", "done")]


def test_a_stage_counts_every_try_of_the_last_run_and_of_no_other(home):
    """Catches a night that looks quick because only its last try counts, or slow because others do."""
    for run, seconds in (("nightly/1", 1000.0), ("nightly/2", 30.0), ("nightly/2", 12.0)):
        operations._record_stage(home, run, "score", "failed", seconds, {})
    assert told(home)["nightledger_last_run_stage_seconds"][("nightly", "score", "failed")] == 42


def test_the_lock_is_told_while_a_night_is_open(home):
    """Catches a night that hangs unnoticed because nobody sees who has the lock."""
    assert lock.take(home, "nightly/3", lambda _: False)
    found = told(home)
    assert found["nightledger_lock_held"] == {(): 1}
    assert found["nightledger_lock_changed_timestamp_seconds"][()] > 0


def test_models_are_told_by_what_was_decided(home):
    """Catches a champion that was taken back and still counts, or an approval that nobody is told of."""
    outcome = {
        "model": "churn", "version": "v1", "verdict": "promoted", "standing": "promoted", "reason": "",
        "publication_id": "2026-02-28.1", "trained_on_as_of": "2026-02-28", "known_at": "2026-03-01T02:00:00",
        "artefact_sha256": "0" * 64, "guardrails": [], "metrics": [], "importances": [],
    }  # fmt: skip
    record_training(home, outcome, "train/1")
    record_training(
        home, outcome | {"model": "fraud", "verdict": "refused", "standing": "refused"}, "train/1"
    )
    found = told(home)
    assert found["nightledger_model_info"] == {
        ("", "v1", "promoted", "churn"): 1,
        ("", "", "refused", "fraud"): 1,
    }
    assert found["nightledger_model_scores"] == {("churn",): 1, ("fraud",): 0}
    assert found["nightledger_model_awaits_approval"] == {("churn",): 0, ("fraud",): 0}


def test_no_metric_names_a_file_or_a_customer(home):
    """Catches personal data in a system that keeps everything for years and that many may read."""
    text = metrics.expose(home).decode()
    assert "secret-name" not in text
    assert "C123" not in text


def test_a_textfile_is_replaced_whole(home, tmp_path, monkeypatch, capsys):
    """Catches a collector that reads half a file, and a damaged publication that ends in a traceback."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(home.home))
    target = tmp_path / "nightledger.prom"
    target.write_text("old")
    monkeypatch.setattr("sys.argv", ["metrics", "--to", str(target)])
    assert metrics.main() == 0
    assert "nightledger_runs" in target.read_text()
    assert [path.name for path in tmp_path.glob("*.p*")] == [target.name]
    (home.builds / "2026-02-28.1" / "publication.json").write_text("{")
    assert metrics.main() == 1
    assert "publication.json of 2026-02-28.1 cannot be read" in capsys.readouterr().err
