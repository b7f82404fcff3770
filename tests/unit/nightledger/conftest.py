"""A home of its own for each test."""

from pathlib import Path

import pytest

from nightledger.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty installation."""
    return Settings(home=tmp_path / "home", inbox=None, _env_file=None)
