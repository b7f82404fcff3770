"""Odd but legal files, and files that are neither: numbers of records, line ends, JSON lines, leaks."""

import csv
import gzip
import io
import random
import zipfile
from datetime import datetime

import duckdb
import pytest

from .conftest import HEADER, line, lines
from .workbooks import workbook

SECRET = "4929-1111-2222-3333"


def independent_records(text: str, width: int) -> tuple[list[tuple[int, str]], list[int]]:
    """(record number, first field) of good records and numbers of bad ones, by Python's own reader."""
    good, bad = [], []
    records = [record for record in csv.reader(io.StringIO(text, newline="")) if record]
    for number, record in enumerate(records[1:], start=1):
        if len(record) == width:
            good.append((number, record[0]))
        else:
            bad.append(number)
    return good, bad


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("has_blanks", [False, True])
@pytest.mark.parametrize("name", ["tx_1.csv", "tx_1.csv.gz"])
def test_record_numbers_are_those_of_an_independent_reader(bank, end, has_blanks, name):
    """Catches numbers that slip after a line break in quotes, a broken record or a blank line."""
    bank.contract(max_bad_share=1.0)
    dice = random.Random(5)
    records = [HEADER]
    for number in range(2_000):
        start = f"t{number},c,4,2026-01-05 10:00:00,-1.00"
        text = dice.choice(["plain", f'"two{end}lines"', '"a ""quoted"" word"', f'"blank{end}{end}inside"'])
        records.append(dice.choice([f"{start},{text}"] * 20 + [start, f"{start},x,y"]))
        if has_blanks and dice.random() < 0.05:
            records.append("")
    content = (end if has_blanks else "") + end.join(records) + end
    bank.file(name, content)
    bank.load()
    good, bad = independent_records(content, 6)
    assert len(bad) > 50
    assert bank.rows("select _record, transaction_id from raw.transactions order by 1") == good
    assert bank.rows("select record from raw.quarantine order by 1") == [(number,) for number in bad]


@pytest.mark.parametrize("persons", [50, 40_000])
def test_record_numbers_hold_where_two_cores_read_and_most_cards_are_blank(bank, persons):
    """Catches a plan that changes the order of rows: a join of tokens, or of currencies."""
    columns = bank.transactions()["columns"] | {"counterparty_token": "card", "currency": "currency"}
    bank.contract(
        personal=["card", "customer"], feeds={"transactions": bank.transactions() | {"columns": columns}}
    )
    header = "id,customer,card,at,amount,text,currency"
    for part in range(2):
        records = (
            f"{part}.{n},c{n % persons},{n % 50 if n % 9 == 0 else ''},2026-01-05 10:00:00,-1.00,x,"
            f"{'GBP' if n % 3 else 'KWD'}"
            for n in range(1, 200_001)
        )
        bank.file(f"tx_{part}.csv", "\n".join([header, *records]) + "\n")
    bank.load()
    assert bank.rows("select count(*) from raw.transactions") == [(400_000,)]
    assert bank.rows(
        "select count(*) from raw.transactions where split_part(transaction_id, '.', 2)::bigint <> _record"
    ) == [(0,)]


def test_lines_that_end_in_several_ways_are_all_read(bank):
    """Catches a file put together from two systems that stops its whole batch."""
    bank.contract()
    bank.file("tx_1.csv", f"{HEADER}\r\n{line(1)}\n{line(2)}\r\n\n{line(3)}\n")
    bank.file("tx_2.csv", lines(line(10), line(11)))
    assert {verdict.verdict for verdict in bank.load().values()} == {"loaded"}
    assert bank.rows("select transaction_id, _record from raw.transactions order by _load_id, 2") in (
        [("t1", 1), ("t2", 2), ("t3", 3), ("t10", 1), ("t11", 2)],
        [("t10", 1), ("t11", 2), ("t1", 1), ("t2", 2), ("t3", 3)],
    )


def test_a_file_with_a_header_only_is_loaded_as_no_records(bank):
    """Catches a quiet day that is taken for damage."""
    bank.contract()
    bank.file("tx_1.csv", lines())
    verdict = bank.load()["tx_1.csv"]
    assert (verdict.verdict, verdict.records, verdict.message) == ("loaded", 0, "")


