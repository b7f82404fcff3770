"""Columns that no canonical feed has: typed, kept beside their feed, and wide tables without transactions."""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from nightledger import publications
from nightledger.ingestion import ContractError, business_days, create_tables, load_contracts
from nightledger.night import completion
from tests.unit.ingestion.conftest import Bank, line, lines

JOINED = "raw.transactions as t join raw.extra_transactions_cards as x using (client_id, _load_id, _record)"


def extra(bank: Bank, **columns: Any) -> dict[str, Any]:
    """Feeds of a contract whose transactions keep these extra columns."""
    return {"transactions": bank.transactions(extra=columns, columns=bank.columns(description=SHOP))}


SHOP = {"constant": "shop"}
TYPES: dict[str, tuple[str, dict[str, str], object]] = {
    "text": ("Gold", {}, "Gold"),
    "integer": ("9000000000", {}, 9_000_000_000),
    "money": ("12.50", {}, Decimal("12.5000")),
    "decimal": ("-9.6e-05", {}, Decimal("-0.0000960000000000")),
    "date": ("31/12/2025", {"format": "%d/%m/%Y"}, date(2025, 12, 31)),
    "timestamp": ("2026-06-01 12:00", {}, datetime(2026, 6, 1, 11, 0)),
    "boolean": ("Yes", {}, True),
}


@pytest.mark.parametrize("kind", TYPES)
def test_an_extra_column_has_its_type_and_joins_its_row(bank: Bank, kind: str) -> None:
    """Catches an extra column that is kept as text, or beside the wrong row."""
    text, form, value = TYPES[kind]
    bank.contract(feeds=extra(bank, tier={"column": "text", "type": kind, **form}))
    bank.file("tx_1.csv", lines(line(1, text=""), line(2, text=text)))
    bank.load()

    assert bank.rows(f"select transaction_id, tier from {JOINED} order by 1") == [("t1", None), ("t2", value)]


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("integer", "1.5", "not a whole number"),
        ("money", "1e5", "not a number with at most 14 digits before the decimal point"),
        ("money", "1.234", "more decimals than the currency has"),
        ("decimal", "1e99", "not a number with at most 22 digits before the decimal point"),
        ("boolean", "perhaps", "neither true nor false"),
        ("date", "0000-01-01", "not between the years 1900 and 2200"),
    ],
)
def test_an_error_in_an_extra_column_quarantines_its_record(
    bank: Bank, kind: str, text: str, reason: str
) -> None:
    """Catches a wrong value that becomes NULL without a word."""
    feeds = extra(bank, tier={"column": "text", "type": kind})
    bank.contract(feeds=feeds, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, text=""), line(2, text=text)))
    bank.load()

    assert bank.rows("select record, column_name, reason from raw.quarantine") == [(2, "text", reason)]
    assert bank.rows("select count(*) from raw.extra_transactions_cards") == [(1,)]


def test_extra_columns_are_no_part_of_the_key(bank: Bank) -> None:
    """Catches one transaction counted twice because one of two layouts also tells its branch."""
    plain = bank.transactions(key="occurrence", columns=bank.columns(transaction_id=None))
    bank.contract("old", files="old_*", ignore=["id"], feeds={"transactions": plain})
    bank.contract("new", files="new_*", feeds={"transactions": plain | {"extra": {"branch": "id"}}})
    bank.file("old_1.csv", lines(line(1)))
    bank.file("new_1.csv", lines(line(1)))
    bank.load()

    assert bank.rows("select count(*), count(distinct transaction_key) from raw.transactions") == [(2, 1)]
    assert bank.rows(f"select branch from {JOINED}") == [("t1",)]


def test_a_new_extra_column_joins_what_is_there(bank: Bank) -> None:
    """Catches a contract that can never get another column once its first file is loaded."""
    bank.contract(feeds=extra(bank, tier="text"))
    bank.file("tx_1.csv", lines(line(1, text="Gold")))
    bank.load()
    bank.contract(feeds=extra(bank, tier="text", again={"column": "text", "type": "boolean"}))
    bank.file("tx_2.csv", lines(line(2, text="true")))
    bank.load()

    assert bank.rows(f"select tier, again from {JOINED} order by 1") == [("Gold", None), ("true", True)]


def test_a_changed_type_refuses_the_file_until_it_is_mended(bank: Bank, golden: Any) -> None:
    """Catches a column whose old and new rows mean different things, or a night that stops for all."""
    bank.contract(feeds=extra(bank, tier="text"))
    bank.file("tx_1.csv", lines(line(1, text="1")))
    bank.load()
    bank.contract(feeds=extra(bank, tier={"column": "text", "type": "integer"}))
    bank.file("tx_2.csv", lines(line(2, text="2")))
    refused = bank.load()["tx_2.csv"]
    bank.contract(feeds=extra(bank, rank={"column": "text", "type": "integer"}))

    golden("refused_changed_type", refused.message)
    assert bank.load()["tx_2.csv"].verdict == "loaded"
    assert bank.rows(f"select tier, rank from {JOINED} order by 2") == [(None, 2), ("1", None)]


