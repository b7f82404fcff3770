"""Files of banks, read by the ready contracts and compared with what their folders say they hold."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightledger.clients import load_clients
from nightledger.ingestion import FileVerdict
from nightledger.ingestion.contract import FileFormat
from nightledger.ingestion.contract_files import load_contract
from nightledger.ingestion.formats import Unreadable, read
from nightledger.settings import PROJECT
from tests.helpers.real_files import SHARED, shared
from tests.unit.ingestion.conftest import Bank

EXAMPLES = PROJECT / "sources" / "examples"
EXCERPTS = PROJECT / "tests" / "data" / "bank_formats"
FORMATS = SHARED / "formats"
Row = dict[str, str | None]


def files(folder: str, pattern: str, without: tuple[str, ...] = ()) -> list[Any]:
    """Parameters: the files of a folder of others; one that fails in CI where the folder is not there."""
    found = sorted(path for path in (FORMATS / folder).rglob(pattern) if path.name not in without)
    return [pytest.param(path, id=path.name) for path in found] or [FORMATS / folder / pattern]


def rows(path: Path, **form: Any) -> list[Row]:
    """The records of a file as its reader gives them."""
    table = read(path, FileFormat(**form))
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


@pytest.fixture(autouse=True)
def _shared(request: pytest.FixtureRequest) -> None:
    path = getattr(request.node, "callspec", None) and request.node.callspec.params.get("path")
    if isinstance(path, Path) and path.is_relative_to(FORMATS):
        shared("formats")


@pytest.fixture
def deliver(bank: Bank) -> Callable[..., FileVerdict]:
    """Takes a file in by a ready contract, as somebody does who copies it to `sources/`."""

    def _deliver(contract: str, path: Path, content: bytes | None = None, **form: Any) -> FileVerdict:
        values = yaml.safe_load((EXAMPLES / f"{contract}.yml").read_text())
        values |= {"client": "bank", "files": "delivered*", "format": values["format"] | form}
        (bank.settings.sources / f"{contract}.yml").write_text(yaml.safe_dump(values))
        name = f"delivered{path.suffix}"
        bank.file(name, path.read_bytes() if content is None else content)
        return bank.load()[name]

    return _deliver


def loaded(bank: Bank) -> list[tuple[Any, ...]]:
    """What came into the warehouse, in the order of the file."""
    return bank.rows("select amount, business_date, currency from raw.transactions order by _record")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_a_ready_contract_is_one_that_can_be_copied(bank, path):
    """Catches a key that the contracts lose, which nobody would see before a customer copies the file."""
    (bank.settings.clients / "my_bank.yml").write_text(
        yaml.safe_dump({"name": "My bank", "timezone": "Europe/Berlin", "base_currency": "EUR"})
    )
    contract = load_contract(path, load_clients(bank.settings))
    assert contract.client == "my_bank"
    assert "transactions" in contract.feeds
    assert path.name in (EXAMPLES / "README.md").read_text()


# OFX

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


def written(folder: Path, content: bytes | str, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


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


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("bank_medium.ofx", "ofx", 3),
        ("ing.sta", "mt940", 7),
        ("camt053.v2.multi.statement.xml", "camt", 2),
    ],
)
def test_packed_files_of_banks_are_unpacked(tmp_path, name, kind, count):
    """Catches a reader that opens the file by itself."""
    packed = written(tmp_path, gzip.compress((EXCERPTS / name).read_bytes()), f"{name}.gz")
    assert len(rows(packed, type=kind)) == count


def test_trades_are_records_whose_amount_is_their_total():
    """Catches trades that vanish, and the 0 that the library says where no money moved."""
    trades = rows(shared("formats") / OFX / "investment_401k.ofx", type="ofx")
    assert [(row["kind"], row["transaction_type"], row["amount"], row["units"]) for row in trades] == [
        ("investment", "BUYMF", "-197.2", "8.846699"),
        ("investment", "TRANSFER", None, "6.800992"),
        ("investment", "TRANSFER", None, "-9.060702"),
    ]
    assert len(rows(shared("formats") / OFX / "fidelity.ofx", type="ofx")) == 17


def refusals(paths: list[Path], **form: Any) -> str:
    """Why each of the files cannot be read, one a line."""
    lines = []
    for path in paths:
        with pytest.raises(Unreadable) as refused:
            rows(path, **form)
        error = refused.value
        lines.append(
            f"{path.name} · record {error.record or '–'} · column {error.column or '–'} · {error.reason} · "
            f"next: {error.next_action}"
        )
    return "\n".join(lines)


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


@pytest.mark.parametrize("kind", ["ofx", "mt940"])
def test_a_statement_that_fills_the_memory_is_refused_before_it_does(tmp_path, kind):
    """Catches a file of a gigabyte in one line, of which a reader would make eight."""
    packed = written(tmp_path, gzip.compress(b"x" * (65 << 20)), "large.gz")
    with pytest.raises(Unreadable, match="is larger than 64 MiB"):
        rows(packed, type=kind)


def test_a_broken_ofx_file_becomes_a_message_for_a_person(bank, deliver, golden):
    """Catches a reader's reason that is lost on the way, or that quotes what the file says."""
    verdict = deliver("ofx_statement", Path("broken.ofx"), ofx("<TRNAMT>$120"))
    assert verdict.verdict == "refused"
    assert "120" not in verdict.message
    golden("refused_ofx", verdict.message)


