"""Titles, subtotals, feet and trailers around the records of a text."""

import json
from decimal import Decimal

import pytest

from tests.unit.ingestion.conftest import HEADER, line, lines


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
    assert bank.only().records == 3
    found = bank.rows("select transaction_id, _record, description from raw.transactions order by 2")
    assert found == [("t1", 1, "SHOP 1"), ("t2", 2, "two\nlines"), ("t3", 3, "SHOP 3")]


@pytest.mark.parametrize("quote", ['"', ""])
def test_a_text_without_names_gets_those_of_the_contract(bank, quote):
    """Catches the first payment of a file that is taken for its header."""
    form = {"type": "csv", "delimiter": "|", "header_row": 0, "names": HEADER.split(","), "quote": quote}
    bank.contract(format=form)
    bank.file("tx_1.csv", "\n".join(line(n).replace(",", "|") for n in (1, 2)))
    assert bank.only().records == 2
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
