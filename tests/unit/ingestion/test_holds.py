"""Orders about files: whom they mean, what is refused, and that reading again replaces all or nothing."""

import os
from datetime import timedelta
from decimal import Decimal

import pytest

from nightledger import ingestion, operations
from nightledger.ingestion import holds
from nightledger.ingestion.holds import OrderError

from .conftest import FAR, NOW, line, lines

COUNTS = "select count(*), sum(amount) from raw.transactions"


def give(bank, action: str, name: str, reason: str = "why") -> str:
    contracts = ingestion.load_contracts(bank.settings)
    return holds.order(bank.settings, contracts, action, name, reason, "me")


def obey(bank) -> dict[str, str]:
    """What `ingest` does with orders; verdicts by file."""
    contracts = ingestion.load_contracts(bank.settings)
    ingestion.collect(bank.settings, contracts, NOW)
    orders = holds.orders_for(bank.settings, bank.connection)
    verdicts = holds.apply(bank.connection, bank.settings, contracts, orders)
    verdicts += ingestion.load(bank.connection, bank.settings, contracts, {"bank": FAR}, "run/test", orders)
    holds.finish(bank.connection, bank.settings, orders)
    return {verdict.file: verdict.verdict for verdict in verdicts}


@pytest.fixture
def loaded(bank):
    """Two files in raw."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1), line(2)))
    bank.file("tx_2.csv", lines(line(3)))
    bank.load()
    return bank


def test_an_order_says_who_when_and_why(loaded):
    """Catches rows that are gone without anybody knowing who took them out."""
    give(loaded, "hold", "some/where/tx_1.csv", "wrong month")
    (row,) = operations.file_order_log(loaded.settings)
    assert (row["action"], row["file"], row["reason"], row["ordered_by"]) == (
        "hold", "tx_1.csv", "wrong month", "me",
    )  # fmt: skip


def test_a_held_file_leaves_nothing_in_raw_and_comes_back_once(loaded):
    """Catches rows or counts that stay, and a release that loads a file twice or never."""
    give(loaded, "hold", "tx_1.csv")
    assert obey(loaded) == {"tx_1.csv": "held"}
    assert loaded.rows(COUNTS) == [(1, Decimal("-3.5"))]
    assert loaded.rows("select distinct load_id from ops.load_feeds") == loaded.rows(
        "select load_id from ops.loads where verdict = 'loaded'"
    )
    assert obey(loaded) == {}
    give(loaded, "release", "tx_1.csv")
    assert obey(loaded) == {"tx_1.csv": "loaded"}
    assert obey(loaded) == {}
    assert loaded.rows(COUNTS) == [(3, Decimal("-7.5"))]


def test_a_file_is_held_by_its_bytes_also_before_it_was_loaded(bank):
    """Catches a bad file that comes in under its second name."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    ingestion.collect(bank.settings, ingestion.load_contracts(bank.settings), NOW)
    give(bank, "hold", "tx_1.csv")
    bank.file("tx_2.csv", lines(line(1)))
    ingestion.create_tables(bank.connection)
    assert obey(bank) == {"tx_1.csv": "held"}
    assert bank.rows(COUNTS) == [(0, None)]


@pytest.mark.parametrize(
    ("action", "name", "reason", "message"),
    [
        (
            "hold",
            "tx_3.csv",
            "x",
            r"tx_3\.csv: no such file has arrived\. Did you mean tx_2\.csv, tx_1\.csv\?",
        ),
        ("hold", "tx_1.csv", " ", "say why: REASON="),
        ("release", "tx_1.csv", "x", r"tx_1\.csv is not held"),
    ],
)
def test_an_order_that_can_mean_nothing_is_refused(loaded, action, name, reason, message):
    """Catches a typing error that is taken for an order and does nothing."""
    with pytest.raises(OrderError, match=message):
        give(loaded, action, name, reason)
    assert operations.file_order_log(loaded.settings) == []