# MT940

SWIFT = "wolph+mt940/mt940_tests"
SWIFT_BROKEN = (
    *("amount_formats.sta", "account_balance_credit.sta", "account_balance_debit.sta", "gv_codes.sta"),
    *("empty_86.sta", "empty_entry_date.sta", "missing_crlf_at_end.sta", "available_balance.sta"),
    *("closing_balance.sta", "statement_details.sta", "statement_line.sta", "statement_number.sta"),
    *("empty_non_swift.sta", "invalid_statement.sta", "sparkassen.sta"),
)
"""Single fields and halves of statements, on which the folder's project tries its parts."""
CP852 = ("raiffeisen-cmi.sta",)


class _Expected(yaml.SafeLoader):
    """Reads the folder's expected results, which are written as Python objects, without making any."""


def _object(loader: yaml.SafeLoader, _: str, node: Any) -> Iterator[dict[str, Any]]:
    made: dict[str, Any] = {}
    yield made  # the objects refer to each other
    made.update(loader.construct_mapping(node))


def _applied(loader: yaml.SafeLoader, name: str, node: Any) -> Any:
    values = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None
    if name.endswith("Decimal") and values:
        return Decimal(values[0])
    if name.endswith("Date") and values and isinstance(values[0], bytes):
        high, low, month, day = values[0]
        return date(high * 256 + low, month, day)
    return values


_Expected.add_multi_constructor("tag:yaml.org,2002:python/object/apply:", _applied)
_Expected.add_multi_constructor("tag:yaml.org,2002:python/object:", _object)
_Expected.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, name, node: name)


def expected_swift(path: Path) -> list[tuple[Decimal, str, str | None]]:
    """Amount, value date and bank's reference of each transaction, as the folder's project has them.

    Its results take the reversal of a credit for money that comes in, as the library does unless told.
    """
    found = yaml.load(path.with_suffix(".yml").read_text(), _Expected)
    transactions = found["transactions"] if isinstance(found, dict) else found or []
    expected = []
    for transaction in transactions:
        data = transaction["data"]
        amount = data["amount"]["amount"] * (-1 if data["status"] == "RC" else 1)
        expected.append((amount, data["date"].isoformat(), data.get("bank_reference") or None))
    return expected


