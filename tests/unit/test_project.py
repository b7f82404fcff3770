"""The project's own promises: locks, settings and documentation that match the code."""

import importlib
import re
import sys
import traceback
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from nightledger.settings import Settings, SettingsError, read_settings

ROOT = Path(__file__).resolve().parents[2]


def requirements(name: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


@pytest.mark.parametrize("stem", ["requirements", "requirements-dev"])
def test_the_lock_satisfies_its_requirements(stem):
    """Catches a bound that was changed without `make lock`."""
    pinned = {
        requirement.name.lower(): next(iter(requirement.specifier)).version
        for name in ("requirements.txt", f"{stem}.txt")
        for requirement in requirements(name)
    }
    for wanted in requirements(f"{stem}.in"):
        assert pinned.get(wanted.name.lower()), f"{wanted.name} is not in {stem}.txt: run `make lock`"
        assert wanted.specifier.contains(pinned[wanted.name.lower()]), f"{wanted} is stale: run `make lock`"


def test_mlflows_pages_are_those_of_the_client_that_writes_them():
    """Catches a server of another version, which would move the registry's tables to its own."""
    pinned = {
        of: {requirement.name: str(requirement.specifier) for requirement in requirements(of)}
        for of in ("requirements.txt", "requirements-mlflow.txt")
    }
    assert pinned["requirements-mlflow.txt"]["mlflow"] == pinned["requirements.txt"]["mlflow-skinny"]
    for wanted in requirements("requirements-mlflow.in"):
        version = pinned["requirements-mlflow.txt"][wanted.name].removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted} is stale: run `make lock`"


@pytest.mark.parametrize("name", ["requirements.in", "requirements-mlflow.in"])
def test_every_requirement_says_why(name):
    """Catches a dependency that nobody can judge later."""
    for line in (ROOT / name).read_text().splitlines():
        if line and not line.startswith("#"):
            assert "# " in line, line


def test_the_example_environment_lists_every_setting_and_nothing_else():
    """Catches a setting that an operator cannot find, or one that no longer exists."""
    listed = re.findall(r"^NIGHTLEDGER_(\w+)=", (ROOT / ".env.example").read_text(), re.M)
    assert listed == [name.upper() for name in Settings.model_fields]


def test_the_example_environment_shows_the_defaults():
    """Catches an example that would change how the platform behaves."""
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    for name, value in re.findall(r"^NIGHTLEDGER_(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M):
        assert value == ("" if defaults[name] is None else str(defaults[name])), name


def test_every_make_target_is_explained():
    """Catches a target that `make help` does not show."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    for target in phony:
        assert re.search(rf"^{re.escape(target)}:.*## \S", makefile, re.M), target


def test_relative_paths_are_taken_from_the_project():
    """Catches a command that works in one folder and makes a second home in another."""
    settings = Settings(home=Path("var-x"), inbox=None, _env_file=None)
    assert settings.home == ROOT / "var-x"
    assert settings.inbox == ROOT / "var-x" / "inbox"


def test_the_generated_token_key_is_private_and_stable(tmp_path):
    """Catches tokens that change between nights, or a key that anybody can read."""
    settings = Settings(home=tmp_path, token_key=None, _env_file=None)
    key = settings.token_key_bytes()
    assert settings.token_key_bytes() == key
    assert len(key) == 64
    assert (tmp_path / "secrets" / "token.key").stat().st_mode & 0o777 == 0o600


COMMANDS = {
    "nightledger.backup": ["make"],
    "nightledger.demo": ["report"],
    "nightledger.exports": ["from x", "x.csv"],
    "nightledger.ingestion": ["draft", "x.csv"],
    "nightledger.ingestion.holds": ["hold", "x.csv"],
    "nightledger.airflow.launcher": ["status"],
    "nightledger.servers.mlflow_pages": [],
    "nightledger.publications": ["list"],
    "nightledger.target_lists": ["--client", "x", "--action", "x"],
    "ml.scores.replay": ["0" * 64],
    "ml.scores.score_file": ["churn", "x.csv"],
}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_setting_that_cannot_be_used_ends_in_a_sentence(module, monkeypatch, capsys):
    """Catches a traceback of the settings library where an operator needs to know which line to mend."""
    monkeypatch.setenv("NIGHTLEDGER_THREADS", "seven-of-nine")
    monkeypatch.setenv("NIGHTLEDGER_SCHEDULE_FROM", "yesterday")
    monkeypatch.setattr(sys, "argv", [module, *COMMANDS[module]])
    name = "nightledger.ingestion.__main__" if module == "nightledger.ingestion" else module

    assert importlib.import_module(name).main() == 1
    said = capsys.readouterr().err
    assert "NIGHTLEDGER_THREADS: input should be a valid integer" in said
    assert "NIGHTLEDGER_SCHEDULE_FROM: input should be a valid date" in said
    assert ".env.example" in said
    assert "seven-of-nine" not in said and "pydantic" not in said


def test_tokens_that_are_no_json_are_named_and_not_shown(monkeypatch):
    """Catches a token of a bank's server in the log, quoted by the message about its missing quotes."""
    monkeypatch.setenv("NIGHTLEDGER_PULL_TOKENS", "bank=s3cret")
    with pytest.raises(SettingsError, match="NIGHTLEDGER_PULL_TOKENS: is no JSON") as caught:
        read_settings()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
