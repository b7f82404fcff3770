"""Real files made by others, reconciled to the cent by a second reading in Python."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from nightledger import ingestion
from nightledger.ingestion.reading import token
from nightledger.settings import Settings
from tests.helpers.real_files import EXCERPTS, records, shared

NOW = datetime(2026, 1, 10, 12)


@pytest.fixture
def load(tmp_path):
    """Loads one real file; returns its verdict and the connection."""
    with duckdb.connect() as connection:

        def _load(path: Path):
            inbox = tmp_path / "inbox"
            inbox.mkdir()
            (inbox / path.name).symlink_to(path)
            settings = Settings(home=tmp_path / "home", inbox=inbox, token_key="k", _env_file=None)
            contracts = ingestion.load_contracts(settings)
            ingestion.collect(settings, contracts, NOW)
            cutoffs = dict.fromkeys((contract.client for contract in contracts), datetime(2100, 1, 1))
            (verdict,) = ingestion.load(connection, settings, contracts, cutoffs, "test")
            return verdict, connection

        yield _load


@pytest.fixture(params=["excerpt", "whole"])
def birmingham(request) -> Path:
    folder = EXCERPTS if request.param == "excerpt" else shared("birmingham")
    return next(folder.glob("birmingham_*.csv.gz"))


@pytest.fixture(params=["excerpt", "whole"])
def sparkov(request) -> Path:
    folder = EXCERPTS if request.param == "excerpt" else shared("sparkov")
    return next(folder.glob("transactions_????H?.csv.gz"))


def test_purchase_cards_reconcile_to_the_cent(load, birmingham):
    """Catches twins that are merged, refunds with the wrong sign, and any record lost on the way."""
    theirs = list(records(birmingham))
    total = -sum(Decimal(record["amt"]) for record in theirs)
    verdict, connection = load(birmingham)
    assert (verdict.verdict, verdict.message) == ("loaded", "")
    assert (verdict.records, verdict.quarantined, verdict.amount_sum) == (len(theirs), 0, total)
    ours = connection.execute(
        "select count(*), sum(amount), count(distinct transaction_key), min(business_date)::varchar,"
        " max(business_date)::varchar, count(distinct customer_id) from raw.transactions"
    ).fetchone()
    dates = sorted(record["date"] for record in theirs)
    cards = {record["CARD NUMBER"] for record in theirs}
    assert ours == (len(theirs), total, len(theirs), dates[0], dates[-1], len(cards))


def test_one_card_file_fills_transactions_customers_and_labels(load, sparkov):
    """Catches a feed that is read from the wrong columns, or a person's number that is kept."""
    theirs = list(records(sparkov))
    total = -sum(Decimal(record["amt"]) for record in theirs)
    verdict, connection = load(sparkov)
    assert (verdict.records, verdict.quarantined, verdict.amount_sum) == (len(theirs), 0, total)
    one = connection.execute("select count(*), sum(amount) from raw.transactions").fetchone()
    assert one == (len(theirs), total)
    frauds = connection.execute(
        "select t.transaction_id from raw.labels as l join raw.transactions as t"
        " on t.transaction_key = l.entity_id where l.value = '1'"
    ).fetchall()
    assert {row[0] for row in frauds} == {r["trans_num"] for r in theirs if r["is_fraud"] == "1"}
    customers = connection.execute("select distinct customer_id from raw.customers").fetchall()
    assert {row[0] for row in customers} == {token(b"k", "sparkov", record["ssn"]) for record in theirs}
    kept = str(connection.execute("from raw.transactions limit 1000").fetchall())
    for personal in ("ssn", "cc_num", "acct_num"):
        assert not any(record[personal] in kept for record in theirs[:1000])
