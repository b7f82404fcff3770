"""What a version must be better than, on differences made by hand."""

import pytest

from ml import config
from ml.intervals import Estimate
from ml.promotion import PROMOTED, REFUSED, verdict
from ml.scores.config import UseCase
from ml.scores.metrics import Evaluated

FEW_FRAUDS = Estimate(0.04, -0.03, 0.11)
"""The difference of a better model that 47 frauds have judged."""


def judged(over_rule: Estimate, over_regression: Estimate) -> Evaluated:
    own = {"average_precision": Estimate(0.07, 0.01, 0.16)}
    gains = {"best_rule": over_rule, "logistic_regression": over_regression}
    return Evaluated(21_601, 0.002, dict.fromkeys(["", *gains], own), gains)


@pytest.fixture(autouse=True)
def configure() -> None:
    """These tests are about a use case as it is shipped."""


@pytest.fixture
def fraud() -> UseCase:
    loaded = config.load("fraud")
    assert isinstance(loaded, UseCase)
    return loaded


@pytest.mark.parametrize(
    ("over_rule", "over_regression", "expected"),
    [
        (Estimate(0.06, 0.01, 0.12), FEW_FRAUDS, PROMOTED),
        (Estimate(0.06, -0.001, 0.12), FEW_FRAUDS, REFUSED),
        (Estimate(0.06, 0.01, 0.12), Estimate(-0.001, -0.03, 0.03), REFUSED),
    ],
    ids=["as it should be", "the rule may be as good", "the regression was better"],
)
def test_the_rule_is_beaten_for_certain_and_the_regression_as_measured(
    fraud: UseCase, over_rule: Estimate, over_regression: Estimate, expected: str
) -> None:
    """Catches a bank with few frauds that never gets a model, and a model that something simpler replaces."""
    found, reason = verdict(
        fraud, judged(over_rule, over_regression), None, slope=1.0, incomparable="", broken=[]
    )
    assert found == expected, reason
    assert ("positive for certain" in reason) == (over_rule.lo < 0)
