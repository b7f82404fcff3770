"""OFX and QFX statements, versions 1 (SGML) and 2 (XML): bank, card and investment accounts.

Columns:
    kind: bank, card, investment (trades, whose amount is the total stated) or investment_cash.
    account, account_type, bank_id, branch_id, currency: of the statement; the currency of the transaction
        where it has its own.
    ledger_balance, available_balance: of the statement, signed.
    booking_date: the day as the bank states it. booked_at: the time, where there is one, with its offset
        where that is stated; the standard means UTC without one, but many banks mean their own time.
    user_date: the day on which the customer acted, where it is stated.
    amount: signed; negative leaves the account.
    transaction_id: the bank's FITID, unique within an account. reference, check_number, merchant_code.
    transaction_type: DEBIT, CREDIT, POS, ...; of a trade BUYMF, INCOME, ...
    name, memo: as given; description: both, without saying anything twice.
    original_currency, exchange_rate: where the bank has converted.
    security, units, unit_price, settled_on: of trades.
"""

import io
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bs4.exceptions import ParserRejectedMarkup
from ofxparse import AccountType, OfxParser
from ofxparse.ofxparse import InvestmentTransaction, OfxParserException

from nightledger.ingestion.formats import Table, Unreadable, opened, whole

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

HEADER = (
    *("kind", "account", "account_type", "bank_id", "branch_id", "currency"),
    *("ledger_balance", "available_balance", "booking_date", "booked_at", "user_date", "amount"),
    *("transaction_id", "reference", "check_number", "merchant_code", "transaction_type"),
    *("name", "memo", "description", "original_currency", "exchange_rate"),
    *("security", "units", "unit_price", "settled_on"),
)
_KINDS = {AccountType.Bank: "bank", AccountType.CreditCard: "card", AccountType.Investment: "investment_cash"}
_AMOUNT = re.compile(
    r"[+-]?(\d+([.,]\d*)?|[.,]\d+|\d{1,3}( \d{3})+([.,]\d*)?|\d{1,3}(,\d{3})+\.\d*|\d{1,3}(\.\d{3})+,\d*)"
)
_UNCLEAR = re.compile(r"[+-]?\d{1,3},\d{3}")
"""A thousand or three decimals: nobody can say."""
_TIME = re.compile(
    r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(\.\d{1,6})?)?)?\s*(?:\[([+-]?\d{1,2})(?:\.(\d{1,2}))?(?::\w*)?\])?"
)
_FAULTS = (
    *(OfxParserException, ParserRejectedMarkup, RecursionError),
    *(ValueError, ArithmeticError, LookupError, TypeError, AttributeError),
)
"""What the library and its parser raise on a broken file."""
_ASK = "ask the sender to send it again"


class _Moment(NamedTuple):
    """A day, and a time if there is one, as ISO 8601 texts."""

    day: str | None
    time: str | None


class _Parser(OfxParser):  # type: ignore[misc] # the library has no types
    """The library's parser, which keeps days as stated and takes no number that can be read in two ways."""

    @classmethod
    def parseTransaction(cls, element: Any) -> Any:
        try:
            transaction = super().parseTransaction(element)
        except OfxParserException as error:
            names = {"Amount": "TRNAMT", "Date": "DTPOSTED", "FIT": "FITID"}
            raise Unreadable(
                "a transaction has no amount, day or id that can be read",
                _ASK,
                record=len(element.find_all_previous("stmttrn")) + 1,
                column=next((name for word, name in names.items() if word in str(error)), None),
            ) from error
        transaction.element = element
        return transaction

    @classmethod
    def parseInvestmentTransaction(cls, element: Any) -> Any:
        transaction = super().parseInvestmentTransaction(element)
        transaction.element = element
        return transaction

    @classmethod
    def toDecimal(cls, element: Any) -> Decimal:
        text = element.contents[0].strip()
        if _UNCLEAR.fullmatch(text) or not _AMOUNT.fullmatch(text):
            raise InvalidOperation
        number: Decimal = super().toDecimal(element)
        return number

    @classmethod
    def parseOfxDateTime(cls, ofxDateTime: str) -> _Moment:
        return _moment(ofxDateTime)


def _moment(text: str) -> _Moment:
    """A day and time as written; the library would shift a day by its offset.

    Raises:
        ValueError: there is no such day.
    """
    if text.startswith("00000000"):
        return _Moment(None, None)
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError("Invalid Date")
    year, month, day, hour, minute, second, fraction, offset, part = found.groups()
    date = f"{year}-{month}-{day}"
    try:
        datetime.fromisoformat(f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}")
    except ValueError as error:
        raise ValueError("Invalid Date") from error
    if hour is None:
        return _Moment(date, None)
    zone = ""
    if offset is not None:  # in hours, as -3.5
        minutes = round(float(f"0.{part or 0}") * 60)
        zone = f"{'-' if offset.startswith('-') else '+'}{abs(int(offset)):02}:{minutes:02}"
    return _Moment(date, f"{date}T{hour}:{minute}:{second or '00'}{fraction or ''}{zone}")