def test_a_personal_extra_column_is_a_token(bank: Bank) -> None:
    """Catches a name in clear text in a table beside the guarded one."""
    bank.contract(feeds=extra(bank, holder="text"), personal=["card", "text"])
    bank.file("tx_1.csv", lines(line(1, text="Ann Example")))
    bank.load()

    [(holder,)] = bank.rows("select holder from raw.extra_transactions_cards")
    assert len(holder) == 32 and "Ann" not in holder


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a canonical name": ({"amount": "text"}, "extra.amount: transactions has a column of that name"),
    "a name of ours": ({"known_at": "text"}, "extra.known_at: transactions has a column of that name"),
    "a name that hides from the hash": ({"_tier": "text"}, "extra._tier: write the name in small letters"),
    "a name with a quote": ({'t" integer); --': "text"}, "write the name in small letters"),
    "no such type": ({"tier": {"column": "text", "type": "float"}}, "extra.tier.type"),
    "a personal number": ({"pan": {"column": "card", "type": "integer"}}, "personal columns become tokens"),
    "a key": ({"tier": {"key_of": "transactions"}}, "extra.tier.key_of"),
    "an unknown format": ({"tier": {"column": "text", "type": "date", "format": "%Q"}}, "no format of dates"),
    "an unknown key": ({"tier": {"column": "text", "typ": "date"}}, "Did you mean type?"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_in_extra_names_its_key(bank: Bank, mistake: str) -> None:
    """Catches a mistake that would first be seen in the middle of a night."""
    columns, message = WRONG[mistake]
    bank.contract(feeds=extra(bank, **columns))

    with pytest.raises(ContractError) as error:
        load_contracts(bank.settings)
    assert message in str(error.value)


def test_a_source_that_is_no_name_cannot_have_extra_columns(bank: Bank) -> None:
    """Catches a table whose name is made of anything a contract says."""
    bank.contract(source='c" as select 1; --', feeds=extra(bank, tier="text"))

    with pytest.raises(ContractError, match="becomes part of a table's name"):
        load_contracts(bank.settings)


ATTRIBUTES = {
    "attributes": {
        "known_at": {"mode": "event", "lag": "1d"},
        "columns": {
            "entity": {"constant": "customer"},
            "entity_id": "customer",
            "business_date": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
        },
        "extra": {"limit_bal": {"column": "amount", "type": "money"}, "segment": "text"},
    }
}


def test_attributes_become_one_wide_table_a_source(bank: Bank) -> None:
    """Catches a public table without transactions that cannot be loaded, or is not counted."""
    bank.contract(feeds=ATTRIBUTES, ignore=["id", "card"], personal=[], max_bad_share=0.5)
    bank.file("tx_1.csv", lines(line(1), line(2, amount="x"), line(3, text="")))
    verdict = bank.load()["tx_1.csv"]

    assert (verdict.verdict, verdict.records, verdict.quarantined) == ("loaded", 3, 1)
    assert bank.rows(
        "select client_id, source, entity, entity_id, business_date, limit_bal, segment, known_at, _record"
        " from raw.attributes_cards order by _record"
    ) == [
        ("bank", "cards", "customer", "c1", date(2026, 1, 5), Decimal("-1.5"), "SHOP 1",
         datetime(2026, 1, 6), 1),
        ("bank", "cards", "customer", "c3", date(2026, 1, 5), Decimal("-3.5"), None,
         datetime(2026, 1, 6), 3),
    ]  # fmt: skip
    assert bank.rows("select feed, records, rows, quarantined from ops.load_feeds") == [
        ("attributes", 3, 2, 1)
    ]
    assert bank.rows("select * from ops.raw_tables") == [("attributes_cards", "attributes", "cards")]


def test_the_days_of_a_client_are_those_of_whatever_has_days(bank: Bank) -> None:
    """Catches a history without a first date for want of transactions, or one that ends before the labels."""
    create_tables(bank.connection)
    assert business_days(bank.connection) is None
    told = {
        "labels": {
            "known_at": {"mode": "event", "lag": "40d"},
            "columns": {
                "entity": {"constant": "customer"},
                "entity_id": "customer",
                "label": {"constant": "default"},
                "value": "text",
                "event_at": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
            },
        }
    }
    bank.contract(feeds=told, ignore=["id", "card", "amount"], personal=[])
    bank.file("tx_1.csv", lines(line(1)))
    bank.load()
    assert business_days(bank.connection) == (date(2026, 1, 5), date(2026, 1, 5))
    bank.contract(feeds=ATTRIBUTES | told, ignore=["id", "card"], personal=[])
    bank.file("tx_2.csv", lines(line(2, at="2026-01-03 10:00:00")))
    bank.load()
    assert business_days(bank.connection) == (date(2026, 1, 3), date(2026, 2, 14))


def test_a_publication_takes_the_tables_of_a_source_and_no_others(bank: Bank) -> None:
    """Catches a night that is refused because no dbt project can know the tables of every source."""
    bank.contract(feeds=extra(bank, tier="text"))
    bank.file("tx_1.csv", lines(line(1)))
    bank.load()
    build = bank.settings.builds
    tables = bank.rows("select table_name from duckdb_tables() where schema_name = 'raw' and not temporary")
    canonical = [name for (name,) in tables if name != "extra_transactions_cards"]
    sources = {name: {"schema": "raw", "identifier": name} for name in canonical}
    (build / "manifest.json").write_text(json.dumps({"nodes": {}, "sources": sources}))

    completion.settle_relations(bank.settings, None, build, bank.connection)
    bank.connection.execute("create table raw.extra_transactions_other (x integer)")
    with pytest.raises(publications.PublicationError, match="extra_transactions_other"):
        completion.settle_relations(bank.settings, None, build, bank.connection)
