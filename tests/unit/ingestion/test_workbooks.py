"""Workbooks of Excel: what people put around the records, what cells hold, and what is no workbook."""

import datetime
import io
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from .conftest import Bank
from .workbooks import sheet, workbook

EXCERPTS = Path(__file__).resolve().parents[2] / "data" / "birmingham_workbooks"
NAMES = ["id", "customer", "card", "at", "amount", "text"]
MORNING = datetime.datetime(2026, 1, 5, 10)


def row(number, **changes):
    values = {
        "id": f"t{number}",
        "customer": "c1",
        "card": 1234567890123456,
        "at": MORNING,
        "amount": -number - 0.5,
        "text": f"SHOP {number}",
    }
    return list((values | changes).values())


def contract(bank: Bank, columns=None, **form):
    columns = bank.columns(**({"event_at": "at"} | (columns or {})))
    bank.contract(
        format={"type": "excel"} | form,
        personal=[],
        feeds={"transactions": bank.transactions(columns=columns)},
    )


def test_only_records_come_in_from_between_titles_subtotals_and_feet(bank):
    """Catches a subtotal counted as a payment, and a foot or a title that refuses the whole file."""
    contract(bank, header_row=4, footer_rows=2, not_records={"id": "Subtotal.*"})
    rows = [
        ["Card statement"],
        [],
        [None, None, 'made by "Finance'],
        NAMES,
        row(1),
        [],
        row(2),
        ["Subtotal January", None, None, None, -4.0],
        row(3),
        [],
        ["Total", None, None, None, -7.5],
        ["Printed on 10 January"],
    ]
    bank.file("tx_1.xlsx", workbook({"January": rows}))
    verdict = bank.load()["tx_1.xlsx"]
    assert (verdict.verdict, verdict.message, verdict.records) == ("loaded", "", 3)
    assert bank.rows("select transaction_id, amount, _record from raw.transactions order by 1") == [
        ("t1", Decimal("-1.5"), 1),
        ("t2", Decimal("-2.5"), 2),
        ("t3", Decimal("-3.5"), 3),
    ]


def test_all_sheets_are_read_one_below_the_other_and_empty_ones_left_out(bank):
    """Catches the second month of a workbook, which is lost without a word."""
    contract(bank)
    bank.file("tx_1.xlsx", workbook({"Jan": [NAMES, row(1)], "Sheet2": [], "Feb": [NAMES, row(2), row(3)]}))
    assert bank.load()["tx_1.xlsx"].records == 3
    found = bank.rows("select transaction_id, _record from raw.transactions order by 2")
    assert found == [("t1", 1), ("t2", 2), ("t3", 3)]


@pytest.mark.parametrize(("sheets", "expected"), [("Feb", ["t2"]), (["Feb", "Jan"], ["t2", "t1"])])
def test_only_named_sheets_are_read(bank, sheets, expected):
    """Catches notes on other sheets that are read as payments."""
    contract(bank, sheets=sheets)
    bank.file(
        "tx_1.xlsx", workbook({"Jan": [NAMES, row(1)], "Feb": [NAMES, row(2)], "Notes": [["Call Ann"]]})
    )
    assert bank.load()["tx_1.xlsx"].message == ""
    found = bank.rows("select transaction_id from raw.transactions order by _record")
    assert [name for (name,) in found] == expected


def test_numbers_have_the_digits_that_people_see(bank):
    """Catches 89.97000000000001 for 3 times 29.99, and an account number as 1.23E+15."""
    contract(bank, columns={"transaction_id": "card", "latitude": "id"})
    amounts = [3 * 29.99, 12.5, 1e-3 * 1230, 9_999_999_999_999.99, -0.01]
    rows = [row(n, card=1234567890123456 + n, amount=amount, id=0.1) for n, amount in enumerate(amounts)]
    bank.file("tx_1.xlsx", workbook({"S": [NAMES, *rows]}))
    assert bank.load()["tx_1.xlsx"].message == ""
    found = bank.rows("select transaction_id, amount from raw.transactions order by _record")
    expected = ["89.97", "12.5", "1.23", "9999999999999.99", "-0.01"]
    assert found == [(str(1234567890123456 + n), Decimal(text)) for n, text in enumerate(expected)]


def test_midnight_is_a_time_in_a_column_of_times_and_a_day_is_never_shifted(bank):
    """Catches a payment at midnight set aside because it looks like a day, and days moved by a zone."""
    day = datetime.date(2026, 7, 1)
    rows = [
        row(1, at=datetime.datetime(2026, 7, 1, 9, 30, 7), text=day),
        row(2, at=datetime.datetime(2026, 7, 1), text=day),
    ]
    columns = bank.columns(event_at="at", business_date="text", description={"constant": "shop"})
    bank.contract(
        format={"type": "excel"},
        personal=[],
        feeds={"transactions": bank.transactions(columns=columns)},
        ignore=["card"],
    )
    bank.file("tx_1.xlsx", workbook({"S": [NAMES, *rows]}))
    assert bank.load()["tx_1.xlsx"].message == ""
    assert bank.rows("select event_at, business_date from raw.transactions order by 1") == [
        (datetime.datetime(2026, 6, 30, 23), day),
        (datetime.datetime(2026, 7, 1, 8, 30, 7), day),
    ]