def read(path: Path, form: "FileFormat") -> Table:
    """The transactions of all accounts of a file, read at once: a statement is small.

    Raises:
        Unreadable: no OFX, cut short, an error instead of a statement, or a field that cannot be read.
    """
    with opened(path) as file:
        text = _decoded(whole(file), form.encoding)
    start = re.search(r"<OFX>", text, re.IGNORECASE)
    if not start:
        raise Unreadable("is no OFX file", "ask the sender for an OFX file")
    if not text.rstrip().upper().endswith("</OFX>"):
        raise Unreadable("is cut short: it has no </OFX>", _ASK)
    if re.search(r"<SEVERITY>\s*ERROR", text, re.IGNORECASE):
        raise Unreadable("holds an error of the bank's server in place of a statement", _ASK)
    # An empty element says no more than none, but the library stops at some of them.
    body = re.sub(r"<([A-Z0-9_.]+)>\s*</\1>", "", _closed(text[start.start() :]), flags=re.IGNORECASE)
    if not re.search(r"<((CC|INV)?STMTRS|ACCTINFO)>", body, re.IGNORECASE):
        raise Unreadable("holds no statement of an account", "ask the sender for a statement")
    try:
        file_of = _Parser.parse(io.BytesIO(b"ENCODING:UTF-8\n\n" + body.encode()))
    except _FAULTS as error:
        # An amount of a balance and a day of a statement come here; the library's message quotes them.
        raise Unreadable("a field of a statement cannot be read", _ASK) from error
    rows = [row for account in file_of.accounts for row in _rows(account)]
    expected = len(re.findall(r"<STMTTRN>", body, re.IGNORECASE))
    if sum(row["kind"] != "investment" for row in rows) != expected:
        raise Unreadable("a transaction stands outside of any statement", _ASK)
    return Table(HEADER, iter([[row.get(column) for column in HEADER] for row in rows]))


def _closed(body: str) -> str:
    """Close what version 1 leaves open, as the library does, but in time that grows with the file only."""
    closed = {name.upper() for name in re.findall(r"</([A-Za-z0-9_.]+)>", body)}

    def close(found: re.Match[str]) -> str:
        return found[0] if found[1].upper() in closed else f"{found[0]}</{found[1]}>"

    return re.sub(r"<([A-Za-z0-9_.]+)>[^<]*", close, body)


def _decoded(content: bytes, fallback: str) -> str:
    """The text, by the encoding that the file states; of the two headers, XML's counts for version 2."""
    head = content[:1024].decode("ascii", "replace")
    xml = re.search(r"<\?xml[^>]*encoding=[\"']([^\"']+)", head)
    named = re.search(r"ENCODING:\s*(\S+)(?:\s+CHARSET:\s*(\S+))?", head)
    if xml:
        encoding = xml[1]
    elif named:
        is_ansi = named[1].upper() == "USASCII"
        charset = (named[2] or "1252").upper()
        ansi = "iso-8859-1" if charset == "8859-1" else "ascii" if charset == "NONE" else f"cp{charset}"
        encoding = ansi if is_ansi else "utf-8"
    else:
        encoding = fallback
    try:
        return content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"is not {error.encoding}, as its header says: byte {error.start:,}", _ASK
        ) from error
    except (LookupError, ValueError) as error:  # some of Python's encodings are none of text
        raise Unreadable("states an encoding that does not exist", _ASK) from error


def _rows(account: Any) -> Iterator[dict[str, str | None]]:
    statement = account.statement
    if statement is None:
        return
    shared = {
        "kind": _KINDS[account.type],
        "account": account.account_id or None,
        "account_type": account.account_type or None,
        "bank_id": account.routing_number or None,
        "branch_id": account.branch_id or None,
        "ledger_balance": _number(getattr(statement, "balance", None)),
        "available_balance": _number(getattr(statement, "available_balance", None)),
    }
    currency = (getattr(statement, "currency", None) or "").upper() or None
    for transaction in statement.transactions:
        own = _below(transaction.element, "currency", "cursym")
        special = _trade if isinstance(transaction, InvestmentTransaction) else _booking
        yield shared | {"currency": own or currency} | special(transaction)


def _booking(transaction: Any) -> dict[str, str | None]:
    element = transaction.element
    name, memo = _line(transaction.payee), _line(transaction.memo)
    words = [text for text in (name, memo) if text]
    if len(words) == 2 and (words[1].startswith(words[0]) or words[0].startswith(words[1])):
        words = [max(words, key=len)]
    booked, used = transaction.date, transaction.user_date
    return {
        "booking_date": booked.day,
        "booked_at": booked.time,
        "user_date": used.day if used else None,
        "amount": _number(Decimal(transaction.amount)),
        "transaction_id": _line(transaction.id),
        "reference": _below(element, "refnum"),
        "check_number": _line(transaction.checknum),
        "merchant_code": _line(transaction.sic),
        "transaction_type": _line(transaction.type.upper()),
        "name": name,
        "memo": memo,
        "description": " ".join(words) or None,
        "original_currency": _below(element, "origcurrency", "cursym"),
        "exchange_rate": _below(element, "origcurrency", "currate"),
    }


def _trade(trade: Any) -> dict[str, str | None]:
    has_total = trade.element.find("total") is not None
    return {
        "kind": "investment",
        "booking_date": trade.tradeDate.day if trade.tradeDate else None,
        "booked_at": trade.tradeDate.time if trade.tradeDate else None,
        "settled_on": trade.settleDate.day if trade.settleDate else None,
        # The library says 0 where no money moved or none is stated.
        "amount": _number(trade.total) if has_total else None,
        "transaction_id": _below(trade.element, "fitid"),
        "transaction_type": trade.type.upper(),
        "memo": _line(trade.memo),
        "description": _line(trade.memo) or trade.type.upper(),
        "security": _line(trade.security),
        "units": _number(trade.units),
        "unit_price": _number(trade.unit_price),
    }


def _below(element: Any, *names: str) -> str | None:
    """Text of an element below another; None where one of them is missing."""
    for name in names:
        element = element.find(name)
        if element is None:
            return None
    return _line(element.get_text())


def _line(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None


def _number(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
