"""CSV exports of banks, compared with what another project converts them to."""

import re
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers.real_files import shared
from tests.unit.ingestion.bank_formats.helpers import EXCERPTS, rows

CSV2OFX = "reubano+csv2ofx/data/test"


def ofx_of(folder: Path, name: str) -> list[tuple[Decimal, str]]:
    found = rows(folder / name, type="ofx")
    return [(Decimal(str(row["amount"])), str(row["booking_date"])) for row in found]


def qif_of(folder: Path, name: str) -> list[tuple[Decimal, str]]:
    text = (folder / name).read_text()
    return [(Decimal(amount), day) for day, amount in re.findall(r"^D(.*?)$.*?^T(.*?)$", text, re.M | re.S)]


@pytest.mark.parametrize(
    ("contract", "original", "converted", "expected"),
    [
        ("n26_csv", "n26-fr.csv", "n26.ofx", [("328.00", "2020-03-07"), ("-328.00", "2020-03-07")]),
        ("gls_csv", "gls.csv", "gls.ofx", [("-98.76", "2017-10-10")]),
        (
            *("ubs_csv", "ubs-ch-fr_trimmed.csv", "ubs-ch-fr.qif"),
            [("-10.00", "2019-03-31"), ("240.00", "2019-02-28"), ("-200.00", "2019-04-27")],
        ),
    ],
)
@pytest.mark.parametrize("which", ["excerpt", "whole"])
def test_a_banks_export_comes_in_as_its_folder_converts_it(
    bank, deliver, which, contract, original, converted, expected
):
    """Catches decimal commas, apostrophes, debit columns and encodings that become other numbers or names."""
    values = [(Decimal(amount), day) for amount, day in expected]
    path = EXCERPTS / f"{contract.removesuffix('_csv')}.csv"
    if which == "whole":
        path = shared("formats") / CSV2OFX / original
        convert = ofx_of if converted.endswith("ofx") else qif_of
        assert convert(path.parents[1] / "converted", converted) == values
    verdict = deliver(contract, path)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    assert values == bank.rows("select amount, business_date::varchar from raw.transactions order by _record")


def test_the_balances_of_exports_keep_their_thousands(bank, deliver):
    """Catches 11'373.94 and 1.234,56 read short."""
    deliver("ubs_csv", EXCERPTS / "ubs.csv")
    found = bank.rows(
        "select balance_after, transaction_id, description from raw.transactions order by _record"
    )
    assert found[0] == (Decimal("11373.94"), "A01234BC01234567", "Solde prix prestations")
    assert found[2][2].startswith("Ordre e-banking REMB-CASH Quuz-baz SàrL, CH")


@pytest.mark.parametrize("text", ["12,50", "1,2,345", "1,23,45", "123,45,678", "1,23,4567", ",123", "1,,234"])
def test_commas_stand_between_thousands_or_lakhs_and_nowhere_else(bank, deliver, text):
    """Catches a decimal comma that is taken for a mark of thousands: 12,50 is no 1250."""
    content = (EXCERPTS / "upi_2025-01.csv").read_text().replace('"2,50,000.00"', f'"{text}"')
    verdict = deliver("upi_statement", Path("upi.csv"), content.encode())
    assert (verdict.verdict, "column Debit" in verdict.message) == ("refused", True)


def test_a_upi_statement_comes_in_with_its_lakhs(bank, deliver):
    """Catches 2,50,000.00 refused for its groups, a head that is read as records, and true twins merged."""
    verdict = deliver("upi_statement", EXCERPTS / "upi_2025-01.csv")
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    found = bank.rows(
        "select amount, balance_after, event_at, business_date from raw.transactions order by _record"
    )
    assert [row[0] for row in found] == [
        *map(
            Decimal,
            ("-385.00", "123456.78", "-20.00", "-20.00", "-32500.00", "32500.00", "-250000.00", "450.50"),
        )
    ]
    for before, after in pairwise(found):
        assert before[1] + after[0] == after[1]
    # Midnight in India is the day before in UTC, and stays the customer's day.
    assert found[0][2:] == (datetime(2024, 12, 31, 18, 44, 9), date(2025, 1, 1))
