"""OFX statements, compared with what the project that made them says they hold."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nightledger.ingestion.formats import Unreadable
from tests.helpers.real_files import shared
from tests.unit.ingestion.bank_formats.helpers import EXCERPTS, files, refusals, rows, written

OFX = "jseutter+ofxparse/tests/fixtures"
OFX_WITHOUT_STATEMENT = (
    *("bank_small.ofx", "signon_success.ofx", "signon_success_no_message.ofx"),
    *("signon_fail.ofx", "error_message.ofx"),
)
OFX_VALUES: dict[str, list[tuple[str, str, str, str]]] = {
    "anzcc.ofx": [("1234123412341234", "-5.50", "2017-05-08", "201705080001")],
    "bank_medium.ofx": [
        ("12300 000012345678", "-6.60", "2009-04-01", "0000123456782009040100001"),
        ("12300 000012345678", "-316.67", "2009-04-02", "0000123456782009040200004"),
        ("12300 000012345678", "-22.00", "2009-04-03", "0000123456782009040300005"),
    ],
    "checking.ofx": [
        ("1452687~7", "0.01", "2011-03-31", "0000486"),
        ("1452687~7", "-34.51", "2011-04-05", "0000487"),
        ("1452687~7", "-25.00", "2011-04-07", "0000488"),
    ],
    "empty_balance.ofx": [("192639749", "120", "2011-03-08", "2000957249")],
    "investment_medium.ofx": [
        ("ABC123", "-3.65", "2009-12-15", "20091215.U489357.e.USD.1510480481"),
        ("ABC123", "3.35", "2009-12-15", "20091215.U489357.e.USD.1510982018"),
        ("ABC123", "-3.65", "2009-12-15", "20091215.U489357.e.USD.1511863617"),
    ],
    "suncorp.ofx": [("123456789", "-16.85", "2013-12-15", "1")],
}
"""Account, amount, day and id of each transaction, as the project asserts them or its files state them."""


def ofx_files() -> list[Any]:
    return [
        pytest.param(EXCERPTS / "bank_medium.ofx", id="excerpt"),
        *(
            each
            for each in files(OFX, "*.ofx")
            if isinstance(each, Path) or each.values[0].name in OFX_VALUES
        ),
    ]


@pytest.mark.parametrize("path", ofx_files())
def test_an_ofx_statement_comes_in_to_the_cent(bank, deliver, path):
    """Catches an amount with the wrong sign and a day that an offset has moved."""
    verdict = deliver("ofx_statement", path)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    expected = [(Decimal(amount), day, key) for _, amount, day, key in OFX_VALUES[path.name]]
    assert expected == bank.rows(
        "select amount, business_date::varchar, transaction_id from raw.transactions order by _record"
    )


def test_an_ofx_transaction_has_its_payee_and_its_own_currency(tmp_path):
    """Catches fields that the library knows and the reader forgets, and the statement's currency for all."""
    (first, *_) = rows(EXCERPTS / "bank_medium.ofx", type="ofx")
    assert (
        first["name"],
        first["transaction_type"],
        first["ledger_balance"],
        first["available_balance"],
    ) == (*("MCDONALD'S #112", "POS", "382.34", "682.34"),)
    assert (
        first["kind"],
        first["bank_id"],
        first["branch_id"],
        first["account_type"],
        first["currency"],
    ) == (*("bank", "160000100", "00", "CHECKING", "CAD"),)
    assert (first["booking_date"], first["booked_at"]) == ("2009-04-01", "2009-04-01T12:20:17.000-05:00")
    foreign = ofx("<TRNAMT>-7.00<CURRENCY><CURRATE>1.1<CURSYM>EUR</CURRENCY>")
    (own,) = rows(written(tmp_path, foreign), type="ofx")
    assert (own["amount"], own["currency"]) == ("-7.00", "EUR")