@pytest.mark.parametrize(
    ("case", "content"),
    {
        "half_a_character": lines(line(1, text="é")).encode()[:-2],
        "only_blank_lines": b"\xef\xbb\xbf\r\n\r\n",
        "open_quote": lines(line(1, text='"never closed'), *(line(n) for n in range(2, 9))).encode(),
    }.items(),
)
def test_what_is_no_table_of_records_is_refused(bank, golden, case, content):
    """Catches damage that loads half a file."""
    bank.contract()
    bank.file("tx_1.csv", content)
    bank.file("tx_2.csv", lines(line(100)))
    verdicts = bank.load()
    assert (verdicts["tx_1.csv"].verdict, verdicts["tx_2.csv"].verdict) == ("refused", "loaded")
    golden(f"refused_{case}", verdicts["tx_1.csv"].message)
    assert bank.rows("select transaction_id from raw.transactions") == [("t100",)]


def test_a_file_of_another_kind_is_called_by_its_kind(bank, golden, tmp_path):
    """Catches `not text` said of a workbook named .csv or an archive, which nobody could act upon."""
    bank.contract()
    text = lines(line(1))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("tx_1.csv", text)
    duckdb.sql("select 't1' as id").write_parquet(str(tmp_path / "table"))
    bank.file("tx_archive.zip", archive.getvalue())
    bank.file("tx_workbook.csv", workbook({"Jan": [["id"], ["t1"]]}))
    bank.file("tx_old_workbook.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    bank.file("tx_parquet.csv", (tmp_path / "table").read_bytes())
    bank.file("tx_paper.csv", b"%PDF-1.7\n")
    bank.file("tx_packed.csv", gzip.compress(text.encode()))
    bank.file("tx_loud.csv.GZ", gzip.compress(lines(line(2)).encode()))
    verdicts = bank.load()
    assert verdicts.pop("tx_loud.csv.GZ").verdict == "loaded"
    assert {verdict.verdict for verdict in verdicts.values()} == {"refused"}
    golden("kinds", "\n".join(sorted(verdict.message for verdict in verdicts.values())))


def test_max_bad_share_refuses_what_is_above_it_and_not_what_is_at_it(bank, golden):
    """Catches a limit that is off by one record."""
    bank.contract(max_bad_share=0.02)
    for name, first, bad in (("tx_at.csv", 0, 2), ("tx_above.csv", 1000, 3)):
        records = [line(first + n, **({"amount": "many"} if n < bad else {})) for n in range(100)]
        bank.file(name, lines(*records))
    verdicts = bank.load()
    assert {name: (v.verdict, v.records, v.quarantined) for name, v in verdicts.items()} == {
        "tx_at.csv": ("loaded", 100, 2),
        "tx_above.csv": ("refused", 100, 3),
    }
    golden("max_bad_share", verdicts["tx_above.csv"].message)


def test_a_refused_file_has_no_say_about_the_keys_of_others(bank):
    """Catches good records in quarantine because a refused file told their keys first."""
    bank.contract()
    bank.file("tx_1.csv", lines(line(1, text="OTHER"), line(2, amount="x")))
    bank.file("tx_2.csv", lines(line(1)))
    verdicts = bank.load()
    assert {v.file: (v.verdict, v.quarantined) for v in verdicts.values()} == {
        "tx_1.csv": ("refused", 1),
        "tx_2.csv": ("loaded", 0),
    }


def test_a_record_without_its_natural_key_is_bad(bank):
    """Catches all records without an id counted as one transaction."""
    bank.contract(max_bad_share=0.9)
    bank.file("tx_1.csv", lines(line(1), line(2, id=""), line(3, id="")))
    bank.load()
    assert bank.rows("select record, column_name, reason from raw.quarantine order by 1") == [
        (2, "id", "mandatory value is missing"),
        (3, "id", "mandatory value is missing"),
    ]


def test_feeds_of_one_file_may_be_known_at_different_times(bank):
    """Catches customers in quarantine because the transactions beside them have times of their own."""
    customers = {"known_at": "arrival", "columns": {"customer_id": "customer"}}
    bank.contract(feeds={"transactions": bank.transactions(), "customers": customers})
    bank.file("tx_1.csv", lines(line(1)))
    assert bank.load(now=datetime(2026, 2, 1))["tx_1.csv"].message == ""
    assert bank.rows("select known_at from raw.customers") == [(datetime(2026, 2, 1),)]
    assert bank.rows("select known_at from raw.transactions") == [(datetime(2026, 1, 6, 10),)]


def test_a_corrected_manifest_gives_a_refused_file_another_try(bank):
    """Catches a file that stays refused although the sender mended what was wrong."""
    bank.contract(totals="manifest")
    bank.file("tx_1.csv", lines(line(1)), {"rows": 2})
    assert bank.load()["tx_1.csv"].verdict == "refused"
    bank.file("tx_1.csv", lines(line(1)), {"rows": 1})
    assert bank.load()["tx_1.csv"].verdict == "loaded"
    assert bank.rows("select verdict from ops.loads") == [("loaded",)]


def test_half_a_manifest_is_waited_for(bank):
    """Catches a night that dies while the sender still writes."""
    bank.contract(totals="manifest")
    path = bank.file("tx_1.csv", lines(line(1)), {"rows": 1})
    path.with_name("tx_1.csv.manifest.json").write_text('{"rows": ')
    assert bank.load() == {}
    assert bank.report.waiting == ["tx_1.csv"]


@pytest.mark.parametrize(
    ("case", "manifest"),
    {
        "no_rows": {"sum": "1.00"},
        "sum_in_words": {"rows": 1, "sum": "much"},
        "wrong_sum": {"rows": 1, "sum": "-1000.00"},
        "wrong_rows": {"rows": 2, "sum": "-1.50"},
    }.items(),
)
def test_totals_that_do_not_agree_refuse_the_file_naming_both(bank, golden, case, manifest):
    """Catches a file that lost records on its way."""
    bank.contract(totals="manifest")
    bank.file("tx_1.csv", lines(line(1)), manifest)
    verdict = bank.load()["tx_1.csv"]
    assert verdict.verdict == "refused"
    golden(f"totals_{case}", verdict.message)


def test_a_sum_that_cannot_be_verified_is_reported(bank, golden):
    """Catches a check that silently did not take place."""
    bank.contract(totals="manifest", max_bad_share=0.5)
    bank.file("tx_1.csv", lines(line(1), line(2, amount="x")), {"rows": 2, "sum": "-4.00"})
    golden("totals_unverifiable", bank.load()["tx_1.csv"].message)


JSON = {"files": "*.jsonl", "format": {"type": "jsonl"}, "personal": []}
GOOD = (
    '{"id": "%s", "customer": "c", "card": "4", "at": "2026-01-05 10:00:00",'
    ' "amount": 12.50, "text": "x\\ny"}'
)


def test_json_lines_are_numbered_and_judged_line_by_line(bank):
    """Catches broken JSON that hides its neighbours or shifts their numbers."""
    bank.contract(max_bad_share=1.0, **JSON)
    text = [GOOD % "t1", '{"id": ', "", "[1]", GOOD % "t4" + GOOD % "t5", '{"id": "t5"}', GOOD % "t6"]
    bank.file("a.jsonl", "\ufeff" + "\r\n".join(text) + "\r\n")
    assert bank.load()["a.jsonl"].records == 6
    assert bank.rows(
        "select _record, transaction_id, amount::varchar, description from raw.transactions order by 1"
    ) == [(1, "t1", "12.5000", "x\ny"), (6, "t6", "12.5000", "x\ny")]
    assert bank.rows("select record, column_name, reason from raw.quarantine order by 1") == [
        (2, None, "not a JSON object"),
        (3, None, "not a JSON object"),
        (4, None, "not a JSON object"),
        (5, "customer", "mandatory value is missing"),
    ]


@pytest.mark.parametrize(
    ("case", "text"),
    {
        "missing": (GOOD % "t1").replace("amount", "amt"),
        "unknown": GOOD[:-1] % "t1" + ', "iban": "x"}',
    }.items(),
)
def test_json_lines_with_a_wrong_name_are_refused(bank, golden, case, text):
    """Catches a renamed field that turns into NULLs."""
    bank.contract(**JSON)
    bank.file("a.jsonl", text + "\n")
    golden(f"json_{case}_name", bank.load()["a.jsonl"].message)


def test_an_optional_name_may_be_absent_from_all_json_lines(bank):
    """Catches sources that leave out what is empty being refused on a day on which all of it is."""
    feed = bank.transactions(columns=bank.columns(remarks="note"))
    bank.contract(feeds={"transactions": feed}, **JSON)
    bank.file("a.jsonl", GOOD % "t1")
    assert bank.load()["a.jsonl"].message == ""


def test_no_message_log_table_or_file_shows_a_personal_value(bank, caplog):
    """Catches a card number that leaves the landing area by way of a message, a log or the warehouse."""
    bank.contract(max_bad_share=1.0)
    records = [line(1, card=SECRET), line(2, card=SECRET, amount=SECRET), line(3, card=SECRET) + ",x"]
    bank.file("tx_1.csv", lines(*records))
    with caplog.at_level("DEBUG"):
        verdict = bank.load()["tx_1.csv"]
    shown = [verdict.message, caplog.text]
    for schema, table in bank.rows("select schema_name, table_name from duckdb_tables()"):
        shown.append(str(bank.rows(f'from "{schema}"."{table}"')))
    assert SECRET not in "".join(shown)
    bank.connection.execute("checkpoint warehouse")
    for file in bank.settings.builds.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_names_of_files_cannot_leave_the_landing_area_or_break_a_message(bank):
    """Catches path tricks and control characters in names."""
    bank.contract(files="*tx_*")
    bank.file("..%2f..tx_\n\x1b[31m.csv", "")
    (verdict,) = bank.load().values()
    assert verdict.message.isprintable()
    landed = [path for path in bank.settings.landing.rglob("*") if path.is_file()]
    assert len(landed) == 2
    assert all(path.name.isprintable() and not path.name.startswith(".") for path in landed)


def test_a_file_that_does_not_say_when_it_was_known_is_refused(bank, golden):
    """Catches rows whose time of being known is guessed."""
    feed = bank.transactions(known_at={"mode": "file_name", "pattern": r"tx_(\d{8})"})
    bank.contract(feeds={"transactions": feed})
    bank.file("tx_20260230.csv", lines(line(1)))
    bank.file("tx_20260228.csv", lines(line(2)))
    verdicts = bank.load()
    assert verdicts["tx_20260228.csv"].verdict == "loaded"
    golden("refused_unknown_time", verdicts["tx_20260230.csv"].message)


def test_debit_and_credit_are_both_judged(bank):
    """Catches an amount that passes because the other column of its record is good."""
    feed = bank.transactions(
        columns=bank.columns(amount=None, card_token=None),
        sign={"mode": "debit_credit", "debit": "out", "credit": "in"},
    )
    bank.contract(personal=[], max_bad_share=1.0, feeds={"transactions": feed})
    start = "2026-01-05 10:00:00,shop"
    records = ["t1,c,{},5.00,0.00", "t2,c,{},1.234,0.00", "t3,c,{},,x", "t4,c,{},,"]
    text = "\n".join(record.format(start) for record in records)
    bank.file("tx_1.csv", f"id,customer,at,text,out,in\n{text}\n")
    bank.load()
    assert bank.rows("select transaction_id, amount::varchar from raw.transactions") == [("t1", "-5.0000")]
    assert bank.rows("select record, column_name, reason from raw.quarantine order by 1") == [
        (2, "out", "more decimals than the currency has"),
        (3, "in", "not a number with at most 14 digits before the decimal point"),
        (4, "out/in", "mandatory value is missing"),
    ]


def test_a_decimal_comma_is_read_and_checked(bank):
    """Catches 1.234,56 read as one and a quarter, or refused."""
    bank.contract(max_bad_share=1.0, format={"type": "csv", "delimiter": ";", "decimal": ","})
    records = [line(n, amount="{}").replace(",", ";") for n in (1, 2)]
    text = "\n".join(
        record.format(amount) for record, amount in zip(records, ["-1.234,56", "-1,234"], strict=True)
    )
    bank.file("tx_1.csv", f"{HEADER.replace(',', ';')}\n{text}\n")
    bank.load()
    assert bank.rows("select amount::varchar from raw.transactions") == [("-1234.5600",)]
    assert bank.rows("select reason from raw.quarantine") == [("more decimals than the currency has",)]


def test_blank_persons_leave_records_in_their_order(bank):
    """Catches record numbers that slip because rows without a person come out of a join behind the others."""
    bank.contract()
    bank.file("tx_1.csv", lines(*[line(n, **({"card": ""} if n % 3 else {})) for n in range(1, 3_000)]))
    assert bank.load()["tx_1.csv"].verdict == "loaded"
    assert bank.rows("select count(*) from raw.transactions where amount <> - _record - 0.5") == [(0,)]
