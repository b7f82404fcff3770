"""ISO 20022 statements in XML: CAMT.052 reports, CAMT.053 statements, CAMT.054 notifications; any version.

One record per entry; where an entry is a batch whose details add up to it, one per detail. What the details
of an entry that stays whole do not agree on is left out.

Columns:
    kind: report, statement or notification. statement_id, created_at: of the statement.
    account, account_name, account_owner, account_currency: the IBAN, otherwise the bank's own number.
    opening_balance, closing_balance, closing_balance_date: as booked, signed.
    amount, currency: signed; negative leaves the account. For a reversal this is the way the money goes now.
    is_reversal: true or false. status: BOOK, PDNG, INFO, FUTR.
    booking_date, booked_at, value_date, value_at: the times only where the bank states them, with its offset.
    entry_number, detail_number: position in the statement and in the batch, from 1.
    entry_reference, servicer_reference: of the entry; the second of the detail where it has one.
    end_to_end_id, instruction_id, transaction_id, mandate_id, payment_id, message_id, uetr, cheque_number,
        clearing_reference.
    bank_code: domain, family and sub-family, as PMNT-RCDT-ESCT. proprietary_code: the bank's own.
    instructed_amount, instructed_currency: what was ordered, unsigned, where it differs in currency.
    charges: the total, unsigned. return_reason: code of a return.
    debtor_name, debtor_account, creditor_name, creditor_account,
        ultimate_debtor_name, ultimate_creditor_name.
    counterparty_name, counterparty_account, counterparty_bank: the debtor of what comes in, the creditor of
        what leaves.
    remittance: unstructured; structured_reference: the creditor's reference, as of an invoice.
    additional_information: what the bank adds.
    description: the first that is given of remittance, what the bank adds, structured reference,
        counterparty and code.

No library fits: `pycamt` knows neither notifications nor streams, `camt053` brings a web server along.
"""

import functools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lxml import etree

from nightledger.ingestion.formats import Table, Unreadable, opened

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

_KINDS = {"Rpt": "report", "Stmt": "statement", "Ntfctn": "notification"}
_DETAILS = {
    "end_to_end_id": "Refs/EndToEndId",
    "instruction_id": "Refs/InstrId",
    "transaction_id": "Refs/TxId",
    "mandate_id": "Refs/MndtId",
    "payment_id": "Refs/PmtInfId",
    "message_id": "Refs/MsgId",
    "uetr": "Refs/UETR",
    "cheque_number": "Refs/ChqNb",
    "clearing_reference": "Refs/ClrSysRef",
    "instructed_amount": "AmtDtls/InstdAmt/Amt",
    "charges": "Chrgs/TtlChrgsAndTaxAmt",
    "return_reason": "RtrInf/Rsn/Cd",
    "debtor_name": "RltdPties/Dbtr//Nm",
    "debtor_account": "RltdPties/DbtrAcct/Id",
    "creditor_name": "RltdPties/Cdtr//Nm",
    "creditor_account": "RltdPties/CdtrAcct/Id",
    "ultimate_debtor_name": "RltdPties/UltmtDbtr//Nm",
    "ultimate_creditor_name": "RltdPties/UltmtCdtr//Nm",
    "remittance": "RmtInf/Ustrd",
    "structured_reference": "RmtInf/Strd/CdtrRefInf/Ref",
}
"""Path below a detail by column."""
HEADER = (
    *("kind", "statement_id", "created_at"),
    *("account", "account_name", "account_owner", "account_currency"),
    *("opening_balance", "closing_balance", "closing_balance_date"),
    *("amount", "currency", "is_reversal", "status"),
    *("booking_date", "booked_at", "value_date", "value_at"),
    *("entry_number", "detail_number", "entry_reference", "servicer_reference"),
    *("bank_code", "proprietary_code", "instructed_currency"),
    *_DETAILS,
    *(
        "counterparty_name",
        "counterparty_account",
        "counterparty_bank",
        "additional_information",
        "description",
    ),
)
_DESCRIPTION = (
    *("remittance", "additional_information", "structured_reference"),
    *("counterparty_name", "bank_code", "proprietary_code"),
)
Fields = dict[str, str | None]


