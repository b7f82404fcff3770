"""Pulls as nights do them: what the next one asks for, what a late server stops, what a replay reads."""

from datetime import timedelta

import pytest

from nightledger.ingestion import landing
from nightledger.night import plan
from tests.unit.ingestion.pulling.conftest import NIGHT
from tests.unit.ingestion.pulling.server import OFFSET, Answer, by_cursor, by_offset


def test_the_next_pull_begins_at_the_day_of_the_last_whole_one_less_the_overlap(puller, server):
    """Catches a gap between two pulls, and a state that is kept anywhere but in the landing area."""
    contract = puller.contract()
    server.script = by_cursor([1])
    puller.pull(contract)
    puller.now += timedelta(days=1)
    server.script = by_cursor([1, 2])
    puller.pull(contract)
    assert server.queries[-1] == {"from": "2026-01-08"}


def test_nothing_new_is_a_whole_pull_without_anything_to_load(puller, server):
    """Catches an empty page that is refused each night, or a source that is called late on a quiet day."""
    contract = puller.contract()
    server.script = by_cursor([])
    assert not puller.pull_all(contract).is_late
    assert landing.arrivals(puller.bank.settings) == []


def test_pulled_pages_are_loaded_once_and_again_in_a_replay_without_the_server(puller, server):
    """Catches records of the overlap that count twice, and pages that only a live server can explain."""
    contract = puller.contract(**OFFSET)
    numbers = [1, 2, 3, 4, 5]
    server.script = by_offset(numbers)
    puller.pull(contract)
    numbers.insert(0, 0)
    puller.now += timedelta(days=1)
    puller.pull(contract)
    server.shutdown()
    bank = puller.bank
    verdicts = bank.load()
    assert {verdict.verdict for verdict in verdicts.values()} <= {"loaded", "duplicate"}
    loaded = "select transaction_id, amount::varchar from raw.transactions group by all order by 1"
    assert bank.rows(loaded) == [(f"t{n}", f"-{n}.5000") for n in range(6)]
    keys = "select count(distinct transaction_key) from raw.transactions"
    assert bank.rows(keys) == [(6,)]
    bank.connection.execute("delete from raw.transactions")
    bank.connection.execute("delete from ops.loads")
    assert set(bank.load()) == set(verdicts)
    assert bank.rows(keys) == [(6,)]


def test_a_replay_reads_the_landing_area_and_asks_no_server(puller, server):
    """Catches a rebuilt night that depends on what a server says today."""
    contract = puller.contract()
    server.script = by_cursor([1])
    puller.pull(contract)
    puller.now += timedelta(days=1)
    puller.pull(contract)
    asked = len(server.queries)
    assert not puller.pull_all(contract, night=NIGHT - timedelta(days=1)).is_late
    assert len(server.queries) == asked


def test_a_server_that_fails_makes_its_source_late_and_disturbs_nobody(puller, server, caplog):
    """Catches a night that fails because of a source that it does not require."""
    contract = puller.contract()
    server.script = lambda *_: Answer(status=500)
    report = puller.pull_all(contract)
    assert report.is_late
    assert "status 500, after 3 tries" in report.message
    assert report.message in caplog.text


def test_a_required_server_that_fails_stops_the_night_like_a_missing_file(puller, server):
    """Catches numbers that are published without a source that the contract requires."""
    contract = puller.contract()
    contract = contract.model_copy(
        update={"delivery": contract.delivery.model_copy(update={"required": True})}
    )
    server.script = lambda *_: Answer(status=500)
    with pytest.raises(plan.RequiredSourceMissing, match=r"bank/cards could not be pulled for 2026-01-09\."):
        plan.require_pulled([puller.pull_all(contract)], NIGHT)
    server.script = by_cursor([1])
    plan.require_pulled([puller.pull_all(contract)], NIGHT)


def test_what_was_pulled_before_the_day_was_over_does_not_cover_it(puller, server):
    """Catches the first hours of a day that are taken for the whole day."""
    contract = puller.contract()
    server.script = by_cursor([1])
    puller.pull(contract)
    server.script = lambda *_: Answer(status=500)
    puller.now += timedelta(days=1)
    assert puller.pull_all(contract, night=NIGHT + timedelta(days=1)).is_late


def test_the_command_pulls_by_hand(puller, server, monkeypatch, capsys):
    """Catches a command that stores nothing, or shows a trace where a message is due."""
    from nightledger.ingestion import __main__ as command

    for name in ("home", "inbox", "sources", "clients"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(getattr(puller.bank.settings, name)))
    puller.contract(attempts=1)
    server.script = by_cursor([1, 2], [3])
    assert command.main(["pull", "--source", "api"]) == 0
    assert "2 pages with 3 records" in capsys.readouterr().out
    server.script = lambda *_: Answer(status=404)
    assert command.main(["pull", "--source", "api"]) == 1
    assert "status 404 · next" in capsys.readouterr().err
