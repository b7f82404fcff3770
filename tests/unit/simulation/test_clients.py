"""The three clients' files, loaded with their contracts: exactly what was planted is quarantined."""

import json
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from nightledger import ingestion
from nightledger.settings import Settings
from simulation.clients import CLIENTS, make_clients
from simulation.parameters import Bank

BANK = Bank(customers=2_400, start=date(2024, 1, 1), days=90, seed=17)
"""Large enough that the wallet's and the lender's fullest files carry malformed records."""


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and truth of all clients."""
    out = tmp_path_factory.mktemp("clients")
    make_clients(BANK, out, CLIENTS)
    return out


@pytest.fixture(scope="module")
def loaded(inbox: Path, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """Raw tables after one load of everything."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), inbox=inbox / "files", _env_file=None)
    contracts = [one for one in ingestion.load_contracts(settings) if one.client.startswith("demo_")]
    report = ingestion.collect(settings, contracts, datetime(2024, 6, 1))
    assert not report.waiting and not report.ignored
    connection = duckdb.connect()
    ingestion.create_tables(connection)
    far = dict.fromkeys((contract.client for contract in contracts), datetime(9999, 1, 1))
    ingestion.load(connection, settings, contracts, far, "test")
    return connection


def test_every_file_is_loaded_or_the_same_bytes_again(loaded: duckdb.DuckDBPyConnection) -> None:
    """Catches a layout that its contract does not describe."""
    verdicts = loaded.sql("select contract, verdict, count(*) from ops.loads group by all").fetchall()
    assert {verdict for _, verdict, _ in verdicts} == {"loaded", "duplicate"}
    assert {contract for contract, verdict, _ in verdicts if verdict == "duplicate"} <= {
        "demo_wallet_passbook",
        "demo_lender_ledger",
    }
    clients = {contract.split("_")[1] for contract, *_ in verdicts}
    assert clients == {"bank", "wallet", "lender"}


def test_exactly_the_planted_records_are_quarantined(inbox: Path, loaded: duckdb.DuckDBPyConnection) -> None:
    """Catches a good record that a contract turns away, and a bad one that it lets in."""
    truth = inbox / "truth"
    planted = pq.read_table(truth / "planted").to_pylist()
    planted += json.loads((truth / "wallet" / "planted.json").read_text())
    planted += pq.read_table(truth / "lender" / "planted.parquet").to_pylist()
    there = {path.name for path in (inbox / "files").rglob("*") if path.is_file()}
    expected = {(row["file"], row["record"]) for row in planted if row["file"] in there}
    found = loaded.sql("select distinct file, record from raw.quarantine").fetchall()
    assert set(found) == expected
    assert {name.split("_")[0] for name, _ in expected} == {"transactions", "passbook", "umsaetze"}


def test_money_arrives_as_the_manifests_say(inbox: Path, loaded: duckdb.DuckDBPyConnection) -> None:
    """Catches a sign, a decimal comma or a thousands mark that is read the wrong way."""
    rows = loaded.sql(
        """
        select client_id, currency, sum(amount) filter (source_category = 'own_transfer'),
            min(amount), max(amount), count(*)
        from raw.transactions group by all order by 1
        """
    ).fetchall()
    by_client = {client: rest for client, *rest in rows}
    assert {client: rest[0] for client, rest in by_client.items()} == {
        "demo_bank": "INR",
        "demo_wallet": "INR",
        "demo_lender": "EUR",
    }
    assert all(least < 0 < most for _, _, least, most, _ in by_client.values())
    wallet = loaded.sql(
        """
        select count(*) filter (balance_after < 0), count(distinct account_id),
            count(*) filter (source_category = 'own_transfer' and amount <= 0)
        from raw.transactions where client_id = 'demo_wallet'
        """
    ).fetchone()
    assert wallet is not None and wallet[0] == 0 and wallet[1] > 50 and wallet[2] == 0


def test_times_of_the_wallet_and_days_of_the_lender_are_local(loaded: duckdb.DuckDBPyConnection) -> None:
    """Catches seconds since 1970 that are taken for local time, and a date that a zone has shifted."""
    shifted = loaded.sql(
        """
        select count(*) from raw.transactions
        where client_id = 'demo_wallet'
            and business_date <> (event_at + interval 330 minutes)::date
        """
    ).fetchone()
    assert shifted == (0,)
    days = loaded.sql(
        "select distinct day(business_date) from raw.transactions"
        " where client_id = 'demo_lender' and description like 'Rate%'"
    ).fetchall()
    assert {day for (day,) in days} == {1, 5, 10, 15}


def test_a_corrected_record_replaces_the_first_one(loaded: duckdb.DuckDBPyConnection) -> None:
    """Catches corrections that count twice, and ones that are lost."""
    corrected = loaded.sql(
        """
        select count(*), count(distinct transaction_key)
        from raw.transactions
        where client_id = 'demo_wallet' and transaction_key in (
            select transaction_key from raw.transactions where description like '% (CORRECTED)')
        """
    ).fetchone()
    assert corrected is not None and corrected[0] == 2 * corrected[1] > 0


def test_a_label_names_a_transaction_that_was_delivered(loaded: duckdb.DuckDBPyConnection) -> None:
    """Catches a fraud desk that reports on payments which nobody has seen, or before they were made."""
    labels, unknown, early = loaded.sql(
        """
        select count(*), count(*) filter (paid.transaction_id is null),
            count(*) filter (labels.event_at < paid.event_at)
        from raw.labels as labels
        left join raw.transactions as paid
            on labels.client_id = paid.client_id and labels.entity_id = paid.transaction_id
        where labels.label = 'fraud'
        """
    ).fetchone() or (0, 0, 0)
    assert labels > 50
    assert unknown <= 1  # the malformed records are not there
    assert early == 0