@pytest.mark.parametrize(
    "path",
    [path for path in files(SWIFT, "*.sta", SWIFT_BROKEN)],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_a_swift_statement_comes_in_to_the_cent(bank, deliver, path):
    """Catches transactions that the library merges, drops or signs wrongly, in each file that it reads."""
    form = {"encoding": "cp852"} if path.name in CP852 else {}
    expected = expected_swift(path)
    found = rows(path, type="mt940", **form)
    assert [
        (Decimal(str(row["amount"])), row["value_date"], row["bank_reference"]) for row in found
    ] == expected
    verdict = deliver("mt940_statement", path, **form)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    assert [row[0] for row in loaded(bank)] == [amount for amount, _, _ in expected]
    assert [row[1].isoformat() for row in loaded(bank)] == [row["booking_date"] for row in found]


def test_the_excerpt_of_a_swift_statement_is_read_to_the_cent():
    """Catches amounts that are read short, and the statement's own details in its last transaction."""
    found = rows(EXCERPTS / "ing.sta", type="mt940")
    assert {row["opening_balance"] for row in found} == {"0.00"}
    total = sum(Decimal(str(row["amount"])) for row in found)
    assert (len(found), total) == (7, Decimal("-45.59"))
    assert (found[0]["account"], found[0]["currency"], found[0]["closing_balance"]) == (
        "0001234567",
        "EUR",
        "3.47",
    )
    assert (found[5]["amount"], found[5]["booking_date"], found[5]["transaction_type"]) == (
        *("3.68", "2010-07-22", "NTRF"),
    )
    assert str(found[6]["description"]).endswith("Betaling transactiedatum: 22-07-2010")


def swift(*lines: str) -> bytes:
    """A statement of one account."""
    head = (":20:R", ":25:DE00/1", ":28C:1", ":60F:C250101EUR0,00")
    return "\r\n".join([*head, *lines, ":62F:C250131EUR0,00", "-"]).encode()


@pytest.mark.parametrize(
    ("line", "amount", "is_reversal"),
    [
        (":61:2501020102D12,5NTRFNONREF", "-12.5", "false"),
        (":61:2501020102C12,NTRFNONREF", "12", "false"),
        (":61:2501020102RC3,00NTRFNONREF", "-3.00", "true"),
        (":61:2501020102RD3,00NTRFNONREF", "3.00", "true"),
        (":61:2501020102DR,50NTRFNONREF", "-0.50", "false"),
        (":61:250102D1234567890123,4NTRFNONREF", "-1234567890123.4", "false"),
    ],
)
def test_a_swift_amount_has_the_sign_of_its_mark(tmp_path, line, amount, is_reversal):
    """Catches reversals with the sign of what they reverse."""
    (row,) = rows(written(tmp_path, swift(line)), type="mt940")
    assert (row["amount"], row["is_reversal"], row["booking_date"]) == (amount, is_reversal, "2025-01-02")


@pytest.mark.parametrize(
    "line",
    [
        ":61:2501020102D12.50NTRFNONREF",
        ":61:2501020102D1.234,50NTRFNONREF",
        ":61:2501020102D1,234,50NTRFNONREF",
        ":61:2501020102DNTRFNONREF",
        ":61:2513020102D1,00NTRFNONREF",
        ":61:2501020102X1,00NTRFNONREF",
        ":61:nothing",
    ],
)
def test_a_swift_field_that_breaks_the_format_is_refused(tmp_path, line, caplog):
    """Catches 12.50 read as 12 by the library, and its logs, which quote the field."""
    good = ":61:2501020102C1,00NTRFNONREF"
    with pytest.raises(Unreadable) as refused:
        rows(written(tmp_path, swift(good, line)), type="mt940")
    assert refused.value.record in (1, 2)
    assert caplog.text == ""


def test_transactions_without_a_type_are_not_written_over_each_other(tmp_path):
    """Catches the library's taking a transaction without a type for one that is not there yet."""
    path = written(tmp_path, swift(":61:250102D1,00", ":61:250103D2,00", ":61:250104C3,00"))
    assert [row["amount"] for row in rows(path, type="mt940")] == ["-1.00", "-2.00", "3.00"]


def test_a_swift_file_that_is_cut_is_refused_until_a_statement_ends(tmp_path):
    """Catches a file without its end that loads what it has."""
    whole = (EXCERPTS / "ing.sta").read_bytes()
    for cut in range(whole.index(b":60F:") + 6, whole.index(b":62F:"), 15):
        with pytest.raises(Unreadable):
            rows(written(tmp_path, whole[:cut]), type="mt940")


def test_halves_of_swift_statements_are_refused_with_a_reason(golden):
    """Catches fields without an account that become records."""
    folder = shared("formats") / SWIFT
    paths = sorted(path for path in folder.rglob("*.sta") if path.name in SWIFT_BROKEN)
    golden("bank_formats_mt940", refusals(paths, type="mt940"))


def test_a_swift_file_in_another_encoding_is_refused_until_the_contract_names_it(bank, deliver, golden):
    """Catches names that are guessed into other letters."""
    content = swift(":61:250102D1,00NTRFNONREF", ":86:Café").decode().encode("cp1252")
    verdict = deliver("mt940_statement", Path("a.sta"), content)
    golden("refused_mt940_encoding", verdict.message)
    assert deliver("mt940_statement", Path("b.sta"), content, encoding="cp1252").verdict == "loaded"


def test_an_interim_report_and_its_statement_count_once(bank, deliver):
    """Catches a day's transactions that come in twice, with MT942 at noon and MT940 at night."""
    at_noon = swift(":61:250102D1,00NTRFNONREF", ":86:one").replace(b":60F:", b":34F:EUR0,00\r\n:60F:")
    at_night = swift(":61:250102D1,00NTRFNONREF", ":86:one", ":61:250102D1,00NTRFNONREF", ":86:one")
    assert deliver("mt940_statement", Path("noon.sta"), at_noon).verdict == "loaded"
    assert deliver("mt940_statement", Path("night.mt940"), at_night).verdict == "loaded"
    assert bank.rows("select count(distinct transaction_key) from raw.transactions") == [(2,)]


# CAMT

CAMT = "genkgo+camt/test/data"
CAMT_EMPTY = ("camt53.only-Dt-with-DtTm.xml",)
CAMT_WITHOUT_STATEMENT = ("camt053.v2.wrong.xml",)


def expected_camt(path: Path) -> list[tuple[Decimal, str, str | None, str | None]]:
    """Amount, currency, booking and value time of each entry, as the folder's project has them."""
    entries = json.loads(path.with_suffix(".json").read_text())["getEntries"]

    def at(moment: dict[str, str] | None) -> str | None:
        return moment["0"] if moment else None

    return [
        (
            Decimal(entry["getAmount"]["getAmount"]) / 100,
            entry["getAmount"]["getCurrency"]["getCode"],
            at(entry["getBookingDate"]),
            at(entry["getValueDate"]),
        )
        for entry in entries
    ]


def utc(row: Row, which: str) -> str | None:
    """Time of a record as the folder's project writes it: a day is its midnight."""
    time, day = row[f"{which}_at"], row[f"{which}_date"]
    if time:
        return datetime.fromisoformat(time).astimezone(UTC).isoformat()
    return f"{day}T00:00:00+00:00" if day else None


@pytest.mark.parametrize("path", files(CAMT, "*.xml", (*CAMT_EMPTY, *CAMT_WITHOUT_STATEMENT)))
def test_the_entries_of_a_camt_file_are_those_of_its_folder(path):
    """Catches a version whose names differ, and amounts with the sign of another entry."""
    found = rows(path, type="camt")
    ours = [
        (
            Decimal(str(row["amount"])),
            row["currency"],
            utc(row | {"booking_at": row["booked_at"]}, "booking"),
            utc(row, "value"),
        )
        for row in found
    ]
    theirs = expected_camt(path)
    assert ours[-len(theirs) :] == theirs  # of two statements their file has the last one
    assert len(ours) == path.read_text().count("<Ntry>")
    assert all(row["account"] and row["description"] for row in found if "UETR" not in path.name)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(EXCERPTS / "camt053.v2.multi.statement.xml", id="excerpt"),
        *files(CAMT, "camt053*.xml", CAMT_WITHOUT_STATEMENT),
    ],
)
def test_a_camt_statement_comes_in_to_the_cent(bank, deliver, path):
    """Catches a statement of which one account is lost, or an entry that is only expected."""
    booked = [row for row in rows(path, type="camt") if row["status"] == "BOOK"]
    verdict = deliver("camt_statement", path)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    assert loaded(bank) == [
        (Decimal(str(row["amount"])), date.fromisoformat(str(row["booking_date"])), row["currency"])
        for row in booked
    ]


