"""A home of its own for each test."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from nightledger import operations
from nightledger.settings import Settings
from tests.helpers.small_publications import Home


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty installation."""
    return Settings(home=tmp_path / "home", inbox=None, _env_file=None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Its clock stands still."""
    monkeypatch.setattr(operations, "clock", lambda: datetime(2026, 3, 20, 3))
    yield Home(Settings(home=tmp_path, _env_file=None))
