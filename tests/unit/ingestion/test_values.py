"""Signs, decimals, times, keys, twins and tokens."""

import hashlib
import hmac
from datetime import date, datetime
from decimal import Decimal

import pytest

from .conftest import HEADER, line, lines


@pytest.mark.parametrize(
    ("sign", "header", "values", "expected"),
    [
        ({"mode": "signed"}, "amount", ["-1.00", "2.00"], ["-1", "2"]),
        ({"mode": "signed", "outflow": "positive"}, "amount", ["1.00", "-2.00"], ["-1", "2"]),
        (
            {"mode": "type_column", "column": "dc", "outflow": ["D"]},
            "amount,dc",
            ["1.00,D", "2.00,C"],
            ["-1", "2"],
        ),
        (
            {"mode": "debit_credit", "debit": "debit", "credit": "credit"},
            "debit,credit",
            ["1.00,", ",2.00"],
            ["-1", "2"],
        ),
    ],
)
def test_money_that_leaves_the_customer_is_negative(bank, sign, header, values, expected):
    """Catches income taken for spending, the costliest slip of all."""
    columns = bank.columns(amount=None if sign["mode"] == "debit_credit" else "amount", card_token=None)
    bank.contract(personal=[], feeds={"transactions": bank.transactions(sign=sign, columns=columns)})
    rows = [f"t{n},c1,2026-01-05 10:00:00,shop,{value}" for n, value in enumerate(values)]
    bank.file("tx_1.csv", f"id,customer,at,text,{header}\n" + "\n".join(rows) + "\n")
    assert bank.load()["tx_1.csv"].message == ""
    found = [row[0] for row in bank.rows("select amount from raw.transactions order by transaction_id")]
    assert found == [Decimal(value) for value in expected]


