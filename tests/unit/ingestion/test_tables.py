"""Texts in other encodings and frames, JSON arrays, Parquet: all become the same records."""

import codecs
import gzip
import io
import json
import random
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightledger.ingestion.formats.transcoding import WithoutHalves

from .conftest import HEADER, Bank, line, lines


def only(bank: Bank, name="tx_1.csv"):
    """The verdict on the one file, loaded without a message."""
    verdict = bank.load()[name]
    assert (verdict.verdict, verdict.message) == ("loaded", "")
    return verdict


# --- encodings


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "CAFÉ “LE 5€”"),
        ("cp1251", "КАФЕ"),
        ("utf-16", "CAFÉ 東京 😀"),
        ("utf-16-le", "CAFÉ 東京 😀"),
        ("utf-16-be", "CAFÉ 東京 😀"),
        ("utf-8", "CAFÉ 東京 😀"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "json"])
def test_a_text_comes_in_from_its_encoding_letter_by_letter(bank, encoding, text, ending):
    """Catches a descriptor that becomes other letters, and a mark of byte order read as part of a name."""
    kind = ending.removesuffix(".gz")
    bank.contract(format={"type": kind, "encoding": encoding})
    records = [line(n, text=text) for n in range(1, 4)]
    content = lines(*records)
    if kind != "csv":
        objects = [dict(zip(HEADER.split(","), record.split(","), strict=True)) for record in records]
        content = "\n".join(json.dumps(one, ensure_ascii=False) for one in objects)
        content = f"[{','.join(content.splitlines())}]" if kind == "json" else content
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be", "utf-8") else ""
    data = (mark + content.replace("\n", "\r\n")).encode(encoding)
    bank.file(f"tx_1.{ending}", gzip.compress(data) if ending.endswith("gz") else data)
    assert only(bank, f"tx_1.{ending}").records == 3
    found = bank.rows("select distinct description from raw.transactions")
    assert found == [(text,)]


@pytest.mark.parametrize(
    ("name", "encoding", "content"),
    [
        ("not_cp1252", "cp1252", lines(line(1)).encode() + b"t2,\x81,\n"),
        ("utf8_as_cp1252", "cp1252", lines(line(1, text="CAFÉ")).encode()),
        ("marked_utf8_as_cp1252", "cp1252", codecs.BOM_UTF8 + lines(line(1)).encode()),
        ("utf16_as_cp1252", "cp1252", lines(line(1)).encode("utf-16")),
        ("unmarked_utf16", "utf-16", lines(line(1)).encode("utf-16-le")),
        ("half_utf16", "utf-16-be", lines(line(1)).encode("utf-16-be")[:-1]),
        ("broken_utf16", "utf-16-le", lines(line(1)).encode("utf-16-le") + b"\x00\xdc\x00\xdc"),
        ("utf16_as_utf8", "utf-8", lines(line(1)).encode("utf-16")),
        ("control_in_utf16", "utf-16", lines(line(1, text="a\x1fb")).encode("utf-16")),
        ("blank_utf16", "utf-16", "\r\n\r\n".encode("utf-16")),
    ],
)
def test_a_text_in_another_encoding_is_refused_with_the_place(bank, golden, name, encoding, content):
    """Catches descriptors that are quietly other letters for years."""
    bank.contract(format={"type": "csv", "encoding": encoding})
    bank.file("tx_1.csv", content)
    verdict = bank.load()["tx_1.csv"]
    assert verdict.verdict == "refused"
    golden(f"encoding_{name}", verdict.message)


# --- rows that are no records


def test_only_records_come_in_from_a_framed_text(bank):
    """Catches titles, subtotals and feet that count, and a quote in a title that swallows the file."""
    bank.contract(
        format={
            "type": "csv",
            "header_row": 4,
            "footer_rows": 1,
            "not_records": {"id": "Subtotal.*", "customer": "-+"},
        }
    )
    framed = ['Statement of "Cards', "", "printed for Ann", HEADER, line(1), "", "Subtotal 1,,,,-1.50,"]
    framed += [line(2, text='"two', customer="c2") + '\nlines"', "x,---,,,,", line(3), "", "Goodbye", ""]
    bank.file("tx_1.csv", "\r\n".join(framed))
    assert only(bank).records == 3
    found = bank.rows("select transaction_id, _record, description from raw.transactions order by 2")
    assert found == [("t1", 1, "SHOP 1"), ("t2", 2, "two\nlines"), ("t3", 3, "SHOP 3")]


