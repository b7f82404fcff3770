"""ISO 20022's CAMT documents, compared with what the project that collected them reads."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from nightledger.ingestion.formats import Unreadable
from tests.helpers.real_files import shared
from tests.unit.ingestion.bank_formats.helpers import (
    EXCERPTS,
    Row,
    files,
    loaded,
    rows,
    written,
)

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
