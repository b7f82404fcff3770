"""Scoring the published date again, aside."""

import hashlib

import pytest

from ml import rescore
from ml.training import TrainingOutcome
from tests.unit.ml.bank import Bank
from tests.unit.ml.test_impact import publish_scores

Trained = tuple[Bank, TrainingOutcome]


def test_the_same_versions_give_the_published_scores_and_change_nothing(trained: Trained) -> None:
    """Catches scores that depend on where they are written, and a command that writes into the home."""
    bank, outcome = trained
    publish_scores(bank, outcome.version)

    def state() -> dict[str, str]:
        files = (path for path in bank.settings.home.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    (row,) = rescore.rescore(bank.settings)
    assert state() == before
    scored = bank.ask("select count(*), sum(expected_value) from marts.fct_scores")[0]
    assert (row["rows"], row["expected"]) == scored
    assert sum(row["bands"].values()) == row["rows"]
    assert (row["role"], row["new"], row["changed"]) == ("champion", 0, 0)


def test_a_score_that_differs_is_counted_and_fails_the_command(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a comparison that cannot fail."""
    bank, outcome = trained
    publish_scores(bank, outcome.version)
    monkeypatch.setattr(rescore, "read_settings", lambda: bank.settings)
    assert rescore.main([]) == 0
    assert "yes" in capsys.readouterr().out
    (customer,) = bank.ask("select min(entity_id) from marts.fct_scores")[0]
    bank.run(f"update marts.fct_scores set score = score / 2 where entity_id = '{customer}'")
    assert rescore.main([]) == 1
    assert "0 new, 1 differ" in capsys.readouterr().out