@pytest.mark.parametrize("quote", ['"', ""])
def test_a_text_without_names_gets_those_of_the_contract(bank, quote):
    """Catches the first payment of a file that is taken for its header."""
    form = {"type": "csv", "delimiter": "|", "header_row": 0, "names": HEADER.split(","), "quote": quote}
    bank.contract(format=form)
    bank.file("tx_1.csv", "\n".join(line(n).replace(",", "|") for n in (1, 2)))
    assert only(bank).records == 2
    assert bank.rows("select min(_record), max(_record) from raw.transactions") == [(1, 2)]


def test_a_bad_record_of_a_framed_text_is_quarantined_with_its_number(bank):
    """Catches a copy that mends what should be set aside, or numbers that count rows above the names."""
    bank.contract(format={"type": "csv", "header_row": 2, "footer_rows": 1}, max_bad_share=0.5)
    bank.file("tx_1.csv", "\n".join(["Title", HEADER, line(1), "t2,too,few", line(3), "Total"]))
    assert bank.load()["tx_1.csv"].quarantined == 1
    assert bank.rows("select record, reason from raw.quarantine") == [(2, "too few fields")]


def test_an_endless_record_of_a_framed_text_is_refused(bank, golden):
    """Catches a quote that is never closed and fills the memory, because the foot is looked for."""
    bank.contract(format={"type": "csv", "footer_rows": 1})
    filler = ("x" * 1000 + "\n") * (17 << 10)
    bank.file("tx_1.csv", lines(line(1)) + '"open' + filler)
    golden("open_quote_in_a_framed_text", bank.load()["tx_1.csv"].message)


# --- totals in the file

TRAILER = r"TRAILER;(?P<rows>[^;]*);(?P<sum>[^;]*)"


