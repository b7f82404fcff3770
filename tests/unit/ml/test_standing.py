"""The registry follows the decisions, and says who can still score."""

import subprocess
import sys

import pyarrow as pa
import pytest

from ml import standing
from ml.registry import Registry, RegistryError
from nightledger.governance import decisions, ledger
from nightledger.governance.promotion import record_training
from nightledger.settings import Settings


@pytest.fixture
def shelf(tmp_path) -> tuple[Settings, Registry]:
    """A registry with two versions."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    registry = Registry(settings)
    for version in ("v1", "v2"):
        files = {"model.json": version.encode()}
        registry.save("churn", version, files, pa.table({"score": [0.5]}), {}, {}, {})
    return settings, registry


def test_the_aliases_are_what_was_decided(shelf):
    """Catches an alias of a demoted or rejected version that the next training takes for the champion."""
    settings, registry = shelf
    standing.align(settings, "churn", "v1", "v2")
    assert (registry.champion("churn").version, registry.challenger("churn").version) == ("v1", "v2")
    standing.align(settings, "churn", "v2", None)
    assert (registry.champion("churn").version, registry.challenger("churn")) == ("v2", None)
    for _ in range(2):
        standing.align(settings, "churn", None, None)
        assert registry.champion("churn") is None
    with pytest.raises(RegistryError, match="no version v9"):
        standing.align(settings, "churn", "v9", None)
    standing.align(settings, "never trained", None, None)


def test_a_version_can_score_while_features_are_what_they_were(trained):
    """Catches a demotion to a version that no night could score with."""
    bank, outcome = trained
    assert standing.why_not(bank.settings, "churn", outcome.version) == ""
    assert "no version v9" in standing.why_not(bank.settings, "churn", "v9")
    bank.run("update features.features_customers set _definition_hash = 'changed'")
    assert "changed" in standing.why_not(bank.settings, "churn", outcome.version)
    del bank.columns["transactions_90d"]
    bank.write_manifest()
    assert "gone: transactions_90d" in standing.why_not(bank.settings, "churn", outcome.version)


def test_demoting_from_the_command_line_moves_the_registry_too(trained, monkeypatch, capsys):
    """Catches a command that records a demotion which the next training does not see."""
    bank, outcome = trained
    settings = bank.settings
    for name, value in (("HOME", settings.home), ("CLIENTS", settings.clients)):
        monkeypatch.setenv(f"NIGHTLEDGER_{name}", str(value))
    record_training(settings, outcome.as_dict() | {"version": "older"}, "train/1")
    first = outcome.as_dict() | {"verdict": "promoted"}
    record_training(settings, first, "train/2", compared_with="older")
    assert decisions.main(["demote", "churn", "--reason", "odd"]) == 1
    assert "older cannot score any more" in capsys.readouterr().err
    assert decisions.main(["demote", "churn", "--to", "none", "--reason", "odd", "--by", "ada"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing scores from the first night after 2025-12-31 on" in said
    assert Registry(settings).champion("churn") is None
    back = ["demote", "churn", "--to", outcome.version, "--reason", "a mistake"]
    assert decisions.main(back) == 0
    assert Registry(settings).champion("churn").version == outcome.version
    assert ledger.champions(settings) == {"churn": outcome.version}


def test_the_registry_says_why_it_does_not_obey(shelf, monkeypatch):
    """Catches an error that a person sees as a traceback of another program."""
    settings, _ = shelf
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(settings.home))
    done = subprocess.run(
        [sys.executable, "-m", "ml.standing", "align", "churn", "v9", ""],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "model churn has no version v9 in the registry\n")
