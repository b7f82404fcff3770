"""The tasks are hard for a threshold and not for the truth."""

import sys

import pytest

from simulation.difficulty import Difficulty, as_text, measure_all


@pytest.fixture(scope="module")
def tables() -> dict[str, Difficulty]:
    """The table of each task on the small bank of the command."""
    return {table.task: table for table in measure_all()}


@pytest.mark.parametrize("task", ["churn", "fraud", "default"])
def test_no_threshold_on_one_feature_reaches_half_of_the_reachable(
    tables: dict[str, Difficulty], task: str
) -> None:
    """Catches leavers, thefts or defaults that one column gives away: a model of them proves nothing."""
    table = tables[task]
    sys.stdout.write(as_text([table]))
    assert table.positives > 100
    assert len(table.reaches) >= 19
    for reach in table.reaches:
        assert reach.share < 0.5, f"{reach.feature} ({reach.direction}) reaches {reach.share:.0%}"


def test_the_truth_itself_finds_most_of_what_is_asked_for(tables: dict[str, Difficulty]) -> None:
    """Catches a bank that is hard because nothing can be known: then half of the reachable is little."""
    assert tables["churn"].reachable > 0.4
    assert tables["fraud"].reachable > 0.6
    assert tables["default"].reachable > 0.4


def test_the_features_that_move_with_leaving_are_tried(tables: dict[str, Difficulty]) -> None:
    """Catches a table that leaves out the feature that gives it away."""
    tried = {reach.feature for reach in tables["churn"].reaches}
    assert {
        "days_since_last_transaction",
        "days_since_last_income",
        "days_since_last_login",
        "active_days_90d",
        "transaction_count_trend",
        "login_trend",
        "spend_slope_180d",
        "total_spend_90d",
        "max_transaction_amount_90d",
    } <= tried


def test_the_table_names_every_feature(tables: dict[str, Difficulty]) -> None:
    """Catches a printed table that is not the measured one."""
    text = as_text(list(tables.values()))
    for table in tables.values():
        assert f"{table.task}: {table.rows:,} rows" in text
        assert all(reach.feature in text for reach in table.reaches)