@pytest.mark.parametrize(
    ("name", "trailer", "comma"),
    [
        ("", "TRAILER;2;-4.00", False),
        ("", "TRAILER;2;-4,00", True),
        ("missing", "", False),
        ("wrong_rows", "TRAILER;3;-4.00", False),
        ("wrong_sum", "TRAILER;2;-4.01", False),
        ("words", "TRAILER;2;four", False),
        ("no_number_of_rows", "TRAILER;two;-4.00", False),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_trailer_is_held_against_the_records(bank, golden, name, trailer, comma, kind):
    """Catches a file that was cut off, or whose amounts changed, and a trailer that is read as a record."""
    form = {"type": kind, "trailer": TRAILER} | ({"decimal": ","} if comma else {})
    bank.contract(format=form | ({"delimiter": ";"} if kind == "csv" else {}), totals="trailer")
    records = [line(n).split(",") for n in (1, 2)]
    if comma:
        records = [[text.replace(".", ",") for text in record] for record in records]
    names = HEADER.split(",")
    rows = [";".join(record) for record in [names, *records]]
    if kind == "jsonl":
        rows = [json.dumps(dict(zip(names, record, strict=True))) for record in records]
    bank.file("tx_1.txt", "\n".join([*rows, trailer]) + "\n")
    verdict = bank.load()["tx_1.txt"]
    if name:
        assert verdict.verdict == "refused"
        golden(f"trailer_{name}", verdict.message)
    else:
        assert (verdict.verdict, verdict.message, verdict.amount_sum) == ("loaded", "", Decimal(-4))


def test_a_trailer_of_five_thousand_digits_is_no_number_of_records(bank):
    """Catches a number that Python refuses to read, and with it every file of the night."""
    bank.contract(format={"type": "csv", "trailer": r"TOTAL,(?P<rows>.*)"}, totals="trailer")
    bank.file("tx_1.txt", "\n".join([HEADER, line(1), f"TOTAL,{'9' * 5000}"]) + "\n")
    bank.file("tx_2.txt", "\n".join([HEADER, line(2), "TOTAL,1"]) + "\n")
    verdicts = bank.load()
    assert "does not state how many records there are" in verdicts["tx_1.txt"].message
    assert verdicts["tx_2.txt"].verdict == "loaded"


def test_a_trailers_sum_is_unverifiable_when_an_amount_cannot_be_read(bank, golden):
    """Catches a file refused for its sum although one bad record explains the difference."""
    form = {"type": "csv", "trailer": r"TOTAL,(?P<sum>.*)"}
    bank.contract(format=form, totals="trailer", max_bad_share=0.5)
    bank.file("tx_1.csv", lines(line(1), line(2, amount="two"), line(3), "TOTAL,-7.50"))
    golden("trailer_unverifiable", bank.load()["tx_1.csv"].message)


# --- numbers


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ({"thousands": ","}, "-1,234,567.89", "-1234567.89"),
        ({"thousands": ","}, "1234.5", "1234.5"),
        ({"thousands": ","}, "12,34", None),
        ({"thousands": ","}, "1,2345", None),
        ({"thousands": ","}, ",123", None),
        ({"thousands": ","}, "1,234,56.00", None),
        ({"thousands": ","}, "12,34,567.00", None),
        ({"thousands": " "}, "12 345.67", "12345.67"),
        ({"thousands": " "}, "12\u202f345.67", "12345.67"),
        ({"thousands": " "}, "12\u00a0345\u00a0678", "12345678"),
        ({"thousands": " "}, "12 345\u00a0678", None),
        ({"thousands": " "}, "1 2", None),
        ({"thousands": "'"}, "12'345.67", "12345.67"),
        ({"thousands": "'"}, "12’345.67", "12345.67"),
        ({"thousands": ".", "decimal": ","}, "1.234,56", "1234.56"),
        ({"thousands": ".", "decimal": ","}, "1.5", None),
        ({"thousands": " ", "decimal": ","}, "-1 234,56", "-1234.56"),
        ({"thousands": " ", "decimal": ","}, "1.234,56", None),
        ({"decimal": ","}, "1.234,56", "1234.56"),
        ({}, "1,234.56", None),
        ({}, "1e3", None),
    ],
)
def test_marks_of_thousands_stand_between_whole_groups_only(bank, form, text, expected):
    """Catches a misread decimal point that makes an amount a hundred times too large."""
    bank.contract(format={"type": "csv", "delimiter": ";"} | form, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, amount="@")).replace(",", ";").replace("@", text))
    bank.load()
    found = bank.rows("select amount from raw.transactions")
    assert found == ([(Decimal(expected),)] if expected else [])


