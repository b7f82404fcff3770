"""Transactions as columns, and the codes that the bank's files use."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from simulation.people import Account, Booleans, Integers


class Mode(IntEnum):
    """How a payment is made; the files' code is the name."""

    CARD = 0
    UPI = 1
    WALLET = 2
    NEFT = 3  # NEFT and IMPS: a transfer that the payer starts
    NACH = 4  # mandate that the payee draws on
    SI = 5  # standing instruction
    CASH = 6
    CHG = 7
    INT = 8


class Channel(IntEnum):
    """Where the customer was; NONE (an empty field) where the bank acted by itself."""

    NONE = 0
    POS = 1
    ECOM = 2
    ATM = 3
    APP = 4


ELSEWHERE = 9
"""`other_account` of a transfer to or from the customer's own account at another bank."""


class Kind(IntEnum):
    """The bank's own transaction type; the files' code is the name."""

    PUR = 0  # purchase
    P2P = 1  # to or from a person
    CWD = 2  # cash withdrawal
    SAL = 3  # salary, pension
    BIZ = 4  # earnings of the self-employed
    RENT = 5
    EMI = 6  # instalment of a loan
    SIP = 7  # investment plan
    SUB = 8  # subscription
    INS = 9  # insurance premium
    OWN = 10  # between own accounts
    CCP = 11  # repayment of the credit card
    CHG = 12  # charge
    INT = 13  # interest
    REF = 14  # refund
    REV = 15  # reversal of a failed payment, debit that was returned
    LON = 16  # loan paid out by another bank


@dataclass
class Rows:
    """Transactions, one element per row in each column.

    Attributes:
        customer: index of the customer.
        account: `Account` code.
        day: simulated day on which it happened; `second`: second of that local day.
        file_day: day in whose file the row stands; later than `day` for postings.
        paise: signed amount, negative leaves the customer.
        mode: `Mode` code; `channel`: `Channel` code; `kind`: `Kind` code.
        merchant: index of the merchant, −1 for none; likewise `city`, `contact`, `terminal`.
        other_account: `Account` code of the customer's own account on the other side, −1 for none; ELSEWHERE:
            at another bank.
        category: index of the spending category, −1 for what is no payment of the customer's own choice.
        fraud: `fraud.Kind` code, 0 for none.
        number: the row's own number in the bank; `original`: that of the row it posts, refunds or reverses.
            Both are set when the books are kept; −1 is none.
        balance: of the account after the row, in paise; set when the books are kept, 0 before.
        is_pending: authorised and not yet posted.
        booked_second: booking, in seconds since midnight of `day`.
        origin: row of the same Rows that this one posts, refunds or reverses; −1 for none.
        description: what the statement says.
    """

    customer: Integers
    account: Integers
    day: Integers
    second: Integers
    file_day: Integers
    paise: Integers
    mode: Integers
    channel: Integers
    kind: Integers
    merchant: Integers
    city: Integers
    contact: Integers
    terminal: Integers
    other_account: Integers
    category: Integers
    fraud: Integers
    number: Integers
    original: Integers
    balance: Integers
    is_pending: Booleans
    booked_second: Integers
    origin: Integers
    description: pa.Array

    def __len__(self) -> int:
        return len(self.customer)

    def pick(self, index: npt.NDArray[Any], **replaced: Any) -> "Rows":
        """Some of the rows, in this order, with columns replaced (scalars are repeated)."""
        columns: dict[str, Any] = {}
        for name, values in vars(self).items():
            if name in replaced:
                value = replaced[name]
                columns[name] = value if name == "description" else np.broadcast_to(value, (len(index),))
            else:
                columns[name] = values.take(pa.array(index)) if name == "description" else values[index]
        return Rows(**columns)

    @staticmethod
    def concat(parts: list["Rows"]) -> "Rows":
        """All rows one after another; origins must be −1 or already count from the first part."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in vars(parts[0])
            if name != "description"
        }
        return Rows(**columns, description=pa.concat_arrays([part.description for part in parts]))


def rows(
    customer: Integers,
    day: Integers,
    second: Integers,
    paise: Integers,
    description: pa.Array,
    **columns: Any,
) -> Rows:
    """Posted rows of the current account with nothing that does not apply, except for `columns`."""
    values: dict[str, Any] = {
        "account": Account.CURRENT,
        "file_day": day,
        "channel": Channel.NONE,
        "merchant": -1,
        "city": -1,
        "contact": -1,
        "terminal": -1,
        "other_account": -1,
        "category": -1,
        "fraud": 0,
        "number": -1,
        "original": -1,
        "balance": 0,
        "is_pending": False,
        "booked_second": second,
        "origin": -1,
        **columns,
    }
    for name, value in values.items():
        dtype = np.bool_ if name == "is_pending" else np.int64
        values[name] = np.broadcast_to(np.asarray(value, dtype=dtype), (len(customer),))
    return Rows(customer=customer, day=day, second=second, paise=paise, description=description, **values)
