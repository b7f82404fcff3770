"""Banks to train and score on; made once, copied for each test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml import config, standing, training
from ml.scores.config import UseCase
from tests.unit.ml import loans
from tests.unit.ml.anomalies import Configure, genuine
from tests.unit.ml.bank import Bank, publish, use_config


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return publish(tmp_path_factory.mktemp("published") / "home")


@pytest.fixture(scope="session")
def _trained(_published: Bank, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, Any]:
    """A bank with a first champion. Made once: MLflow needs seconds to make its tables."""
    bank = _published.move(tmp_path_factory.mktemp("trained") / "home")
    with pytest.MonkeyPatch.context() as patch:
        use_config(patch)
        outcome = training.train(bank.settings, "churn")
    standing.align(bank.settings, "churn", outcome.version, None)
    return bank, outcome


@pytest.fixture
def bank(_published: Bank, tmp_path: Path) -> Bank:
    """A publication; nothing has been trained."""
    return _published.move(tmp_path / "home")


@pytest.fixture
def trained(_trained: tuple[Bank, Any], tmp_path: Path) -> tuple[Bank, Any]:
    """A bank of its own with a first champion, and that training's outcome."""
    return _trained[0].move(tmp_path / "home"), _trained[1]


@pytest.fixture(scope="session")
def _lender(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return loans.publish(tmp_path_factory.mktemp("lender") / "home")


@pytest.fixture
def lender(_lender: Bank, tmp_path: Path) -> Bank:
    """A publication of attributes and labels only."""
    return _lender.move(tmp_path / "home")


@pytest.fixture(autouse=True)
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., UseCase]:
    """Every test uses the small configuration; calling it changes numbers."""
    use_config(monkeypatch)
    return lambda **changes: use_config(monkeypatch, **changes)


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """The anomaly use case with fewer trees; a dict changes single keys of a section."""

    def use(**changes: Any) -> UseCase:
        values = genuine("anomaly").model_dump(exclude={"bands"})
        few: dict[str, Any] = {"estimator": {"trees": 60, "sample": 256}, "confidence": {"ages": {}}}
        for key, value in (few | changes).items():
            base = values[key]
            if key == "estimator":
                base = base | {"trees": 60, "sample": 256}
            values[key] = {**base, **value} if isinstance(value, dict) else value
        use_case = UseCase(**values)
        monkeypatch.setattr(config, "read", lambda _model, _folder=None: use_case)
        return use_case

    return use