@pytest.mark.parametrize(
    ("currency", "text", "is_good"),
    [
        ("KWD", "1.234,567", True),
        ("KWD", "0,0010", True),
        ("KWD", "0,0001", False),
        ("EUR", "1,230", True),
        ("EUR", "1,234", False),
        ("JPY", "1.500", True),
        ("JPY", "1,5", False),
        ("CLF", "1,2345", True),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(bank, currency, text, is_good):
    """Catches fils that are cut off, and thousandths of a cent that nobody can have paid."""
    form = {"type": "csv", "delimiter": ";", "decimal": ",", "thousands": "."}
    bank.contract(format=form, currency=currency, max_bad_share=1)
    bank.file("tx_1.csv", lines(line(1, amount="@")).replace(",", ";").replace("@", text))
    bank.load()
    reasons = bank.rows("select reason from raw.quarantine")
    assert reasons == ([] if is_good else [("more decimals than the currency has",)])


# --- which way money went


def test_a_word_that_is_neither_in_nor_out_is_quarantined(bank, golden):
    """Catches a new word of the sender that turns payments into income."""
    sign = {"mode": "type_column", "column": "text", "outflow": ["D"], "inflow": ["C"]}
    columns = bank.columns(description={"constant": "x"})
    bank.contract(feeds={"transactions": bank.transactions(sign=sign, columns=columns)}, max_bad_share=0.5)
    bank.file("tx_1.csv", lines(*(line(n, text=word) for n, word in enumerate("DCDR", 1))))
    golden("neither_inflow_nor_outflow", bank.load()["tx_1.csv"].message)
    assert bank.rows("select amount from raw.transactions order by _record") == [
        (Decimal("-1.5"),),
        (Decimal("2.5"),),
        (Decimal("-3.5"),),
    ]


def test_debits_and_credits_may_have_decimal_commas_and_thousands(bank):
    """Catches a credit subtracted, a debit with its own minus added, and an empty column read as a zero."""
    sign = {"mode": "debit_credit", "debit": "amount", "credit": "text"}
    columns = bank.columns(amount=None, description={"constant": "x"})
    bank.contract(
        format={"type": "csv", "delimiter": ";", "decimal": ",", "thousands": "."},
        feeds={"transactions": bank.transactions(sign=sign, columns=columns)},
    )
    pairs = [("1.234,56", ""), ("-0,50", ""), ("", "2.000,00"), ("1,00", "3,00")]
    records = [line(n, amount="@", text="#") for n in range(len(pairs))]
    texts = [
        record.replace(",", ";").replace("@", debit).replace("#", credit)
        for record, (debit, credit) in zip(records, pairs, strict=True)
    ]
    bank.file("tx_1.csv", "\n".join([HEADER.replace(",", ";"), *texts]))
    only(bank)
    found = [str(amount) for (amount,) in bank.rows("select amount from raw.transactions order by _record")]
    assert found == ["-1234.5600", "-0.5000", "2000.0000", "2.0000"]


# --- times


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M:%S", None])
@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/London", "2026-03-29 00:59:59", "2026-03-29 00:59:59"),
        ("Europe/London", "2026-03-29 01:30:00", "2026-03-29 01:30:00"),  # stands nowhere: 02:30 in summer
        ("Europe/London", "2026-03-29 02:00:00", "2026-03-29 01:00:00"),
        ("Europe/London", "2025-10-26 00:59:59", "2025-10-25 23:59:59"),
        ("Europe/London", "2025-10-26 01:30:00", "2025-10-26 01:30:00"),  # stands twice: the later one
        ("Europe/London", "2025-10-26 02:00:00", "2025-10-26 02:00:00"),
        ("Africa/Cairo", "2024-04-26 00:30:00", "2024-04-25 22:30:00"),  # midnight stands nowhere
        ("Asia/Kolkata", "2026-01-05 00:30:00", "2026-01-04 19:00:00"),
    ],
)
def test_a_local_time_is_read_through_the_hour_that_is_skipped_or_stands_twice(
    bank, zone, local, utc, pattern
):
    """Catches a payment lost, or moved to another day, in the night when the clocks change."""
    columns = bank.columns(event_at={"column": "at"} | ({"format": pattern} if pattern else {}))
    bank.contract(timezone=zone, feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", lines(line(1, at=local)))
    only(bank)
    assert bank.rows("select event_at::varchar, business_date::varchar from raw.transactions") == [
        (utc, local[:10])
    ]


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "Pacific/Kiritimati", "UTC"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_day_is_never_shifted_by_a_time_zone(bank, zone, ending):
    """Catches payments booked on the day before because a date was taken for its midnight."""
    columns = bank.columns(event_at=None, business_date="at")
    bank.contract(
        format={"type": ending}, timezone=zone, feeds={"transactions": bank.transactions(columns=columns)}
    )
    days = [date(2026, 3, 29), date(2025, 10, 26), date(2026, 1, 1)]
    records = [line(n, at=str(day)) for n, day in enumerate(days)]
    content: str | bytes = lines(*records)
    if ending == "parquet":
        table = pa.Table.from_pylist(
            [dict(zip(HEADER.split(","), record.split(","), strict=True)) for record in records]
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table.set_column(3, "at", pa.array(days)), sink)
        content = sink.getvalue().to_pybytes()
    bank.file(f"tx_1.{ending}", content)
    only(bank, f"tx_1.{ending}")
    assert bank.rows("select business_date from raw.transactions order by _record") == [(d,) for d in days]


# --- columns that come and go


def test_a_source_whose_columns_change_keeps_one_key_for_one_transaction(bank):
    """Catches a transaction told twice because a later file has one column less, or in another order."""
    columns = bank.columns(transaction_id=None, city="town", remarks="unit")
    bank.contract(
        ignore=["id", "vat"],
        optional=["town", "unit"],
        feeds={"transactions": bank.transactions(key="occurrence", columns=columns)},
    )
    full = [dict(zip(HEADER.split(","), line(n).split(","), strict=True)) for n in (1, 2, 3)]

    def text(rows):
        names = list(rows[0])
        return "\n".join([",".join(names), *(",".join(row[name] for name in names) for row in rows)])

    bank.file("tx_1.csv", text(full))
    bank.file("tx_2.csv", text([{"vat": "", **row, "unit": ""} for row in reversed(full)]))
    bank.file("tx_3.csv", text([{**row, "town": "", "unit": "Parks"} for row in full[:1]]))
    assert {verdict.verdict for verdict in bank.load().values()} == {"loaded"}
    assert bank.rows("select count(*), count(distinct transaction_key) from raw.transactions") == [(7, 4)]


def test_a_column_that_is_not_optional_must_be_there(bank):
    """Catches an optional column that makes every column optional."""
    bank.contract(optional=["text"])
    bank.file("tx_1.csv", "\n".join(record.rsplit(",", 2)[0] for record in lines(line(1)).splitlines()))
    assert "column amount · the column is missing" in bank.load()["tx_1.csv"].message


# --- JSON arrays


def record(number, **changes):
    names = HEADER.split(",")
    return dict(zip(names, line(number).split(","), strict=True)) | changes


def test_an_array_of_nested_objects_comes_in_exactly(bank):
    """Catches amounts that go through binary numbers, and nested names that collide or get lost."""
    columns = bank.columns(city="where.city", amount="money.value", remarks="tags", latitude="lat")
    bank.contract(
        format={"type": "json", "records": "data.transactions"},
        ignore=["money.currency", "amount"],
        feeds={"transactions": bank.transactions(columns=columns)},
    )
    plain = {k: v for k, v in record(1).items() if k != "amount"}
    content = json.dumps(
        {"data": {"page": {"transactions": 1}, "transactions": ["@1", "@2"]}, "total": 2}, indent=1
    )
    first = plain | {"where": {"city": "Paris"}, "tags": ["a", {"b": 1.50}, []], "lat": 1.5e1}
    second = record(2, amount=None) | {"money": {"value": "-0.1", "currency": None}, "tags": None}
    texts = [json.dumps(first)[:-1] + ', "money": {"value": 12345678901234.5670}}', json.dumps(second)]
    texts[0] = texts[0].replace("1.5,", "1.50,").replace("1.5}", "1.50}")
    for number, text in enumerate(texts, 1):
        content = content.replace(f'"@{number}"', text)
    bank.contract(
        format={"type": "json", "records": "data.transactions"},
        currency="CLF",
        ignore=["money.currency", "amount"],
        feeds={"transactions": bank.transactions(columns=columns)},
    )
    bank.file("tx_1.json", content)
    only(bank, "tx_1.json")
    assert bank.rows("select amount, city, remarks, latitude from raw.transactions order by _record") == [
        (Decimal("12345678901234.5670"), "Paris", '["a",{"b":1.50},[]]', Decimal(15)),
        (Decimal("-0.1"), None, None, None),
    ]


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("no_array", '{"data": {"rows": [1]}}', "data.transactions"),
        ("no_list", '{"data": 5}', "data"),
        ("no_array_at_the_top", '{"item": {"id": "t1"}}', ""),
        ("truncated", json.dumps([record(1), record(2)])[:-20], ""),
        ("truncated_below", '{"data": [' + json.dumps(record(1)) + '], "next', "data"),
        ("no_json", "id,customer\n1,2\n", ""),
        ("two_documents", "[]\n[]", ""),
        ("no_object", json.dumps([record(1), 7]), ""),
        ("doubled_name", '[{"id": "t1", "id": "t2"}]', ""),
        ("doubled_by_nesting", '[{"a.b": "t1", "a": {"b": "t2"}}]', ""),
        ("endless_number", '[{"id": ' + "9" * 5000 + "}]", ""),
        ("huge_exponent", '[{"id": 1e9999999999999999999}]', ""),
        ("deep", '[{"id": ' + '{"a":' * 500 + "1" + "}" * 502 + "]", ""),
        ("deep_list", '[{"id": ' + "[" * 5000 + "]" * 5000 + "}]", ""),
        ("unknown_name", json.dumps([record(1), record(2, shop={"town": "x"})]), ""),
        ("escaped_control", json.dumps([record(1), record(2, text="a\x00b")]), ""),
    ],
)
def test_an_array_that_cannot_be_read_is_refused_with_the_record(bank, golden, name, content, where):
    """Catches a parser that dies of hostile JSON, and half a file taken for a whole one."""
    bank.contract(format={"type": "json", "records": where})
    bank.file("tx_1.json", content)
    verdict = bank.load()["tx_1.json"]
    assert verdict.verdict == "refused"
    golden(f"array_{name}", verdict.message)


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_half_of_a_character_puts_its_record_into_quarantine(bank, form):
    """Catches a text that is loaded with a question mark in it, and a whole file refused for one record."""
    bank.contract(format={"type": form}, max_bad_share=1)
    texts = ["one\nline", "\ud800", "\ud83d\ude00", "a\udc00b", "\\ud800"]
    records = [json.dumps(record(number, text=text)) for number, text in enumerate(texts, 1)]
    content = "[" + ",".join(records) + "]" if form == "json" else "\n".join(records)
    bank.file(f"tx_1.{form}", content)
    assert bank.load()[f"tx_1.{form}"].quarantined == 2
    assert bank.rows("select record from raw.quarantine order by 1") == [(2,), (4,)]
    assert bank.rows("select _record, description from raw.transactions order by 1") == [
        (1, "one\nline"),
        (3, "\U0001f600"),
        (5, "\\ud800"),
    ]


