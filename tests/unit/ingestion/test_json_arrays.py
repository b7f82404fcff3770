"""Arrays of nested objects become the same records as rows of a text."""

import io
import json
import random
import re
from decimal import Decimal

import pytest

from nightledger.ingestion.formats.transcoding import WithoutHalves
from tests.unit.ingestion.conftest import record


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
    bank.only("tx_1.json")
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
    assert bank.only("tx_1.json").records == 0


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
