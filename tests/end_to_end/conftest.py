"""A small bank with a history, a trained model and a first night, made once and copied by each test."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from nightledger.settings import Settings
from tests.helpers.steps import LAST, first_model, run_night, settings_of, simulate

DAYS = 420
CUSTOMERS = 500


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """History up to two days before LAST, a model, and the night before LAST."""
    home = tmp_path_factory.mktemp("bank") / "home"
    simulate(home, LAST - timedelta(days=1), customers=CUSTOMERS, days=DAYS)
    settings = settings_of(home)
    run_night(settings, "history/first", LAST - timedelta(days=2), "history")
    first_model(settings)
    run_night(settings, "nightly/first", LAST - timedelta(days=1))
    simulate(home, LAST, customers=CUSTOMERS, days=DAYS)
    return home


@pytest.fixture
def copy_of_home(first_home: Path, tmp_path: Path) -> Callable[[], Settings]:
    """Makes a private copy of the first home, ready for the night of LAST."""
    made = 0

    def copy() -> Settings:
        nonlocal made
        made += 1
        home = tmp_path / f"home{made}"
        shutil.copytree(first_home, home, symlinks=True)
        return settings_of(home)

    return copy