def test_halves_of_characters_are_found_wherever_a_block_ends():
    """Catches an escape that is cut in two by the end of a block, or read from its second backslash."""
    rng = random.Random(4)
    parts = (
        rb"\ud83d\ude00",
        rb"\uD800",
        rb"\udc00",
        rb"\\",
        rb"\\ud800",
        rb"\n",
        b"ude00",
        rb"\u0041",
        b" ",
    )
    for _ in range(2000):
        content = b'"' + b"".join(rng.choices(parts, k=rng.randint(0, 20))) + b'"'
        reader, read = WithoutHalves(io.BytesIO(content)), b""
        size = rng.randint(1, 20)
        while block := reader.read(size):
            read += block
        wanted = re.sub("[\ud800-\udfff]", "\x1e", json.loads(content))
        assert json.loads(read) == wanted, content


@pytest.mark.parametrize(("where", "content"), [("", "[]"), ("page.rows", '{"page": {"rows": []}}')])
def test_an_empty_array_is_a_delivery_without_records(bank, where, content):
    """Catches the last page of a pull, or a quiet day, that is refused."""
    bank.contract(format={"type": "json", "records": where})
    bank.file("tx_1.json", content)
    assert only(bank, "tx_1.json").records == 0


def test_a_name_that_no_record_has_is_missing_only_where_it_is_needed(bank):
    """Catches a file refused because JSON leaves out what is empty, and one loaded without its amounts."""
    columns = bank.columns(city="town")
    bank.contract(format={"type": "json"}, feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.json", json.dumps([record(1)]))
    without = {name: text for name, text in record(2).items() if name != "amount"}
    bank.file("tx_2.json", json.dumps([without]))
    verdicts = bank.load()
    assert verdicts["tx_1.json"].message == ""
    assert "column amount · the column is missing" in verdicts["tx_2.json"].message


# --- Parquet


def parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_typed_columns_of_parquet_come_in_without_loss(bank):
    """Catches money rounded by a binary number, exponents, and times that lose their zone."""
    india = timezone(timedelta(hours=5, minutes=30))
    moments = [datetime(2026, 7, 1, 10, 0, 0, 123456, india), datetime(2026, 1, 1, tzinfo=UTC)]
    columns = bank.columns(
        customer_id="who.id",
        account_id="who.id",
        card_token=None,
        event_at="at",
        fee_amount="fee",
        balance_after="balance",
    )
    bank.contract(
        format={"type": "parquet"},
        currency="CLF",
        personal=["who.id"],
        ignore=["flag"],
        feeds={"transactions": bank.transactions(columns=columns)},
    )
    parquet(
        bank.settings.inbox / "tx_1.parquet",
        id=pa.array([1, 2**62]),
        who=pa.array([{"id": "c1"}, {"id": "c2"}]),
        at=pa.array(moments, pa.timestamp("us", tz="Asia/Kolkata")),
        amount=pa.array([Decimal("-12345678901234.5670"), Decimal("0.0100")], pa.decimal128(18, 4)),
        fee=pa.array([0.1, 12345678901234.5]),
        balance=pa.array([1e-4, 1e13]),
        text=pa.array(['a,"b"\nc', "é"]),
        flag=pa.array([True, None]),
    )
    only(bank, "tx_1.parquet")
    found = bank.rows(
        "select transaction_id, event_at, amount, fee_amount, balance_after, description"
        " from raw.transactions order by _record"
    )
    assert found == [
        ("1", datetime(2026, 7, 1, 4, 30, 0, 123456), Decimal("-12345678901234.5670"), Decimal("0.1"),
         Decimal("0.0001"), 'a,"b"\nc'),
        (str(2**62), datetime(2026, 1, 1), Decimal("0.01"), Decimal("12345678901234.5"),
         Decimal(10**13), "é"),
    ]  # fmt: skip


def test_local_times_of_parquet_stay_local(bank):
    """Catches a time without a zone that is taken for UTC."""
    bank.contract(
        format={"type": "parquet"},
        timezone="Asia/Kolkata",
        feeds={"transactions": bank.transactions(columns=bank.columns(event_at="at"))},
    )
    texts = {name: pa.array([text]) for name, text in record(1).items()}
    texts["at"] = pa.array([datetime(2026, 1, 1, 1)], pa.timestamp("ms"))
    parquet(bank.settings.inbox / "tx_1.parquet", **texts)
    only(bank, "tx_1.parquet")
    assert bank.rows("select event_at, business_date from raw.transactions") == [
        (datetime(2025, 12, 31, 19, 30), date(2026, 1, 1))
    ]


def test_parquet_that_cannot_be_read_is_refused(bank, golden):
    """Catches a damaged file that stops a night, and a few bytes that unpack to gigabytes."""
    bank.contract(format={"type": "parquet"})
    inbox = bank.settings.inbox
    good = {name: pa.array([text] * 1000) for name, text in record(1).items()}
    content = parquet(inbox / "tx_good.parquet", **good).read_bytes()
    bank.file("tx_cut.parquet", content[:-100])
    bank.file("tx_damaged.parquet", b"PAR1" + b"\xff" * 400 + content[404:])
    bank.file("tx_csv.parquet", lines(line(1)))
    bank.file("tx_empty.parquet", b"")
    names = HEADER.split(",")
    parquet(inbox / "tx_control.parquet", **good | {"text": pa.array(["a\x1fb"] * 1000)})
    parquet(inbox / "tx_bytes.parquet", **good | {"text": pa.array([b"\xff\xfe"] * 1000)})
    parquet(inbox / "tx_rows.parquet", **dict.fromkeys(names, pa.nulls(12_000_000, pa.bool_())))
    parquet(
        inbox / "tx_texts.parquet", **good | {"text": pa.array(["x" * 100_000] * 1000).dictionary_encode()}
    )
    parquet(inbox / "tx_other.parquet", **good, shop=pa.array(["x"] * 1000))
    bank.file("tx_packed.parquet.gz", gzip.compress(content))
    verdicts = bank.load()
    assert verdicts.pop("tx_good.parquet").records == 1000
    assert {verdict.verdict for verdict in verdicts.values()} == {"refused"}
    golden("parquet", "\n".join(sorted(verdict.message for verdict in verdicts.values())))
