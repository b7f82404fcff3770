"""Keys: what makes two records one transaction, and what a label names."""

from datetime import datetime

from tests.unit.ingestion.conftest import HEADER, line, lines, record

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


def test_a_source_whose_columns_change_keeps_one_key_for_one_transaction(bank):
    """Catches a transaction told twice because a later file has one column less, or in another order."""
    columns = bank.columns(transaction_id=None, city="town", remarks="unit")
    bank.contract(
        ignore=["id", "vat"],
        optional=["town", "unit"],
        feeds={"transactions": bank.transactions(key="occurrence", columns=columns)},
    )
    full = [record(n) for n in (1, 2, 3)]

    def text(rows):
        names = list(rows[0])
        return "\n".join([",".join(names), *(",".join(row[name] for name in names) for row in rows)])

    bank.file("tx_1.csv", text(full))
    bank.file("tx_2.csv", text([{"vat": "", **row, "unit": ""} for row in reversed(full)]))
    bank.file("tx_3.csv", text([{**row, "town": "", "unit": "Parks"} for row in full[:1]]))
    assert {verdict.verdict for verdict in bank.load().values()} == {"loaded"}
    assert bank.rows("select count(*), count(distinct transaction_key) from raw.transactions") == [(7, 4)]
