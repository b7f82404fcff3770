"""Texts in other encodings become the same records, or are refused with the place."""

import codecs
import gzip
import json

import pytest

from tests.unit.ingestion.conftest import HEADER, line, lines


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
    assert bank.only(f"tx_1.{ending}").records == 3
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