@pytest.mark.parametrize(
    ("currency", "amount", "is_good"),
    [("GBP", "1.23", True), ("GBP", "1.230", True), ("GBP", "1.234", False), ("JPY", "100", True),
     ("JPY", "100.5", False), ("KWD", "1.234", True), ("KWD", "1.2345", False),
     ("INR", "1.25", True), ("INR", "1.255", False), ("XXQ", "1", False)],
)  # fmt: skip
def test_an_amount_has_no_more_decimals_than_its_currency(bank, currency, amount, is_good):
    """Catches amounts that a cast would round in silence."""
    columns = bank.columns(currency="currency")
    bank.contract(max_bad_share=1.0, feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", f"{HEADER},currency\n{line(1, amount=amount)},{currency}\n")
    bank.load()
    assert bank.rows("select count(*) from raw.transactions") == [(1 if is_good else 0,)]


def test_local_times_become_utc_and_the_business_date_stays_local(bank):
    """Catches a purchase at half past midnight in July that lands on the day before, or an hour off."""
    bank.contract()
    bank.file(
        "tx_1.csv",
        lines(
            line(1, at="2026-07-01 00:30:00"),
            line(2, at="2026-01-01 00:30:00"),
            line(3, at="2026-03-29 01:30:00"),
            line(4, at="2026-10-25 01:30:00"),
        ),
    )
    bank.load()
    assert bank.rows(
        "select event_at, business_date, known_at from raw.transactions order by transaction_id"
    ) == [
        (datetime(2026, 6, 30, 23, 30), date(2026, 7, 1), datetime(2026, 7, 1, 23, 30)),
        (datetime(2026, 1, 1, 0, 30), date(2026, 1, 1), datetime(2026, 1, 2, 0, 30)),
        # 01:30 does not exist on the one night, and stands twice on the other: the later one is meant.
        (datetime(2026, 3, 29, 1, 30), date(2026, 3, 29), datetime(2026, 3, 30, 1, 30)),
        (datetime(2026, 10, 25, 1, 30), date(2026, 10, 25), datetime(2026, 10, 26, 1, 30)),
    ]


def test_a_date_is_never_shifted_by_a_time_zone(bank):
    """Catches date-only feeds that lose a day in summer."""
    columns = bank.columns(event_at=None, business_date={"column": "at", "format": "%Y-%m-%d %H:%M:%S"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", lines(line(1, at="2026-07-01 00:00:00")))
    bank.load()
    assert bank.rows("select event_at, business_date, known_at from raw.transactions") == [
        (None, date(2026, 7, 1), datetime(2026, 7, 1, 23, 0))
    ]


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ({"column": "at"}, "2026-07-01T10:00:00Z", datetime(2026, 7, 1, 10)),
        ({"column": "at"}, "2026-07-01T10:00:00+05:30", datetime(2026, 7, 1, 4, 30)),
        ({"column": "at"}, "2026-07-01 10:00:00", datetime(2026, 7, 1, 9)),
        ({"column": "at", "format": "unix"}, "1782900000", datetime(2026, 7, 1, 10)),
    ],
)
def test_times_with_an_offset_honour_it(bank, spec, text, expected):
    """Catches an offset that is read and then ignored."""
    bank.contract(feeds={"transactions": bank.transactions(columns=bank.columns(event_at=spec))})
    bank.file("tx_1.csv", lines(line(1, at=text)))
    assert bank.load()["tx_1.csv"].message == ""
    assert bank.rows("select event_at from raw.transactions") == [(expected,)]


@pytest.mark.parametrize(
    ("known_at", "file", "expected"),
    [
        ({"mode": "file_name", "pattern": r"tx_(\d{8})"}, "tx_20260107.csv", datetime(2026, 1, 7)),
        ({"mode": "manifest"}, "tx_1.csv", datetime(2026, 1, 6, 1)),
        (
            {"mode": "column", "column": "at", "format": "%Y-%m-%d %H:%M:%S"},
            "tx_1.csv",
            datetime(2026, 1, 5, 10),
        ),
        ({"mode": "event", "lag": "26h"}, "tx_1.csv", datetime(2026, 1, 6, 12)),
        ({"mode": "event", "lag": "1d", "from": "business_date"}, "tx_1.csv", datetime(2026, 1, 6)),
    ],
)
def test_known_at_comes_from_where_the_contract_says(bank, known_at, file, expected):
    """Catches rows that count as known before or after anybody knew them."""
    bank.contract(feeds={"transactions": bank.transactions(known_at=known_at)})
    manifest = {"known_at": "2026-01-06T01:00:00Z"} if known_at["mode"] == "manifest" else None
    bank.file(file, lines(line(1)), manifest)
    bank.load()
    assert bank.rows("select known_at from raw.transactions") == [(expected,)]


def test_a_closing_becomes_known_with_its_own_date(bank):
    """Catches a history load that tells the past who will leave."""
    feed = {
        "known_at": {"mode": "event", "lag": "1d"},
        "columns": {
            "customer_id": "id",
            "signed_up_on": {"column": "from", "format": "%Y-%m-%d"},
            "closed_on": {"column": "to", "format": "%Y-%m-%d"},
        },
    }
    bank.contract(personal=[], feeds={"customers": feed})
    bank.file("tx_1.csv", "id,from,to\nc1,2020-01-01,2025-12-31\nc2,2020-01-01,\n")
    bank.load()
    assert bank.rows("select customer_id, known_at, closed_known_at from raw.customers order by 1") == [
        ("c1", datetime(2020, 1, 2), datetime(2026, 1, 1)),
        ("c2", datetime(2020, 1, 2), None),
    ]


STAGED = """
    select description, min(known_at), count(*) from (
        select *, row_number() over (
            partition by transaction_key order by known_at, _load_id, _record) as copy
        from raw.transactions) where copy = 1 group by 1 order by 1
"""


def test_twins_stay_and_files_that_repeat_them_count_once(bank):
    """Catches two coffees counted as one, or one file counted twice because its bytes differ."""
    columns = bank.columns(
        transaction_id=None, event_at=None, business_date={"column": "at", "format": "%Y-%m-%d"}
    )
    bank.contract(
        ignore=["id"],
        feeds={
            "transactions": bank.transactions(
                key="occurrence",
                columns=columns,
                known_at={"mode": "file_name", "pattern": r"tx_(\d{8})"},
            )
        },
    )
    coffee = {"customer": "c1", "card": "4", "at": "2026-01-01", "amount": "-3.00", "text": "coffee"}
    tea = coffee | {"text": "tea"}
    bank.file("tx_20260102.csv", lines(line(1, **coffee), line(2, **tea), line(3, **coffee)))
    bank.file(
        "tx_20260103.csv", lines(line(9, **tea), line(8, **coffee), line(7, **coffee), line(6, **coffee))
    )
    bank.load()
    assert bank.rows("select count(*) from raw.transactions") == [(7,)]
    assert bank.rows(STAGED) == [
        ("coffee", datetime(2026, 1, 2), 3),
        ("tea", datetime(2026, 1, 2), 1),
    ]
    third = bank.rows(
        "select min(known_at) from raw.transactions where description = 'coffee' and _occurrence = 3"
    )
    assert third == [(datetime(2026, 1, 3),)], "the third coffee is known since the file that holds three"


def test_a_known_key_with_other_content_goes_to_quarantine(bank, golden):
    """Catches a changed amount that overwrites, or doubles, what was reported."""
    bank.contract(max_bad_share=0.6)
    bank.file("tx_1.csv", lines(line(1), line(2)))
    bank.load()
    bank.file("tx_2.csv", lines(line(1), line(2, amount="-99.00"), line(3), line(3), line(3, text="other")))
    verdict = bank.load()["tx_2.csv"]
    golden("known_key", verdict.message)
    assert bank.rows("select record, column_name, reason from raw.quarantine order by 1") == [
        (2, "id", "key already known with other content"),
        (5, "id", "key already known with other content"),
    ]
    assert bank.rows("select count(*), count(distinct transaction_key) from raw.transactions") == [(5, 3)]


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


def test_labels_name_the_transaction_of_their_record(bank):
    """Catches a fraud label on the wrong transaction."""
    labels = {
        "known_at": {"mode": "event", "lag": "7d"},
        "columns": {
            "entity": {"constant": "transaction"},
            "entity_id": {"key_of": "transactions"},
            "label": {"constant": "fraud"},
            "value": "fraud",
            "event_at": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
        },
    }
    bank.contract(max_bad_share=0.9, feeds={"transactions": bank.transactions(), "labels": labels})
    bank.file("tx_1.csv", f"{HEADER},fraud\n{line(1)},0\n{line(2)},1\n{line(3, amount='x')},1\n")
    bank.load()
    assert bank.rows(
        "select t.transaction_id, l.value from raw.labels as l join raw.transactions as t"
        " on t.transaction_key = l.entity_id order by 1"
    ) == [("t1", "0"), ("t2", "1")]
    assert bank.rows("select feed, reason from raw.quarantine order by 1") == [
        ("labels", "its transaction is in quarantine"),
        ("transactions", "not a number with at most 14 digits before the decimal point"),
    ]
