"""A stranger's table becomes a judged model by YAML alone, exactly as the how-to page says."""

import json
import runpy
import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml import evaluate, training
from nightledger import warehouse
from nightledger.governance import promotion
from nightledger.settings import Settings
from tests.helpers.page import files_of_the_page
from tests.helpers.steps import run_night

LAST = date(2024, 3, 31)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files and a published history of nothing but attributes and labels."""
    folder = tmp_path_factory.mktemp("mydata")
    for name, text in files_of_the_page().items():
        if name != "sources/cards.yml":
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
    (folder / "files").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runpy.run_path("make_loans.py")
    run_night(settings_of(folder), "history/first", LAST, "history")
    return folder


def settings_of(folder: Path) -> Settings:
    return Settings(
        home=folder / "var",
        inbox=folder / "files",
        sources=folder / "sources",
        clients=folder / "clients",
        models=str(folder / "models"),
        _env_file=None,
    )


def test_a_client_with_attributes_alone_is_published(stranger: Path) -> None:
    """Catches a step of the night that cannot do without transactions, customers or accounts."""
    settings = settings_of(stranger)
    path = warehouse.publication_path(settings)
    assert path is not None
    audit = json.loads((path / "audit.json").read_text())["checks"]
    assert [check["check"] for check in audit if check["status"] != "passed"] == []
    with warehouse.connect(path, settings=settings) as connection:
        counted = connection.execute(
            "select (select count(*) from raw.attributes_loans), (select count(*) from staging.stg_labels),"
            " (select count(*) from marts.fct_transactions),"
            " (select count(*) from ops.as_of_dates), (select min(as_of_date) from ops.as_of_dates)"
        ).fetchone()
    assert counted == (12000, 12000, 0, 27, date(2022, 1, 31))


def test_the_pages_model_is_judged_as_of_a_day(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a page that does not work, and a model that learns nothing from attributes."""
    for name in ("sources", "clients", "models"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(stranger / name))
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(stranger / "var"))
    out = stranger / "out"
    asked = ["loan_default", "--from", "2023-07-01", "--to", "2023-12-31", "--out", str(out)]
    assert evaluate.main(asked) == 0, capsys.readouterr().err
    said = json.loads((out / "metrics.json").read_text())
    found = {(row["baseline"], row["metric"]): row for row in said["metrics"]}
    own = found["", "average_precision"]
    assert own["lo"] > 1.5 * own["base_rate"]
    assert {baseline for baseline, _ in found} == {"", "logistic_regression", "scorecard", "best_rule"}
    table = pq.read_table(out / "predictions.parquet")
    assert said["rows"] == table.num_rows > 2500
    assert min(table["day"].to_pylist()) >= date(2023, 7, 1)
    assert date.fromisoformat(said["calibrated"]["last"]) < date(2023, 4, 2)
    assert "purpose" in (out / "model_card.md").read_text()
    assert not (stranger / "var" / "registry").exists()


def test_the_pages_contract_of_cards_reads_a_file(stranger: Path, tmp_path: Path) -> None:
    """Catches a contract on the page that no file could be read with."""
    from nightledger.ingestion.__main__ import main

    contract = tmp_path / "cards.yml"
    contract.write_text(files_of_the_page()["sources/cards.yml"])
    sample = tmp_path / "card_payments_2018.csv"
    sample.write_text(
        "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_TIME_SECONDS,TX_TIME_DAYS,TX_FRAUD,"
        "TX_FRAUD_SCENARIO\n0,2018-04-01 00:00:31,596,3156,57.16,31,0,0,0\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTLEDGER_CLIENTS", str(stranger / "clients"))
        patch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
        assert main(["check", str(contract), str(sample)]) == 0


def test_the_pages_contract_of_purchases_reads_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a contract on the page that takes purchases for income, or equal ones for one."""
    from nightledger.ingestion.__main__ import main

    for name in ("sources/purchases.yml", "clients/shop.yml"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(files_of_the_page()[name])
    sample = tmp_path / "purchases_1997.csv"
    sample.write_text("customer,date,amount\n0004,1997-01-01,29.33\n0004,1997-01-01,29.33\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTLEDGER_CLIENTS", str(tmp_path / "clients"))
        patch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "var"))
        assert main(["check", str(tmp_path / "sources/purchases.yml"), str(sample)]) == 0
    said = capsys.readouterr().out
    assert "2 records, 0 in quarantine" in said
    assert "-58.6600" in said


def test_a_night_scores_the_applications_of_its_day(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a night that scores every application ever made again, or that shifts the codes of a text."""
    home = tmp_path / "mydata"
    shutil.copytree(stranger, home, symlinks=True)
    for name in ("sources", "clients", "models"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(home / name))
    settings = settings_of(home)
    outcome = training.train(settings, "loan_default").as_dict()
    assert outcome["version"] is not None, outcome["reason"]
    promotion.record_training(settings, outcome | {"verdict": "promoted"}, "train/first")
    # What is applied for today has no outcome yet: a file of its own, of the same source.
    contract = (home / "sources" / "acme_loans.yml").read_text()
    attributes = contract[: contract.index("  labels:")].replace("loans_*", "applications_*")
    (home / "sources" / "acme_applications.yml").write_text(attributes)
    (home / "files" / "applications_20240401.csv").write_text(
        "loan_id,applied_on,amount,rate,income,age,purpose,home\n"
        "N1,2024-04-01,30000,5,20000,22,business,rent\n"
        "N2,2024-04-01,1000,4,60000,40,zeppelin,own\n"
    )
    run_night(settings, "nightly/first", date(2024, 4, 1))
    path = warehouse.publication_path(settings)
    assert path is not None
    with warehouse.connect(path, settings=settings) as connection:
        scores = connection.execute(
            "select entity, entity_id, as_of_date, score, expected_value from marts.fct_scores order by 2"
        ).fetchall()
        texts = connection.execute("select text from marts.fct_score_reasons order by all").fetchall()
    assert [row[:3] for row in scores] == [("loan", one, date(2024, 4, 1)) for one in ("N1", "N2")]
    assert scores[0][3] > 2 * scores[1][3]
    assert float(scores[0][4]) == pytest.approx(30000 * scores[0][3], abs=0.1)
    assert not [text for (text,) in texts if "zeppelin" in text]
    assert texts
    assert not [text for (text,) in texts if text.startswith("age")], "age says who somebody is"