def test_a_sheets_trailer_is_checked_like_a_manifest(bank, golden):
    """Catches a workbook that was cut off above its total."""
    contract_of_totals = {"type": "excel", "trailer": r"Total,(?P<rows>\d+),,,(?P<sum>-?[\d.]+),?"}
    columns = bank.columns(event_at="at")
    bank.contract(
        format=contract_of_totals,
        totals="trailer",
        personal=[],
        feeds={"transactions": bank.transactions(columns=columns)},
    )
    both = {"A": [NAMES, row(1), ["Total", 1, None, None, -1.5]]}
    bank.file("tx_good.xlsx", workbook(both | {"B": [NAMES, row(2), ["Total", 1, None, None, -2.5]]}))
    bank.file("tx_bad.xlsx", workbook(both | {"B": [NAMES, row(3), ["Total", 1, None, None, -4.5]]}))
    verdicts = bank.load()
    assert verdicts["tx_good.xlsx"].message == ""
    golden("excel_trailer_wrong_sum", verdicts["tx_bad.xlsx"].message)


def far_away():
    return sheet([NAMES, row(1)]).replace(
        "</sheetData>", '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    )


def packed(**parts):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def lying_size(content: bytes) -> bytes:
    """The same archive with one entry that states a size of 3 GiB."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.infolist()[-1]
    at = content.rindex(b"PK\x01\x02")
    size = (3 << 30).to_bytes(4, "little")
    assert int.from_bytes(content[at + 24 : at + 28], "little") == entry.file_size
    return content[: at + 24] + size + content[at + 28 :]


GOOD = workbook({"Jan": [NAMES, row(1)]})
COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("missing_sheet", GOOD, {"sheets": ["Jan", "Feb"]}),
        ("encrypted", COMPOUND + bytes(1024) + "EncryptedPackage".encode("utf-16-le") + bytes(3000), {}),
        ("damaged_xls", COMPOUND + bytes(5000), {}),
        ("damaged_xlsx", GOOD[:-200], {}),
        (
            "damaged_inside",
            GOOD.replace(b"PK\x03\x04", b"PK\x03\x05").replace(b"PK\x03\x05", b"PK\x03\x04", 1),
            {},
        ),
        ("no_workbook", b"id,amount\n1,2\n", {}),
        ("no_workbook_inside", packed(a="hello"), {}),
        ("bomb", lying_size(GOOD), {}),
        ("far_away", workbook({"Jan": far_away()}), {}),
        ("other_columns", workbook({"Jan": [NAMES, row(1)], "Notes": [["Call Ann"], ["soon"]]}), {}),
        ("unnamed", workbook({"Jan": [NAMES, [*row(1), "note"]]}), {}),
        ("no_names", workbook({"Jan": [[], NAMES, row(1)]}), {}),
        ("empty", workbook({"Jan": [], "Feb": []}), {}),
        ("control", workbook({"Jan": [NAMES, row(1), row(2, text="a_x001F_b")]}), {}),
    ],
)
def test_what_is_no_usable_workbook_is_refused_with_what_to_do(bank, golden, name, content, form):
    """Catches a reader that dies, fills the memory, or takes half of a workbook."""
    contract(bank, **form)
    bank.file("tx_1.xlsx", content)
    verdict = bank.load()["tx_1.xlsx"]
    assert (verdict.verdict, verdict.records) == ("refused", 0)
    golden(f"excel_{name}", verdict.message)


@pytest.mark.parametrize(("place", "value"), [(2731, 255), (1497, 255), (666, 0)])
def test_a_workbook_that_kills_its_reader_does_not_kill_the_night(bank, golden, place, value):
    """Catches one flipped byte that makes the reader ask for 8 GB, or panic, and end the whole process."""
    contract(bank)
    content = bytearray((EXCERPTS / "purchasecardsnov2014.xls").read_bytes())
    content[place] = value
    bank.file("tx_1.xls", bytes(content))
    golden("excel_deadly", bank.load()["tx_1.xls"].message)


def test_a_cell_that_is_no_number_is_quarantined_alone(bank):
    """Catches a sum that overflowed in somebody's sheet, and ends every client's night."""
    contract(bank)
    bank.file("tx_1.xlsx", workbook({"S": [NAMES, *map(row, range(200)), row(200, amount=float("inf"))]}))
    assert bank.load()["tx_1.xlsx"].verdict == "loaded"
    assert bank.rows("select count(*) from raw.transactions") == [(200,)]
    assert bank.rows("select column_name, record from raw.quarantine") == [("amount", 201)]
