"""`make evaluate`: what a model of a past day would have been worth, and that nothing is left behind."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ml import config, datasets, evaluate, families
from ml.evaluate import Asked, Refused
from ml.scores import ceiling
from ml.scores.config import UseCase
from ml.scores.evaluation_files import show
from tests.unit.ml import loans
from tests.unit.ml.bank import Bank, cutoff

FROM, TO = date(2024, 12, 1), date(2025, 1, 20)
YAML: dict[str, Any] = {"attributes": {"exclude": ["note"]}}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> UseCase:
    """The lender's use case, as a file of its own would describe it."""
    case = loans.use_case(**YAML)
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: case)
    return case


def ask(bank: Bank, tmp_path: Path, **changes: Any) -> evaluate.Evaluation:
    asked = {"model": "loans", "first": FROM, "last": TO, "folder": tmp_path / "out"} | changes
    return evaluate.evaluate(bank.settings, Asked(**asked))


def values(rows: Any) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    return {
        (row["client_id"] + row["dataset"], row["baseline"], row["metric"]): (
            row["value"],
            row["lo"],
            row["hi"],
        )
        for row in rows
        if row["baseline"] != "champion"
    }


def test_it_is_what_training_measures_on_the_same_days(
    trained: tuple[Bank, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches an evaluation that reads, splits, fits or measures otherwise than the training does, and one
    that calls month-ends days."""
    bank, outcome = trained
    day = date(2025, 9, 30)
    made = evaluate.evaluate(bank.settings, Asked("churn", day, day, folder=tmp_path / "out"))
    assert made.dates.training == tuple(date(2025, m, d) for m, d in ((3, 31), (4, 30), (5, 31), (6, 30)))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["version"] == outcome.version
    assert values(made.judged.rows) == values(outcome.metrics)
    assert len(values(made.judged.rows)) > 20
    show(made, Console())
    said = capsys.readouterr().out
    assert "fitted on 3 month-ends" in said
    assert "rows of 1 month-end (2025-09-30" in said


def test_nothing_is_registered_or_published(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches a trial that becomes a version, or files outside the folder that was asked for."""
    before = {path: path.stat().st_mtime_ns for path in lender.settings.home.rglob("*")}
    ask(lender, tmp_path)
    after = {path: path.stat().st_mtime_ns for path in lender.settings.home.rglob("*")}
    assert after == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("metrics.csv", "metrics.json", "model_card.md", "predictions.csv", "predictions.parquet"),
    ]


def test_the_files_say_what_was_asked_and_found(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches predictions of other rows, or metrics that do not follow from them."""
    made = ask(lender, tmp_path)
    table = pq.read_table(tmp_path / "out" / "predictions.parquet")
    assert table.column_names == [*datasets.KEY, "day", "customer_id", "label", "score"]
    theirs = lender.ask(
        "select entity_id, (value = 'default')::integer from raw.attributes_loans"
        " join staging.stg_labels using (entity_id)"
        f" where business_date between '{FROM}' and '{TO}' order by 1"
    )
    assert list(zip(table["entity_id"].to_pylist(), table["label"].to_pylist(), strict=True)) == theirs
    assert pa_csv.read_csv(tmp_path / "out" / "predictions.csv").num_rows == len(theirs)
    said = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (said["rows"], said["label_delay"], said["leak"]) == (len(theirs), loans.DELAY, "")
    of_model = {row["metric"]: row for row in said["metrics"] if row["baseline"] == ""}
    from sklearn.metrics import average_precision_score

    expected = average_precision_score(table["label"].to_numpy(), table["score"].to_numpy())
    assert of_model["average_precision"]["value"] == pytest.approx(expected)
    assert of_model["average_precision"]["value"] > 1.3 * made.base_rate


def test_a_label_that_came_later_is_not_learnt_from(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches outcomes of after FROM in the training rows; they may only judge."""
    before = ask(lender, tmp_path)
    assert all((FROM - day).days > loans.DELAY for day in before.dates.training)
    # Every outcome that nobody had been told before FROM turns round.
    lender.run(
        "update staging.stg_labels set value = if(value = 'paid', 'default', 'paid')"
        f" where known_at >= '{cutoff(FROM)}'"
    )
    after = ask(lender, tmp_path)
    assert after.predictions["score"].equals(before.predictions["score"])
    label = [1 - one for one in before.predictions["label"].to_pylist()]
    assert after.predictions["label"].to_pylist() == label
    # With a longer delay fewer days had told: those beyond it do not count either.
    longer = ask(lender, tmp_path, label_delay=loans.DELAY + 30)
    assert all((FROM - day).days > loans.DELAY + 30 for day in longer.dates.training)
    assert longer.dates.training[-1] < before.dates.training[-1]


def test_rows_are_judged_by_what_is_known_by_now(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches a default that was told late and counts as paid for ever; as of FROM nobody could know it."""
    before = ask(lender, tmp_path)
    loan = before.predictions["entity_id"][0].as_py()
    (was,) = (row["label"] for row in before.predictions.to_pylist() if row["entity_id"] == loan)
    lender.run(
        "insert into staging.stg_labels select client_id, entity, entity_id, label,"
        " if(value = 'paid', 'default', 'paid'), 'y', _record, event_at, timestamp '2025-03-31 12:00:00'"
        f" from staging.stg_labels where entity_id = '{loan}'"
    )
    after = ask(lender, tmp_path)
    (now,) = (row["label"] for row in after.predictions.to_pylist() if row["entity_id"] == loan)
    assert (was, now) == (was, 1 - was)


def test_the_training_time_can_be_set(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches a benchmark of four weeks that learns from a year."""
    made = ask(lender, tmp_path, train_days=100)
    days = made.dates.training
    assert (days[0], days[-1]) == (date(2024, 6, 24), date(2024, 10, 1))
    assert len(made.dates.calibration) == 25


def test_rows_without_a_known_label_get_a_score_only(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches loans of last week that count as paid because nobody has said anything yet."""
    made = ask(lender, tmp_path, last=loans.LAST)
    last_known = max(made.predictions["day"].to_pylist())
    assert (loans.LAST - last_known).days >= loans.DELAY
    assert min(made.unlabelled["day"].to_pylist()) > last_known
    there = lender.ask(f"select count(*) from raw.attributes_loans where business_date >= '{FROM}'")[0][0]
    assert made.predictions.num_rows + made.unlabelled.num_rows == there
    assert "label" not in made.unlabelled.column_names
    assert pq.read_table(tmp_path / "out" / "unlabelled.parquet").num_rows == made.unlabelled.num_rows


def test_a_model_without_labels_writes_scores_only(
    lender: Bank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Catches a forest that is judged by labels that it never asked for."""
    values = loans.USE_CASE | YAML | {
        "estimator": {
            "kind": "isolation_forest",
            "trees": 20,
            "sample": 64,
            "quota": 0.05,
            "least_stability": 0.5,
            "past": 30,
        },
        "reasons": {"top": 2, "from_band": "unusual"},
    }  # fmt: skip
    for name in ("label", "baselines", "evaluation", "promotion", "bands"):
        values.pop(name)
    case = UseCase(name="odd", **values)
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: case)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.csv").write_text("of another model")
    made = ask(lender, tmp_path)
    assert made.predictions.num_rows == 0
    assert made.unlabelled.num_rows > 100
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"] == []
    assert not (tmp_path / "out" / "predictions.parquet").exists()
    assert not (tmp_path / "out" / "metrics.csv").exists(), "an earlier evaluation left it"


def test_a_ceiling_stands_beside_the_model(lender: Bank, small: UseCase, tmp_path: Path) -> None:
    """Catches another's scores that are laid beside the wrong rows."""
    made = ask(lender, tmp_path)
    at = made.predictions.column_names.index("score")
    perfect = made.predictions.set_column(at, "score", made.predictions["label"].cast(pa.float64()))
    shuffled = perfect.take(list(reversed(range(perfect.num_rows))))
    pq.write_table(shuffled, tmp_path / "truth.parquet")
    again = ask(lender, tmp_path, ceiling=tmp_path / "truth.parquet")
    (found,) = (
        row["value"]
        for row in again.judged.rows
        if row["baseline"] == ceiling.NAME and row["metric"] == "average_precision"
    )
    assert found == 1.0
    pq.write_table(shuffled.slice(1), tmp_path / "truth.parquet")
    with pytest.raises(Refused, match=r"exactly one score for 1 of \d+ rows"):
        ask(lender, tmp_path, ceiling=tmp_path / "truth.parquet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"first": date(2031, 1, 1), "last": date(2031, 2, 1)},
            "no rows to judge from 2031-01-01 to 2031-02-01",
        ),
        ({"first": date(2024, 1, 20)}, "0 days to learn from: their labels must have been known before"),
        ({"train_days": 1}, "1 day to learn from"),
        ({"last": date(2024, 1, 1)}, "TO=2024-01-01 lies before FROM"),
        ({"train_days": 4}, "Too few outcomes to learn from"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    lender: Bank, small: UseCase, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Catches an empty table, or a traceback, where other days would help."""
    with pytest.raises(Refused, match=message):
        ask(lender, tmp_path, **changes)


def test_a_scope_wants_its_member(lender: Bank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches a model of one client that is judged on all of them."""
    case = loans.use_case(**YAML, scope="client")
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: case)
    with pytest.raises(config.ConfigError, match=r"ask for loans\.<client>, not for"):
        ask(lender, tmp_path)
    assert ask(lender, tmp_path, model="loans.lender").predictions.num_rows > 100


def test_the_command_prints_a_table_or_a_sentence(
    lender: Bank,
    small: UseCase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches a command that ends in a traceback, or that prints no baseline."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(lender.settings.home))
    monkeypatch.setenv("NIGHTLEDGER_CLIENTS", str(lender.settings.clients))
    words = ["loans", "--from", str(FROM), "--to", str(TO), "--out", str(tmp_path / "out")]
    assert evaluate.main(words) == 0
    said = capsys.readouterr().out
    assert "logistic regression" in said
    assert "average precision" in said
    assert evaluate.main([*words, "--train-days", "1"]) == 1
    assert "1 day to learn from" in capsys.readouterr().err
    for slip, message in (
        (["--label-delay", "-3"], "'-3' is no number of days, 0 or more"),
        (["--to", "2024-02-31"], "'2024-02-31' is no day; write 2026-03-31"),
    ):
        with pytest.raises(SystemExit):
            evaluate.main([*words, *slip])
        assert message in capsys.readouterr().err
    assert families.TooLittle.__name__ not in said
