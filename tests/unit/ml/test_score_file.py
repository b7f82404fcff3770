"""A file of features is scored as a night would score it, and nothing else happens."""

import csv
import hashlib
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from ml import config, scoring, training
from ml.config import ConfigError
from ml.registry import Registry, RegistryError
from ml.scores import score_file
from ml.scores.model import Model
from ml.scores.score_file import FileRefused
from tests.unit.ml.bank import FEATURES, Bank

Trained = tuple[Bank, training.TrainingOutcome]
GOOD = {"days_since_last_transaction": "3", "transactions_90d": "12", "max_transaction_amount_90d": "30"}


def write(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = ()) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns or tuple(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of_home(bank: Bank) -> dict[Path, str]:
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bank.settings.home.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_a_file_is_scored_as_the_night_was(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches another path than the night's: other bits, bands, confidence or reasons; or a lost row at the
    edge of a batch."""
    bank, outcome = trained
    bank.pin(str(outcome.version))
    scoring.score_night(bank.settings, bank.build)
    lake = bank.build / "lake"
    file = tmp_path / "features.csv"
    duckdb.sql(f"""
        copy (
            select entity_id, client_id, {", ".join(FEATURES)} from '{lake}/vectors/*/*/*/*.parquet'
            order by entity_id
        ) to '{file}' (header)
    """)
    monkeypatch.setattr(score_file, "BATCH", 100)
    before = of_home(bank)
    done = score_file.score_file(bank.settings, "churn", file)
    assert of_home(bank) == before
    assert (done.version, done.role, done.missing) == (outcome.version, "champion", ())
    assert done.target == tmp_path / "features-scored.csv"
    found = read(done.target)
    assert [{name: row[name] for name in ("entity_id", *FEATURES)} for row in found] == [
        {name: row[name] for name in ("entity_id", *FEATURES)} for row in read(file)
    ]
    scores = duckdb.sql(f"from '{lake}/scores/*/*/*/*.parquet' order by entity_id").to_arrow_table()
    for name in ("score", "confidence", "score_lo", "score_hi"):
        now = np.array([row[name] for row in found]).astype(np.float32)
        assert np.array_equal(now.view(np.uint32), scores[name].to_numpy().view(np.uint32)), name
    assert [row["band"] for row in found] == scores["band"].to_pylist()
    assert [int(row["support"]) for row in found] == scores["support"].to_pylist()
    assert [row["is_out_of_range"] == "true" for row in found] == scores["is_out_of_range"].to_pylist()
    assert sum(done.bands.values()) == len(found) == scores.num_rows
    reasons = duckdb.sql(
        "select entity_id, rank, reason_code, text"
        f" from '{lake}/reasons/*/*/*/*.parquet' order by entity_id, rank"
    ).fetchall()
    assert [
        (row["entity_id"], rank, row[f"reason_{rank}_code"], row[f"reason_{rank}_text"])
        for row in found
        for rank in (1, 2, 3)
        if row[f"reason_{rank}_code"]
    ] == reasons


def test_a_missing_feature_is_refused_by_name_unless_it_is_allowed(trained: Trained, tmp_path: Path) -> None:
    """Catches a forgotten column that is taken for a missing value without a word."""
    bank, _ = trained
    file = write(tmp_path / "f.csv", GOOD)
    with pytest.raises(FileRefused, match="no column never_filled"):
        score_file.score_file(bank.settings, "churn", file)
    assert [path.name for path in tmp_path.glob("*.csv")] == ["f.csv"]
    done = score_file.score_file(bank.settings, "churn", file, allow_missing=True)
    assert done.missing == ("never_filled",)
    whole = write(tmp_path / "g.csv", GOOD | {"never_filled": ""})
    other = score_file.score_file(bank.settings, "churn", whole)
    assert read(done.target)[0]["score"] == read(other.target)[0]["score"]
    with pytest.raises(FileRefused, match="no column is a feature"):
        score_file.score_file(
            bank.settings, "churn", write(tmp_path / "h.csv", {"x": "1"}), allow_missing=True
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("many", "line 4, column transactions_90d: 'many' is no number"),
        ("1,5", "line 4, column transactions_90d: '1,5' is no number"),
        ("1_000", "'1_000' is no number; a missing value is an empty cell"),
        ("NaN", "'NaN' is no number; a missing value is an empty cell"),
        ("inf", "'inf' is no number"),
        ("1e39", "'1e39' is too large"),
    ],
)
def test_a_text_that_is_no_number_is_refused_with_its_place(
    trained: Trained, tmp_path: Path, text: str, said: str
) -> None:
    """Catches a text that counts as missing, and a line number that a note over two lines puts off."""
    bank, _ = trained
    good = GOOD | {"never_filled": "", "note": "two\nlines"}
    file = write(tmp_path / "f.csv", good, good | {"transactions_90d": text})
    with pytest.raises(FileRefused) as caught:
        score_file.score_file(bank.settings, "churn", file)
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["f.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: there is no header"),
        (b"a,a\n1,2\n", "line 1: two columns are called 'a'"),
        (
            ";".join(FEATURES).encode() + b"\n1;2;3;4\n",
            "line 1: the header is one cell with semicolons; part the cells",
        ),
        (b"score," + ",".join(FEATURES).encode() + b"\n", "line 1: the file has a column score already"),
        (",".join(FEATURES).encode() + b"\n1,2\n", "line 2: 2 cells, and the header has 4"),
        (",".join(FEATURES).encode() + b'\n1,2,3,"4\n', "line 2: unexpected end of data"),
        (",".join(FEATURES).encode() + b"\n1,2,3,\xff\n", "is not in UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused(trained: Trained, tmp_path: Path, content: bytes, said: str) -> None:
    """Catches cells that slip into the neighbour's column, and half an answer."""
    bank, _ = trained
    file = tmp_path / "f.csv"
    file.write_bytes(content)
    with pytest.raises(FileRefused) as caught:
        score_file.score_file(bank.settings, "churn", file)
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["f.csv"]


def test_other_columns_are_carried_along_and_run_nowhere(trained: Trained, tmp_path: Path) -> None:
    """Catches a lost column, a formula in a spreadsheet, and a negative number taken for one."""
    bank, _ = trained
    file = write(
        tmp_path / "f.csv",
        GOOD | {"never_filled": "-1.5", "=name": "=1+1", "change": "-0.25", "note": 'says "no", so'},
    )
    target = tmp_path / "out.csv"
    row = read(score_file.score_file(bank.settings, "churn", file, to=target).target)[0]
    assert (row["'=name"], row["change"], row["never_filled"]) == ("'=1+1", "-0.25", "-1.5")
    assert row["note"] == 'says "no", so'


def test_texts_that_the_model_knows_are_categories(tmp_path: Path) -> None:
    """Catches a model of attributes whose texts would be refused, or coded in another order."""

    class Known:
        features = ("colour", "size")
        categories = {"colour": ("blue", "red")}  # noqa: RUF012 - stands for a model

    file = write(tmp_path / "f.csv", {"size": "1", "colour": "red"}, {"size": "", "colour": "green"})
    with file.open(newline="") as source:
        model: Model = Known  # type: ignore[assignment]
        rows = score_file._Rows(source, model, allow_missing=False)
        ((_, matrix),) = rows.batches()
    assert np.array_equal(matrix, np.array([[2, 1], [np.nan, np.nan]], dtype=np.float32), equal_nan=True)


def test_a_named_version_scores_and_an_unknown_one_is_answered(trained: Trained, tmp_path: Path) -> None:
    """Catches the champion's answer under another version's name."""
    bank, outcome = trained
    file = write(tmp_path / "f.csv", GOOD | {"never_filled": ""})
    done = score_file.score_file(bank.settings, "churn", file, version=outcome.version)
    assert done.role == "champion"
    with pytest.raises(RegistryError, match="no version x"):
        score_file.score_file(bank.settings, "churn", file, version="x")
    Registry(bank.settings).align("churn", None, None)
    with pytest.raises(RegistryError, match="has no champion"):
        score_file.score_file(bank.settings, "churn", file)
    assert score_file.score_file(bank.settings, "churn", file, version=outcome.version).role == ""
    with pytest.raises(RegistryError, match=r"no version of churn\.demo_bank; there are of churn: ask"):
        score_file.score_file(bank.settings, "churn.demo_bank", file)


def test_a_family_names_its_members_and_a_model_never_trained_says_so(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches advice to name a version where none is called so."""
    bank, outcome = trained
    file = write(tmp_path / "f.csv", GOOD)
    monkeypatch.setattr(config, "read", config.read.genuine)  # type: ignore[attr-defined]
    with pytest.raises(RegistryError, match="no version of anomaly is registered: it was never trained"):
        score_file.score_file(bank.settings, "anomaly", file)
    registry, version = Registry(bank.settings), str(outcome.version)
    files, rows = registry.files("churn", version), pq.read_table(registry.predictions("churn", version))
    for name in ("anomaly.b", "anomaly.a", "anomaly_transactions.a"):
        registry.save(name, version, files, rows, {}, {}, {})
    with pytest.raises(RegistryError, match=r"no version of anomaly; there are of anomaly\.a, anomaly\.b:"):
        score_file.score_file(bank.settings, "anomaly", file)


def test_the_answer_lands_in_no_folder_of_the_night(trained: Trained, tmp_path: Path) -> None:
    """Catches an answer in the inbox, which the next night would take for a bank's file."""
    bank, _ = trained
    bank.settings.inbox = tmp_path / "inbox"
    bank.settings.inbox.mkdir()
    row = GOOD | {"never_filled": ""}
    with pytest.raises(FileRefused, match="choose another TO"):
        score_file.score_file(bank.settings, "churn", write(bank.settings.inbox / "f.csv", row))
    file = write(tmp_path / "f.csv", row)
    for to, said in ((bank.settings.home / "x.csv", "choose another TO"), (file, "names the file itself")):
        with pytest.raises(FileRefused, match=said):
            score_file.score_file(bank.settings, "churn", file, to=to)


def test_an_empty_home_is_answered_and_stays_empty(bank: Bank, tmp_path: Path) -> None:
    """Catches a question that makes a registry."""
    file = write(tmp_path / "f.csv", GOOD)
    settings = bank.settings.model_copy(update={"home": tmp_path / "nothing"})
    with pytest.raises(RegistryError, match="nothing has been trained"):
        score_file.score_file(settings, "churn", file)
    assert not settings.home.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--allow-missing=yes"], 0, "1 rows in"),
        (["--allow-missing=perhaps"], 1, "ALLOW_MISSING is yes or no"),
        ([], 1, "no column never_filled"),
    ],
)
def test_the_command_says_what_it_did(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    """Catches a command that fails with success, or with a stack trace."""
    file = write(tmp_path / "f.csv", GOOD)
    monkeypatch.setattr("sys.argv", ["ml.scores.score_file", *arguments, "--", "churn", str(file)])
    monkeypatch.setattr(score_file, "read_settings", lambda: trained[0].settings)
    assert score_file.main() == code
    out = capsys.readouterr()
    assert said in out.out + out.err
    assert ("Nothing was published" in out.out) == (code == 0)


def test_an_unknown_model_is_answered(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a stack trace for a typo."""
    monkeypatch.setattr(config, "read", config.read.genuine)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="there are: "):
        score_file.score_file(trained[0].settings, "chum", write(tmp_path / "f.csv", GOOD))
