"""What other features would do to scores that are published."""

import json

import pytest

from ml import impact, scoring
from ml.training import TrainingOutcome
from tests.unit.ml.bank import LAST, Bank

Trained = tuple[Bank, TrainingOutcome]


def publish_scores(bank: Bank, version: str | None) -> None:
    assert version is not None
    bank.pin(version)
    scoring.score_night(bank.settings, bank.build)
    bank.run(f"""
        create schema marts;
        create table marts.fct_scores as
        from read_parquet('{bank.build}/lake/scores/*/*/*/*.parquet', hive_partitioning = false)
    """)


def test_only_scores_that_differ_are_counted(trained: Trained) -> None:
    """Catches a count of all rows, and one that compares scores with themselves."""
    bank, outcome = trained
    publish_scores(bank, outcome.version)
    (same,) = impact.compare(bank.settings, bank.build)
    assert (same["model"], same["changed"], same["bands"], same["largest"]) == ("churn", 0, 0, 0)
    (customer,) = bank.ask("select min(entity_id) from marts.fct_scores")[0]
    bank.run(f"""
        update marts.fct_scores set score = score + 0.25, band = 'another' where entity_id = '{customer}'
    """)
    (other,) = impact.compare(bank.settings, bank.build)
    assert (other["scores"], other["changed"], other["bands"]) == (same["scores"], 1, 1)
    assert other["largest"] == pytest.approx(0.25)


def test_the_command_answers_in_json_or_says_why_not(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a traceback in place of the reason why a model refuses the features."""
    bank, outcome = trained
    publish_scores(bank, outcome.version)
    monkeypatch.setattr(impact, "Settings", lambda: bank.settings)
    assert impact.main([str(bank.build)]) == 0
    assert [row["model"] for row in json.loads(capsys.readouterr().out)["models"]] == ["churn"]
    bank.run(f"update features.features_customers set _definition_hash = '2' where as_of_date = '{LAST}'")
    assert impact.main([str(bank.build)]) == 1
    assert "SQL of the feature table" in capsys.readouterr().err