def test_the_excerpt_of_a_camt_file_has_its_references():
    """Catches fields of one statement that are told of another."""
    first, second = rows(EXCERPTS / "camt053.v2.multi.statement.xml", type="camt")
    assert (first["end_to_end_id"], first["description"]) == ("000000001", "Transaction Description 1")
    assert (second["end_to_end_id"], second["counterparty_name"]) == ("000000002", "Company Name 2")
    assert (first["amount"], second["amount"], first["account"]) == ("8.85", "-7.00", "NL26VAYB8060476890")
    assert first["statement_id"] != second["statement_id"]


def camt(*entries: str, version: str = "053.001.08", head: str = "") -> bytes:
    """A statement of one account."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<Document '
        f'xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{version}"><BkToCstmrStmt><GrpHdr><MsgId>m</MsgId></GrpHdr>'
        "<Stmt><Id>s</Id><Acct><Id><IBAN>GB33BUKB20201555555555</IBAN></Id></Acct>"
        f"{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def entry(amount: str = "10.00", way: str = "DBIT", details: str = "", more: str = "") -> str:
    """A booked entry in pounds."""
    return (
        f'<Ntry><Amt Ccy="GBP">{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd>{more}<Sts>BOOK</Sts>'
        "<BookgDt><Dt>2025-01-02</Dt></BookgDt><BkTxCd><Prtry><Cd>X</Cd></Prtry></BkTxCd>"
        f"<NtryDtls>{details}</NtryDtls></Ntry>"
    )


def detail(amount: str, reference: str, way: str = "DBIT", currency: str = "GBP") -> str:
    return (
        f"<TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs><Amt Ccy='{currency}'>{amount}</Amt>"
        f"<CdtDbtInd>{way}</CdtDbtInd><RltdPties><Dbtr><Pty><Nm>D{reference}</Nm></Pty></Dbtr>"
        f"<Cdtr><Pty><Nm>C{reference}</Nm></Pty></Cdtr></RltdPties></TxDtls>"
    )


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (detail("4.00", "a") + detail("6.00", "b"), [("-4.00", "a", "Ca"), ("-6.00", "b", "Cb")]),
        (detail("12.00", "a") + detail("2.00", "b", "CRDT"), [("-12.00", "a", "Ca"), ("2.00", "b", "Db")]),
        (detail("4.00", "a") + detail("5.00", "b"), [("-10.00", None, None)]),
        (detail("4.00", "a", currency="USD") + detail("6.00", "b"), [("-10.00", None, None)]),
        (detail("4.00", "same") + detail("5.00", "same"), [("-10.00", "same", "Csame")]),
        (detail("1E999999999", "a") + detail("1E999999999", "b"), [("-10.00", None, None)]),
        (detail("1", "alone"), [("-10.00", "alone", "Calone")]),
        ("", [("-10.00", None, None)]),
    ],
)
def test_a_batch_is_split_only_where_its_parts_add_up(tmp_path, details, expected):
    """Catches a batch that counts twice, or whose records sum to something else than the bank booked."""
    found = rows(written(tmp_path, camt(entry(details=details))), type="camt")
    assert [(row["amount"], row["end_to_end_id"], row["counterparty_name"]) for row in found] == expected
    assert [row["detail_number"] for row in found] == [str(n) for n in range(1, len(found) + 1)]


def test_a_reversal_names_the_parties_of_what_it_takes_back(tmp_path):
    """Catches the customer as the counterparty of their own refund."""
    reversal = entry(way="CRDT", more="<RvslInd>true</RvslInd>", details=detail("10.00", "r", "CRDT"))
    (row,) = rows(written(tmp_path, camt(reversal)), type="camt")
    assert (row["amount"], row["is_reversal"], row["counterparty_name"]) == ("10.00", "true", "Cr")


@pytest.mark.parametrize("version", ["052.001.01", "053.001.02", "054.001.12", "053.001.99"])
def test_a_version_of_camt_that_is_new_reads_like_the_old(tmp_path, version):
    """Catches paths that hold the name space of one version."""
    assert len(rows(written(tmp_path, camt(entry(), version=version)), type="camt")) == 1


def test_a_camt_document_may_stand_in_an_envelope(tmp_path):
    """Catches statements of banks that send ISO 20022's business envelope around them."""
    document = camt(entry()).decode().split("?>")[1]
    path = written(tmp_path, f"<BizMsgEnvlp xmlns='urn:x'><AppHdr/>{document}</BizMsgEnvlp>")
    assert [row["amount"] for row in rows(path, type="camt")] == ["-10.00"]


