"""Columns: mapped, joined, optional, or kept as tokens."""

import hashlib
import hmac
from datetime import datetime

from tests.unit.ingestion.conftest import line, lines


def test_codes_defaults_maps_and_joined_columns(bank):
    """Catches a value that no report knows, and one that is dropped because a map lacks it."""
    columns = bank.columns(
        status={"column": "st", "map": {"P": "pending", "B": "posted"}},
        payment_mode={"column": "mode", "default": "card"},
        country={"constant": "GB"},
        event_at={"columns": ["day", "time"], "format": "%d/%m/%Y %H:%M"},
    )
    bank.contract(max_bad_share=0.9, feeds={"transactions": bank.transactions(columns=columns)})
    start = "c,4,01/02/2026,10:30,-1,a"
    rows = [f"1,{start},P,upi", f"2,{start},B,", f"3,{start},Z,upi", f"4,{start},P,barter"]
    bank.file("tx_1.csv", "id,customer,card,day,time,amount,text,st,mode\n" + "\n".join(rows) + "\n")
    bank.load()
    assert bank.rows(
        "select status, payment_mode, country, event_at from raw.transactions order by transaction_id"
    ) == [
        ("pending", "upi", "GB", datetime(2026, 2, 1, 10, 30)),
        ("posted", "card", "GB", datetime(2026, 2, 1, 10, 30)),
    ]
    assert [row[0] for row in bank.rows("select reason from raw.quarantine order by record")] == [
        "value is not in the map",
        "not one of card, upi, wallet, transfer, direct_debit, standing_order, cash, cheque, fee, interest",
    ]


def test_personal_values_are_tokens_everywhere_and_equal_a_keyed_hash(bank):
    """Catches a card number in the warehouse, in a message, or behind a hash that anybody can recompute."""
    bank.contract(max_bad_share=0.9)
    bank.file(
        "tx_1.csv", lines(line(1, card="4929123412341234"), line(2, card="4929123412341234", amount="x"))
    )
    verdict = bank.load()["tx_1.csv"]
    assert bank.rows("select card_token from raw.transactions") == [
        (hmac.new(b"test-key", b"bank\x1f4929123412341234", hashlib.sha256).hexdigest()[:32],)
    ]
    tables = bank.rows("select schema_name, table_name from duckdb_tables() where not temporary")
    everything = str([bank.rows(f"from {schema}.{table}") for schema, table in tables]) + verdict.message
    assert "4929123412341234" not in everything
    assert bank.rows("select count(*) from duckdb_tables() where temporary and table_name like 'typed%'") == [
        (0,)
    ]


def test_a_column_that_is_not_optional_must_be_there(bank):
    """Catches an optional column that makes every column optional."""
    bank.contract(optional=["text"])
    bank.file("tx_1.csv", "\n".join(record.rsplit(",", 2)[0] for record in lines(line(1)).splitlines()))
    assert "column amount · the column is missing" in bank.load()["tx_1.csv"].message