def test_one_name_with_two_contents_has_to_be_told_apart(loaded):
    """Catches the wrong one of two files set aside."""
    path = loaded.file("tx_1.csv", lines(line(9)))
    os.utime(path, (1, 1))
    loaded.load(now=NOW + timedelta(hours=1))
    with pytest.raises(OrderError, match=r"2 files have that name; say which:") as refused:
        give(loaded, "hold", "tx_1.csv")
    choice = str(refused.value).split("FILE=")[2].split()[0]
    give(loaded, "hold", choice)
    assert obey(loaded) == {"tx_1.csv": "held"}
    assert loaded.rows(COUNTS) == [(3, Decimal("-7.5"))]


def test_a_file_held_already_is_neither_held_nor_read_again(loaded):
    """Catches an order that looks done and waits behind another."""
    give(loaded, "hold", "tx_1.csv", "wrong month")
    with pytest.raises(OrderError, match="is held already: wrong month"):
        give(loaded, "hold", "tx_1.csv")
    with pytest.raises(OrderError, match="is held; release it"):
        give(loaded, "requeue", "tx_1.csv")


def test_reading_again_replaces_rows_and_quarantine(bank):
    """Catches rows twice, quarantined records that stay, and a key that conflicts with its own former row."""
    columns = bank.columns(channel={"column": "text", "map": {"SHOP 1": "pos"}})
    bank.contract(max_bad_share=0.9, feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", lines(line(1), line(2)))
    bank.load()
    assert bank.rows("select count(*) from raw.quarantine") == [(1,)]
    columns = bank.columns(channel={"column": "text", "map": {"SHOP 1": "app", "SHOP 2": "atm"}})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)})
    give(bank, "requeue", "tx_1.csv")
    assert obey(bank) == {"tx_1.csv": "loaded"}
    assert bank.rows("select channel from raw.transactions order by 1") == [("app",), ("atm",)]
    assert bank.rows("select count(*) from raw.quarantine") == [(0,)]
    assert obey(bank) == {}


def test_a_second_reading_that_is_refused_leaves_the_first(loaded):
    """Catches a mended contract that is worse, and takes the rows with it."""
    before = loaded.rows("select * from ops.loads order by 1")
    loaded.contract(feeds={"transactions": loaded.transactions(columns=loaded.columns(mcc="nowhere"))})
    give(loaded, "requeue", "tx_1.csv")
    assert obey(loaded) == {"tx_1.csv": "refused"}
    assert loaded.rows(COUNTS) == [(3, Decimal("-7.5"))]
    assert loaded.rows("select * from ops.loads order by 1") == before
    assert obey(loaded) == {}


def test_the_command_takes_orders_and_says_what_will_happen(loaded, monkeypatch, capsys):
    """Catches a command line that does not reach the functions, and traces instead of messages."""
    monkeypatch.setattr(holds, "read_settings", lambda: loaded.settings)
    assert holds.main(["hold", "tx_1.csv", "--reason", "wrong"]) == 0
    assert holds.main(["hold", "", "--reason", "wrong"]) == 1
    assert holds.main(["requeue", "", "--source", "cards"]) == 1
    said = capsys.readouterr()
    assert "The next night takes its rows out" in said.out
    assert "make hold FILE=name" in said.err
    assert "nothing is published yet" in said.err


def test_a_refused_file_is_tried_again_when_it_is_requeued(bank):
    """Catches the advice to requeue a file, which no night obeys."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1)))
    contracts = ingestion.load_contracts(bank.settings)
    ingestion.collect(bank.settings, contracts, NOW)
    (landed,) = bank.settings.landing.glob("*/*/content*")
    whole = landed.read_bytes()
    landed.chmod(0o640)
    landed.write_bytes(whole.replace(b"-1.50", b"-9.50"))
    (verdict,) = bank.load().values()
    assert verdict.verdict == "refused"
    assert "then make requeue FILE=tx_1.csv" in verdict.message
    assert obey(bank) == {}, "nothing has changed"

    landed.write_bytes(whole)
    give(bank, "requeue", "tx_1.csv")
    assert holds.is_waiting(bank.connection, holds.orders_for(bank.settings, bank.connection))
    assert obey(bank) == {"tx_1.csv": "loaded"}
    assert bank.rows(COUNTS) == [(1, Decimal("-1.5"))]
    assert obey(bank) == {}