def test_an_entry_that_cannot_be_read_is_quarantined_alone(bank, deliver):
    """Catches one bad amount that takes a statement with it, or that becomes a number."""
    good = [entry(f"{number}.00") for number in range(1, 201)]
    bad = entry("12,50")
    verdict = deliver("camt_statement", Path("a.xml"), camt(*good, bad))
    assert (verdict.verdict, verdict.records, verdict.quarantined) == ("loaded", 201, 1)
    assert bank.rows("select record from raw.quarantine") == [(201,)]


EXPANDING = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(camt(entry(more="&b;"), head=EXPANDING), id="entities"),
        pytest.param(camt(entry(more="&a;"), head=OUTSIDE), id="a file"),
        pytest.param(camt(entry(), head='<!DOCTYPE d SYSTEM "http://example.test/d.dtd">'), id="the network"),
        pytest.param(camt(entry())[:-60], id="cut"),
        pytest.param(camt(entry() + "<a>" * 1000), id="depth"),
        pytest.param(b"<html/>", id="no Document"),
        pytest.param(b"Date,Amount\n", id="no XML"),
        pytest.param(b"", id="empty"),
    ],
)
def test_hostile_xml_is_refused(tmp_path, content):
    """Catches entities that expand or read files, and half a file that loads."""
    with pytest.raises(Unreadable):
        rows(written(tmp_path, content), type="camt")


