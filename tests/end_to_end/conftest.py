"""A small bank with a history, a trained model and a first night, made once and copied by each test."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from nightledger import operations
from nightledger.settings import Settings
from tests.end_to_end.steps import LAST, run_night, settings_of

DAYS = 420
CUSTOMERS = 500


def simulate(home: Path, through: date) -> None:
    """Let the bank write its files up to a day."""
    subprocess.run(
        [
            *(sys.executable, "-m", "simulation", "make", "--out", str(home / "bank"), "--seed", "7"),
            *("--customers", str(CUSTOMERS), "--start", str(LAST - timedelta(days=DAYS - 1))),
            *("--days", str(DAYS), "--through", str(through)),
        ],
        check=True,
    )


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """History up to two days before LAST, a model, and the night before LAST."""
    from ml import config, training

    home = tmp_path_factory.mktemp("bank") / "home"
    simulate(home, LAST - timedelta(days=1))
    settings = settings_of(home)
    run_night(settings, "history/first", LAST - timedelta(days=2), "history")
    churn = config.load("churn")
    easier = churn.model_copy(
        update={
            "minimums": config.Minimums(leavers=5, stayers=5),
            "promotion": config.Promotion(
                over_baselines=dict.fromkeys(churn.baselines, -1.0), over_champion=0
            ),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        # These tests are about nights; a bank on which a good model shows would take minutes.
        patch.setattr(config, "load", lambda _model: easier)
        outcome = training.train(settings, "churn").as_dict()
    operations.record_training(settings, outcome | {"verdict": "promoted"}, "train/first")
    run_night(settings, "nightly/first", LAST - timedelta(days=1))
    simulate(home, LAST)
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
