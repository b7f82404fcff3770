"""Fraud on card transactions of somebody else's generator, from the file to the queue of a night."""

import json
from datetime import date
from pathlib import Path

import pytest

from ml import evaluate, training
from nightledger import warehouse
from nightledger.governance import promotion
from nightledger.settings import Settings
from tests.helpers.real_files import records, shared
from tests.helpers.steps import run_night

HISTORY, NIGHT = date(2022, 12, 23), date(2022, 12, 24)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The whole file, published as of the day before the last one with frauds."""
    home = tmp_path_factory.mktemp("cards")
    (home / "inbox").mkdir()
    (file,) = shared("sparkov").glob("transactions_????H?.csv.gz")
    (home / "inbox" / file.name).symlink_to(file)
    settings = Settings(home=home / "var", inbox=home / "inbox", _env_file=None)
    run_night(settings, "history/first", HISTORY, "history", tests=False)
    return settings


def test_fraud_is_judged_on_cards_of_others(
    cards: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a fraud path that works on the project's own bank only. The file is easy: no lead means a
    fault, a lead proves little."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(cards.home))
    out = tmp_path / "out"
    asked = ["fraud", "--from", "2022-12-01", "--to", "2022-12-16", "--label-delay", "7", "--out", str(out)]
    assert evaluate.main(asked) == 0, capsys.readouterr().err
    said = json.loads((out / "metrics.json").read_text())
    found = {row["baseline"]: row for row in said["metrics"] if row["metric"] == "average_precision"}
    assert said["rows"] > 7000
    assert found[""]["lo"] > found["best_rule"]["value"]
    assert 0.7 < found[""]["value"] < 0.95, "far above the figures of the page would be a leak"
    assert not said["leak"]


def test_a_night_scores_every_payment_and_puts_frauds_into_its_queue(cards: Settings) -> None:
    """Catches a night that samples, and a queue without the frauds that the file tells of a week later."""
    outcome = training.train(cards, "fraud").as_dict()
    assert outcome["verdict"] == "promoted", outcome["reason"]
    promotion.record_training(cards, outcome, "train/first")
    run_night(cards, "nightly/first", NIGHT, tests=False)
    path = warehouse.publication_path(cards)
    assert path is not None
    with warehouse.connect(path, settings=cards) as connection:
        scored = connection.execute(
            "select entity_id from marts.fct_scores where model = 'fraud' and as_of_date = ?", [NIGHT]
        ).fetchall()
        paid = connection.execute(
            "select transaction_id from marts.fct_transactions where business_date = ?", [NIGHT]
        ).fetchall()
        queued = connection.execute(
            "select transactions.transaction_id from marts.mart_fraud_alerts as alerts"
            " inner join marts.fct_transactions as transactions using (client_id, transaction_key)"
            " where alerts.as_of_date = ? and alerts.is_within_budget",
            [NIGHT],
        ).fetchall()
    assert len(scored) == len(paid) == 667
    (file,) = cards.inbox.iterdir()
    frauds = {
        record["trans_num"]
        for record in records(file)
        if record["trans_date"] == NIGHT.isoformat() and record["is_fraud"] == "1"
    }
    found = {transaction for (transaction,) in queued} & frauds
    assert len(frauds) == 8
    assert len(queued) <= 10 and len(found) >= 4
