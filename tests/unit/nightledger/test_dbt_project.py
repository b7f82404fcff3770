"""What dbt has parsed is kept and found again, and it runs what it is told to."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nightledger.dbt import project
from nightledger.settings import PROJECT, Settings


def test_every_home_shows_dbt_the_same_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a profile that says where the home lies: in a copied or restored home, in each process until
    one has parsed there, dbt would parse the whole project again."""
    names = re.findall(r"env_var\('(\w+)'", (PROJECT / "dbt_project" / "profiles.yml").read_text())
    assert "NIGHTLEDGER_BUILD" in names
    seen: list[dict[str, str | None]] = []

    def parse(_settings: Settings, target: Path, words: list[str]) -> Any:
        assert words[-1] == "parse"
        seen.append({name: os.environ.get(name) for name in names})
        (target / "manifest.json").write_text("{}")
        return SimpleNamespace(success=True, result=None)

    monkeypatch.setattr(project, "_invoke", parse)
    for home in ("one", "two"):
        monkeypatch.setattr(project, "_parsed", {})
        project.parse(Settings(home=tmp_path / home, _env_file=None))
    assert seen[0] == seen[1]


def profile(monkeypatch: pytest.MonkeyPatch, build: Path, **given: Any) -> dict[str, str]:
    """What the profile of a dbt command on this build reads, where nothing else is in the environment."""
    monkeypatch.setattr(os, "environ", {})
    settings = Settings(home=build, _env_file=None, **given)
    project._point_at(settings, build, project._models_at_once(settings, build))
    text = (PROJECT / "dbt_project" / "profiles.yml").read_text()
    names = re.findall(r"env_var\('NIGHTLEDGER_(\w+)'", text)
    return {name.lower(): os.environ[f"NIGHTLEDGER_{name}"] for name in names}


def test_dbts_profile_sees_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a setting of `.env` that dbt never sees: only the process's own variables reach its profile."""
    seen = profile(monkeypatch, tmp_path, threads=3, memory_limit="5GB", dbt_threads=4)
    told = {"build": str(tmp_path), "threads": "3", "memory_limit": "5GB", "models_at_once": "4"}
    assert seen == told


def test_a_large_warehouse_is_built_one_model_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches two models that spill side by side until the disk is full, unless somebody wants it so."""
    assert profile(monkeypatch, tmp_path, dbt_threads="")["models_at_once"] == "2"  # as compose says it
    with (tmp_path / "warehouse.duckdb").open("wb") as file:
        file.truncate(500_000_000)
        assert profile(monkeypatch, tmp_path)["models_at_once"] == "2"
        file.truncate(500_000_001)
    assert profile(monkeypatch, tmp_path)["models_at_once"] == "1"
    assert profile(monkeypatch, tmp_path, dbt_threads=2)["models_at_once"] == "2"


class Parsed(project.DbtProject):
    """A project that is not asked for its files, and says what dbt is told."""

    def __init__(self, home: Path, signature: str = "today") -> None:
        self._settings = Settings(home=home, _env_file=None)
        self._signature = signature
        nodes = {name: SimpleNamespace(tags=["daily"]) for name in ("model.x.a", "model.x.b", "test.x.a.1")}
        self._manifest = SimpleNamespace(nodes=nodes)
        self.told: list[tuple[tuple[str, ...], set[str]]] = []

    def tagged(self) -> set[str]:
        """Nodes that a command would run now."""
        return {name for name, node in self._manifest.nodes.items() if project.CHOSEN in node.tags}

    def run(self, *words: str) -> Any:
        """Note what dbt is told, and answer as `ls` does."""
        self.told.append((words, self.tagged()))
        if "broken" in words:
            raise RuntimeError("broken")
        return SimpleNamespace(result=['{"unique_id": "model.x.a"}', '{"unique_id": "test.x.a.1"}'])


def test_dbt_runs_the_chosen_nodes_and_the_next_command_others(tmp_path: Path) -> None:
    """Catches a night that builds what the step before it had chosen, also after one that broke."""
    parsed = Parsed(tmp_path)
    parsed.run_nodes("build", {"model.x.a"}, "--full-refresh")
    with pytest.raises(RuntimeError, match="broken"):
        parsed.run_nodes("build", ["model.x.b"], "broken")
    assert [tagged for _, tagged in parsed.told] == [{"model.x.a"}, {"model.x.b"}]
    chosen = ("--select", f"tag:{project.CHOSEN}", "--indirect-selection", "empty")
    assert parsed.told[0][0] == ("build", *chosen, "--full-refresh")
    assert parsed.tagged() == set()


def test_a_selector_is_looked_up_once_for_the_same_files(tmp_path: Path) -> None:
    """Catches a model that no night builds because it was added after the selector was looked up."""
    first, second, changed = Parsed(tmp_path), Parsed(tmp_path), Parsed(tmp_path, "tomorrow")
    expected = ["model.x.a", "test.x.a.1"]
    assert [each.nodes_of("marts") for each in (first, second, changed)] == [expected] * 3
    assert [len(each.told) for each in (first, second, changed)] == [1, 0, 1]