def test_a_camt_file_without_a_statement_becomes_a_message_for_a_person(bank, deliver, golden):
    """Catches a file that is taken for an empty one."""
    path = shared("formats") / CAMT / CAMT_WITHOUT_STATEMENT[0]
    golden("refused_camt", deliver("camt_statement", path).message)
    assert rows(path.with_name(CAMT_EMPTY[0]), type="camt") == []


# Plaid, and exports in CSV

PLAID = "plaid+sandbox-custom-users"


def plaid_files() -> list[Any]:
    return [
        path
        for path in files(PLAID, "*.json")
        if isinstance(path, Path) or '"date_posted"' in path.values[0].read_text()
    ]


@pytest.mark.parametrize("path", [pytest.param(EXCERPTS / "plaid.json", id="excerpt"), *plaid_files()])
def test_the_accounts_of_a_plaid_user_come_in_to_the_cent(bank, deliver, path):
    """Catches an account whose transactions are taken for another's, and outflow with the wrong sign."""
    accounts = json.loads(path.read_text(), parse_float=Decimal, parse_int=Decimal)["override_accounts"]
    expected = [
        (
            f"{account['type']} {account['subtype']}",
            -each["amount"],
            each["date_posted"],
            each["description"].strip(),
        )
        for account in accounts
        for each in account.get("transactions", [])
    ]
    verdict = deliver("plaid_transactions", path)
    assert (verdict.verdict, verdict.message, verdict.quarantined) == ("loaded", "", 0)
    assert expected == bank.rows(
        "select account_id, amount, business_date::varchar, description from raw.transactions"
        " order by _record"
    )


def nested(*accounts: dict[str, Any]) -> bytes:
    return json.dumps({"before": [1], "bank": {"accounts": accounts}, "after": {"a": 1}}).encode()


def test_records_below_several_parents_have_their_fields(tmp_path):
    """Catches fields of a parent that come after its records, and those of another parent."""
    first = {"moves": {"list": [{"n": 1, "in": {"n": 2}}, {"n": 3}]}, "id": "a", "tags": [{"n": 9}], "n": 5}
    path = written(tmp_path, nested(first, {"id": "b"}, {"id": "c", "moves": {"of": 2, "list": [{"n": 4}]}}))
    found = rows(path, type="json", records="bank.accounts.*.moves.list")
    assert [(row["n"], row["in.n"], row["bank.accounts.id"], row["bank.accounts.n"]) for row in found] == [
        ("1", "2", "a", "5"),
        ("3", None, "a", "5"),
        ("4", None, "c", None),
    ]
    assert found[2]["bank.accounts.moves.of"] == "2"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(nested({"moves": [{"n": 1}]})[:-30], id="cut in a record"),
        pytest.param(nested({"moves": [{"n": 1}]})[:-2], id="cut at the end"),
        pytest.param(nested({"moves": [{"n": 1}, 2]}), id="a number for a record"),
        pytest.param(nested([]), id="a list for a parent"),  # type: ignore[arg-type]
        pytest.param(b'{"bank": {}}', id="no array"),
    ],
)
def test_json_that_is_not_nested_as_the_contract_says_is_refused(tmp_path, content):
    """Catches a file of which a part is read."""
    with pytest.raises(Unreadable):
        rows(written(tmp_path, content), type="json", records="bank.accounts.*.moves")


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
