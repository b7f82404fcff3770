"""What dbt has parsed is kept and found again."""

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
