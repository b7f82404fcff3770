"""A small bank with a history, a trained model and a first night, made once and copied by each test; and the
same bank a night later."""

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


@pytest.fixture(scope="session")
def undisturbed_home(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first home after a night of LAST in which nothing went wrong."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(first_home, home, symlinks=True)
    assert run_night(settings_of(home), "nightly/undisturbed", LAST)
    return home


@pytest.fixture
def copy_of_home(first_home: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Makes a private copy of a home: of the first one, ready for the night of LAST, if none is named."""

    def copy(home: Path = first_home) -> Settings:
        return settings_of(shutil.copytree(home, tmp_path / "home", symlinks=True))

    return copy