def read(path: Path, form: "FileFormat") -> Table:
    """The entries of all statements of a file, one after the other.

    Raises:
        Unreadable: while the rows are drawn, when this is no CAMT file, or no whole one.
    """
    return Table(HEADER, _rows(path))


def _rows(path: Path) -> Iterator[list[str | None]]:
    """One entry in memory at a time, without entities, document types or a look at the network."""
    statement: Fields = {}
    count = entries = 0
    with opened(path) as file:
        events = etree.iterparse(
            file,
            events=("start", "end"),
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            for event, element in events:
                name = _name(element)
                if event == "start":
                    if element.getparent() is None:
                        _check_root(element)
                    elif name in _KINDS and _name(element.getparent()).startswith("BkToCstmr"):
                        statement, entries = {"kind": _KINDS[name]}, 0
                elif name == "Ntry" and statement:
                    entries += 1
                    above = element.getparent()
                    if entries == 1:  # what is said of the statement stands before its first entry
                        statement |= _of_statement(above)
                    for row in _entry(element, statement | {"entry_number": str(entries)}):
                        count += 1
                        yield [row.get(column) for column in HEADER]
                    above.remove(element)
        except etree.XMLSyntaxError as error:
            raise Unreadable(
                f"is no whole XML file: line {error.lineno or 1:,}",
                "ask the sender to send it again",
                record=count + 1,
            ) from error
    if not statement:
        raise Unreadable(
            "holds no statement, report or notification", "ask the sender for a CAMT.052, 053 or 054 file"
        )


def _check_root(root: Any) -> None:
    if root.getroottree().docinfo.doctype:
        raise Unreadable("defines a document type, which no CAMT file does", "do not open it; ask the sender")


def _name(element: Any) -> str:
    """Name without namespace: a version is one, and the paths are the same in all."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


@functools.cache
def _any_version(path: str) -> str:
    """A path of names as one that holds in every namespace."""
    return "/".join(f"{{*}}{name}" for name in path.split("/"))


def _all(element: Any, path: str) -> list[Any]:
    """The elements at a path of names; `//` takes the first one below, however deep."""
    head, _, deep = path.partition("//")
    found: list[Any] = element.findall(_any_version(head))
    if not deep:
        return found
    return [below for each in found if (below := each.find(f".//{_any_version(deep)}")) is not None]


def _text(element: Any, *paths: str) -> str | None:
    """Texts at the first path that has any, in one line."""
    for path in paths:
        words = " ".join("".join(each.itertext()) for each in _all(element, path)).split()
        if words:
            return " ".join(words)
    return None


def _account(element: Any, path: str) -> str | None:
    kinds = ("IBAN", "BBAN", "UPIC", "PrtryAcct/Id", "Othr/Id")
    return _text(element, *(f"{path}/{kind}" for kind in kinds))


def _signed(amount: str | None, way: str | None) -> str | None:
    """The amount with the sign of its way; None without a way, so that the record is set aside."""
    if amount is None or way not in ("CRDT", "DBIT"):
        return None
    return amount if way == "CRDT" else f"-{amount}"


def _of_statement(element: Any) -> Fields:
    fields: Fields = {
        "statement_id": _text(element, "Id"),
        "created_at": _text(element, "CreDtTm"),
        "account": _account(element, "Acct/Id"),
        "account_name": _text(element, "Acct/Nm"),
        "account_owner": _text(element, "Acct/Ownr//Nm"),
        "account_currency": _text(element, "Acct/Ccy"),
    }
    for balance in _all(element, "Bal"):
        code = _text(balance, "Tp/CdOrPrtry/Cd", "Tp/Cd")
        signed = _signed(_text(balance, "Amt"), _text(balance, "CdtDbtInd"))
        if code in ("OPBD", "PRCD"):
            fields["opening_balance"] = signed
        elif code == "CLBD":
            fields["closing_balance"] = signed
            fields["closing_balance_date"] = _day(balance, "Dt")
    return fields


def _day(element: Any, path: str) -> str | None:
    """The day as the bank states it: the one of its own clock, where it states a time."""
    text = _text(element, f"{path}/Dt", f"{path}/DtTm")
    return text[:10] if text else None


def _time(element: Any, path: str) -> str | None:
    """The time; some banks write it where a day belongs."""
    text = _text(element, f"{path}/DtTm", f"{path}/Dt")
    return text if text and "T" in text else None


def _entry(entry: Any, statement: Fields) -> Iterator[Fields]:
    way, amounts = _text(entry, "CdtDbtInd"), _all(entry, "Amt")
    is_reversal = _text(entry, "RvslInd") in ("true", "1")
    whole = statement | {
        "amount": _signed(_text(entry, "Amt"), way),
        "currency": amounts[0].get("Ccy") if amounts else None,
        "is_reversal": "true" if is_reversal else "false",
        "status": _text(entry, "Sts/Cd", "Sts/Prtry", "Sts"),
        "booking_date": _day(entry, "BookgDt"),
        "booked_at": _time(entry, "BookgDt"),
        "value_date": _day(entry, "ValDt"),
        "value_at": _time(entry, "ValDt"),
        "entry_reference": _text(entry, "NtryRef"),
        "servicer_reference": _text(entry, "AcctSvcrRef"),
    }
    details = _all(entry, "NtryDtls/TxDtls") or _all(entry, "TxDtls")  # the second in version 1
    parts = _parts(details, whole, way)
    for number, (detail, amount) in enumerate(parts, 1):
        yield _record(entry, [detail], is_reversal, whole | {"amount": amount, "detail_number": str(number)})
    if not parts:
        yield _record(entry, details, is_reversal, whole | {"detail_number": "1"})


def _parts(details: list[Any], whole: Fields, way: str | None) -> list[tuple[Any, str]]:
    """The details of a batch with their signed amounts; none unless they add up to the entry."""
    parts: list[tuple[Any, str]] = []
    for detail in details:
        amounts = _all(detail, "Amt") or _all(detail, "AmtDtls/TxAmt/Amt")
        amount = "".join(amounts[0].itertext()).strip() if amounts else None
        signed = _signed(amount, _text(detail, "CdtDbtInd") or way)
        if signed is None or amounts[0].get("Ccy") != whole["currency"]:
            return []
        parts.append((detail, signed))
    try:
        adds_up = sum(Decimal(amount) for _, amount in parts) == Decimal(whole["amount"] or "NaN")
    except ArithmeticError:
        return []
    return parts if adds_up and len(parts) > 1 else []


def _record(entry: Any, details: list[Any], is_reversal: bool, record: Fields) -> Fields:
    def agreed(*paths: str) -> str | None:
        texts = {_text(detail, *paths) for detail in details}
        return texts.pop() if len(texts) == 1 else None

    def account(path: str) -> str | None:
        texts = {_account(detail, path) for detail in details}
        return texts.pop() if len(texts) == 1 else None

    for column, path in _DETAILS.items():
        record[column] = account(path) if column.endswith("_account") else agreed(path)
    instructed = {
        each.get("Ccy") for detail in details for each in _all(detail, _DETAILS["instructed_amount"])
    }
    record["instructed_currency"] = instructed.pop() if len(instructed) == 1 else None
    if record["instructed_currency"] in (None, record["currency"]):
        record["instructed_amount"] = record["instructed_currency"] = None
    record["servicer_reference"] = agreed("Refs/AcctSvcrRef") or record["servicer_reference"]
    paths = [f"BkTxCd/Domn/{path}" for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")]
    codes = [agreed(path) or _text(entry, path) for path in paths]
    record["bank_code"] = "-".join(code for code in codes if code) or None
    record["proprietary_code"] = agreed("BkTxCd/Prtry/Cd") or _text(entry, "BkTxCd/Prtry/Cd")
    comes_in = not str(record["amount"]).startswith("-")
    # A reversal names the parties of the payment that it takes back.
    other = "debtor" if comes_in != is_reversal else "creditor"
    agent = "DbtrAgt" if other == "debtor" else "CdtrAgt"
    record["counterparty_name"] = record[f"{other}_name"]
    record["counterparty_account"] = record[f"{other}_account"]
    bank = f"RltdAgts/{agent}/FinInstnId"
    record["counterparty_bank"] = agreed(f"{bank}/BICFI", f"{bank}/BIC")
    record["additional_information"] = agreed("AddtlTxInf") or _text(entry, "AddtlNtryInf")
    record["description"] = next((record[column] for column in _DESCRIPTION if record[column]), None)
    return record
