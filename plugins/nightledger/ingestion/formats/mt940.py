"""SWIFT statements: MT940 and the interim reports MT942, one record per `:61:` line.

Columns:
    account, currency: of the statement (`:25:` and its balances or floor limits).
    statement_reference, statement_number: `:20:` and `:28C:`.
    opening_balance, closing_balance, closing_balance_date: `:60:` and `:62:`, signed; MT942 has none.
    booking_date: the entry date; where the bank gives none, the value date.
    value_date: as stated. A 30 February, which banks with years of 360 days write, is the last of February.
    amount: signed; negative leaves the account, and so does the reversal of a credit.
    is_reversal: true or false.
    transaction_type: the code of `:61:`, as NTRF.
    transaction_code, posting_text: of structured details, as 166 and GUTSCHRIFT.
    customer_reference, bank_reference, end_to_end_reference, mandate_reference, creditor_id.
    counterparty_name, counterparty_account, counterparty_bank: of structured details.
    supplementary_details: the end of `:61:`.
    description: the purpose of structured details, otherwise the whole `:86:` in one line.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt940 import Options, tags
from mt940.models import Amount, Balance, Transactions

from nightledger.ingestion.formats import Table, Unreadable, opened, whole

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

# The library logs the text of a field that it cannot read, which is a customer's.
logging.getLogger("mt940").setLevel(logging.CRITICAL + 1)

_DETAILS = {
    "transaction_type": "id",
    "transaction_code": "transaction_code",
    "posting_text": "posting_text",
    "customer_reference": "customer_reference",
    "bank_reference": "bank_reference",
    "end_to_end_reference": "end_to_end_reference",
    "mandate_reference": "additional_position_reference",
    "creditor_id": "applicant_creditor_id",
    "counterparty_name": "applicant_name",
    "counterparty_account": "applicant_iban",
    "counterparty_bank": "applicant_bin",
    "supplementary_details": "extra_details",
}
"""Name of the library by column."""
HEADER = (
    *("account", "currency", "statement_reference", "statement_number"),
    *("opening_balance", "closing_balance", "closing_balance_date"),
    *("booking_date", "value_date", "amount", "is_reversal"),
    *_DETAILS,
    "description",
)
_BALANCES = (
    *(tags.OpeningBalance, tags.FinalOpeningBalance, tags.IntermediateOpeningBalance),
    *(tags.ClosingBalance, tags.FinalClosingBalance, tags.IntermediateClosingBalance),
)
_AMOUNT = r"\d*(?:,\d*)?(?![\d.,])"
_REFERENCE = r"((?!//)[^\n]){0,16}"
_LINE = (
    tags.Statement.pattern.replace(r"[\d,]{1,15}", _AMOUNT)
    # Some banks put a whole IBAN here; what the library reads stays as it is.
    .replace(_REFERENCE, rf"{_REFERENCE}|((?!//)[^\n]){{17,34}}(?=\n)")
)


def _strict(tag: type[tags.Tag], pattern: str) -> tags.Tag:
    """A tag of the library that takes no number cut short: it would read 12.50 as 12."""
    made: tags.Tag = type(tag.__name__, (tag,), {"pattern": pattern})()
    return made


_TAGS: dict[int | str, tags.Tag] = {
    **{tag.id: _strict(tag, tag.pattern.replace("[0-9,]{0,16}", _AMOUNT)) for tag in _BALANCES},
    tags.Statement.id: _strict(tags.Statement, _LINE),
}


def _name_the_type(_collection: Any, _tag: Any, _fields: Any, result: dict[str, Any]) -> dict[str, Any]:
    """Without a type the library would write the next transaction over this one."""
    return result | {"id": result.get("id") or " "}


def _leave_the_statement(
    collection: Transactions, _tag: Any, _fields: Any, result: dict[str, Any]
) -> dict[str, Any]:
    """A `:86:` behind the closing balance tells of the statement, not of its last transaction."""
    return {} if any(name.endswith("closing_balance") for name in collection.data) else result


def _statement() -> Transactions:
    defaults = Transactions.DEFAULT_PROCESSORS
    return Transactions(
        processors={
            "post_statement": [*defaults["post_statement"], _name_the_type],
            "post_transaction_details": [*defaults["post_transaction_details"], _leave_the_statement],
        },
        tags=_TAGS,
        options=Options.all(),
    )


def read(path: Path, form: "FileFormat") -> Table:
    """The transactions of all statements of a file, read at once: a statement is small.

    Raises:
        Unreadable: a field breaks the format, a statement has no end, or a transaction would be lost.
    """
    with opened(path) as file:
        content = whole(file)
    try:
        text = content.decode("utf-8-sig" if form.encoding == "utf-8" else form.encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"is not {form.encoding}: byte {error.start:,}",
            "state the bank's `encoding` in the contract's `format`",
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    blocks = re.split(r"(?m)^(?=:20:)", text)
    rows: list[list[str | None]] = []
    for block in blocks if len(blocks) == 1 else blocks[1:]:
        rows += _rows(block, len(rows))
    if len(rows) != len(re.findall(r"(?m)^:61:", text)):
        raise Unreadable("a transaction stands outside of any statement", "ask the sender to send it again")
    if not re.search(r"(?m)^:(20|25):", text):
        raise Unreadable("holds no SWIFT statement", "ask the sender for an MT940 or MT942 file")
    return Table(HEADER, iter(rows))


def _rows(block: str, before: int) -> Iterator[list[str | None]]:
    statement = _statement()
    try:
        statement.parse(block)
    except (RuntimeError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise Unreadable(
            "a field is not written as MT940 says",
            "ask the sender to send it again",
            record=before + max(len(statement.transactions), 1),
        ) from error
    opening, closing = (_balance(statement, which) for which in ("opening", "closing"))
    if opening and not closing:
        raise Unreadable(
            "ends before the closing balance of a statement",
            "ask the sender to send it again",
            record=before + len(statement.transactions),
        )
    whole = {
        "account": statement.data.get("account_identification"),
        "statement_reference": statement.data.get("transaction_reference"),
        "statement_number": statement.data.get("statement_number"),
        "opening_balance": _number(opening),
        "closing_balance": _number(closing),
        "closing_balance_date": closing.date.isoformat() if closing and closing.date else None,
    }
    for transaction in statement.transactions:
        data = transaction.data
        if "amount" not in data:
            continue
        booked = data.get("entry_date")
        values = whole | {
            "currency": data["amount"].currency,
            "booking_date": (data["date"] if booked is None else booked).isoformat(),
            "value_date": data["date"].isoformat(),
            "amount": f"{data['amount'].amount:f}",
            "is_reversal": "true" if str(data["status"]).upper().startswith("R") else "false",
            "description": data.get("purpose") or data.get("transaction_details"),
        }
        values |= {column: data.get(name) for column, name in _DETAILS.items()}
        yield [" ".join(str(values[name] or "").split()) or None for name in HEADER]


def _balance(statement: Transactions, which: str) -> Balance | None:
    names = (f"final_{which}_balance", f"{which}_balance", f"intermediate_{which}_balance")
    return next((statement.data[name] for name in names if name in statement.data), None)


def _number(balance: Balance | None) -> str | None:
    return f"{balance.amount.amount:f}" if balance and isinstance(balance.amount, Amount) else None