def ofx(fields: str, day: str = "20250102") -> bytes:
    """An OFX 1 statement of one transaction."""
    return (
        "OFXHEADER:100\nENCODING:USASCII\nCHARSET:1252\n\n<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>GBP"
        "<BANKACCTFROM><ACCTID>1</BANKACCTFROM><BANKTRANLIST><STMTTRN><TRNTYPE>DEBIT"
        f"<DTPOSTED>{day}{fields}<FITID>a<NAME>Café</STMTTRN></BANKTRANLIST></STMTRS></STMTTRNRS>"
        "</BANKMSGSRSV1></OFX>"
    ).encode("cp1252")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("-1.234,56", "-1234.56"),
        ("1,234.56", "1234.56"),
        ("1 025,53", "1025.53"),
        ("+3.65", "3.65"),
        ("12,5", "12.5"),
        ("null", "0"),
        ("1,234", None),  # a thousand, or three decimals
        ("1E5", None),
        ("1.2.3", None),
        ("NaN", None),
        ("12O", None),
    ],
)
def test_an_amount_that_reads_in_two_ways_is_not_guessed(tmp_path, text, amount):
    """Catches 1,234 taken as 1.234, which nobody would notice."""
    path = written(tmp_path, ofx(f"<TRNAMT>{text}"))
    if amount is None:
        with pytest.raises(Unreadable) as refused:
            rows(path, type="ofx")
        assert (refused.value.record, refused.value.column) == (1, "TRNAMT")
    else:
        assert [row["amount"] for row in rows(path, type="ofx")] == [amount]


@pytest.mark.parametrize(
    ("text", "day", "time"),
    [
        ("20250102", "2025-01-02", None),
        ("20250102[-5:EST]", "2025-01-02", None),
        ("202501022330", "2025-01-02", "2025-01-02T23:30:00"),
        ("20250102233000.5[-3.5:NST]", "2025-01-02", "2025-01-02T23:30:00.5-03:30"),
        ("20250102003000[+5.5:IST]", "2025-01-02", "2025-01-02T00:30:00+05:30"),
    ],
)
def test_an_ofx_day_is_the_one_that_the_bank_writes(tmp_path, text, day, time):
    """Catches days shifted by an offset: the library gives UTC for all."""
    (row,) = rows(written(tmp_path, ofx("<TRNAMT>1", day=text)), type="ofx")
    assert (row["booking_date"], row["booked_at"], row["name"]) == (day, time, "Café")


@pytest.mark.parametrize("day", ["20250231", "2025", "99999999", "20250102250000", "yesterday"])
def test_a_day_that_does_not_exist_is_refused(tmp_path, day):
    """Catches the library's reading of the first eight characters, whatever follows."""
    with pytest.raises(Unreadable) as refused:
        rows(written(tmp_path, ofx("<TRNAMT>1", day=day)), type="ofx")
    assert (refused.value.record, refused.value.column) == (1, "DTPOSTED")


def test_an_ofx_file_that_is_cut_anywhere_is_refused(tmp_path):
    """Catches the library's silence on a file without its second half."""
    whole = (EXCERPTS / "bank_medium.ofx").read_bytes()
    end = whole.index(b"</OFX>")
    for cut in range(0, end, 40):
        with pytest.raises(Unreadable):
            rows(written(tmp_path, whole[:cut]), type="ofx")


def test_trades_are_records_whose_amount_is_their_total():
    """Catches trades that vanish, and the 0 that the library says where no money moved."""
    trades = rows(shared("formats") / OFX / "investment_401k.ofx", type="ofx")
    assert [(row["kind"], row["transaction_type"], row["amount"], row["units"]) for row in trades] == [
        ("investment", "BUYMF", "-197.2", "8.846699"),
        ("investment", "TRANSFER", None, "6.800992"),
        ("investment", "TRANSFER", None, "-9.060702"),
    ]
    assert len(rows(shared("formats") / OFX / "fidelity.ofx", type="ofx")) == 17


def test_broken_ofx_files_are_refused_with_a_reason(golden):
    """Catches tracebacks, and half a statement: each of these is broken on purpose, or no statement."""
    folder = shared("formats") / OFX
    names = (*OFX_WITHOUT_STATEMENT, "fail_nice/date_missing.ofx", "fail_nice/decimal_error.ofx")
    paths = [folder / name for name in (*names, "ofx-v102-empty-tags.ofx")]
    golden("bank_formats_ofx", refusals(paths, type="ofx"))


@pytest.mark.parametrize("name", ["undefined", "no-such"])
def test_an_encoding_that_is_none_is_a_reason(tmp_path, name):
    """Catches names that Python knows as encodings and that are none of text."""
    with pytest.raises(Unreadable, match="states an encoding that does not exist"):
        rows(
            written(tmp_path, f'<?xml version="1.0" encoding="{name}"?><OFX>\xe9</OFX>'.encode()), type="ofx"
        )


def test_a_broken_ofx_file_becomes_a_message_for_a_person(bank, deliver, golden):
    """Catches a reader's reason that is lost on the way, or that quotes what the file says."""
    verdict = deliver("ofx_statement", Path("broken.ofx"), ofx("<TRNAMT>$120"))
    assert verdict.verdict == "refused"
    assert "120" not in verdict.message
    golden("refused_ofx", verdict.message)
