"""Others' probabilities on the rows that a version was judged on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import training
from ml.families import Refused
from ml.registry import Registry
from ml.scores import ceiling
from ml.scores.config import UseCase
from tests.unit.ml.bank import Bank


@pytest.fixture
def judged(bank: Bank, configure: Callable[..., UseCase]) -> tuple[training.TrainingOutcome, Path]:
    """A trained version that has a budget of a day and money to lose, and its predictions."""
    configure(evaluation={"daily_budget": 5, "loss_share": 0.5})
    outcome = training.train(bank.settings, "churn")
    return outcome, Registry(bank.settings).predictions("churn", str(outcome.version))


def test_the_models_own_scores_reach_what_the_model_reached(
    bank: Bank, judged: tuple[training.TrainingOutcome, Path]
) -> None:
    """Catches a ceiling by other budgets, other costs or other draws than those of the model beside it."""
    outcome, predictions = judged
    found = ceiling.measure(bank.settings, "churn", predictions, predictions)
    own = {
        row["metric"]: row
        for row in outcome.metrics
        if (row["baseline"], row["client_id"], row["dataset"]) == ("", "", "out_of_time")
    }
    assert set(found) == set(own)
    assert {"card_precision_at_k", "card_precision_greatest", "savings_share", "ks", "brier"} <= set(own)
    for metric, estimate in found.items():
        kept = tuple(own[metric][end] for end in ("value", "lo", "hi"))
        assert (estimate.value, estimate.lo, estimate.hi) == pytest.approx(kept, abs=1e-6), metric


def test_who_knows_all_reaches_all(
    bank: Bank,
    judged: tuple[training.TrainingOutcome, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches scores that are laid beside the wrong rows."""
    monkeypatch.setattr(ceiling, "read_settings", lambda: bank.settings)
    table = pq.read_table(judged[1])
    at = table.column_names.index("score")
    perfect = table.set_column(at, "score", table["label"].cast(pa.float64()))
    pq.write_table(perfect.take(list(reversed(range(len(perfect))))), tmp_path / "all.parquet")
    arguments = ["churn", "--predictions", str(judged[1]), "--scores"]
    assert ceiling.main([*arguments, str(tmp_path / "all.parquet")]) == 0
    told: dict[str, dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [
        told[metric]["value"] for metric in ("average_precision", "ks", "brier", "calibration_error")
    ] == [1.0, 1.0, 0.0, 0.0]
    assert told["card_precision_at_k"] == pytest.approx(told["card_precision_greatest"])
    assert ceiling.main([*arguments, str(tmp_path / "none.parquet")]) == 1
    assert "none.parquet is not there" in capsys.readouterr().err


def test_of_an_older_releases_rows_nothing_is_said_of_money(
    bank: Bank, judged: tuple[training.TrainingOutcome, Path], tmp_path: Path
) -> None:
    """Catches alerts counted by customer where the cards were not kept."""
    old = pq.read_table(judged[1]).drop_columns(["exposure"])
    pq.write_table(old, tmp_path / "old.parquet")
    found = ceiling.measure(bank.settings, "churn", tmp_path / "old.parquet", judged[1])
    assert "brier" in found and not {"card_precision_at_k", "savings_share"} & set(found)


def test_scores_of_other_rows_are_refused(
    bank: Bank, judged: tuple[training.TrainingOutcome, Path], tmp_path: Path
) -> None:
    """Catches a ceiling of some of the rows, beside a model that was judged on all of them."""
    table = pq.read_table(judged[1])
    pq.write_table(table.slice(1), tmp_path / "fewer.parquet")
    with pytest.raises(Refused, match=r"exactly one score for 1 of \d+ rows"):
        ceiling.measure(bank.settings, "churn", judged[1], tmp_path / "fewer.parquet")
