"""Which rows below the names are records: not the subtotals, not the rows at the foot, not the trailer."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, TypeVar

from nightledger.ingestion.formats import Unreadable
from nightledger.ingestion.statement import LAKH_DIGITS

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

Row = TypeVar("Row")


class Sieve(Generic[Row]):
    """Keeps the records of one table of rows, and what its trailer states.

    `stated` (rows, sum) is complete when the records are drawn. Numbers that cannot be read stay texts.
    """

    def __init__(
        self,
        form: "FileFormat",
        header: Sequence[str],
        cells: Callable[[Row], Sequence[str | None]],
        text: Callable[[Row], str],
    ) -> None:
        self.form, self.cells, self.text = form, cells, text
        self.stated: dict[str, object] = {}
        self.at_foot = max(form.footer_rows, 1 if form.trailer else 0)
        self.others = [
            (header.index(name), re.compile(pattern))
            for name, pattern in form.not_records.items()
            if name in header
        ]

    @staticmethod
    def of_cells(form: "FileFormat", header: Sequence[str]) -> "Sieve[Sequence[str | None]]":
        """A sieve for rows that are cells already; their text has the contract's delimiter between them."""
        return Sieve(
            form, header, lambda row: row, lambda row: form.delimiter.join(cell or "" for cell in row)
        )

    def records(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The records among the rows, of which none is blank.

        Raises:
            Unreadable: the file ends without its trailer.
        """
        held: deque[Row] = deque()
        for row in rows:
            held.append(row)
            if len(held) > self.at_foot:
                record = held.popleft()
                if not self._is_other(record):
                    yield record
        if self.form.trailer:
            self._read_trailer(held)

    def _is_other(self, row: Row) -> bool:
        if not self.others:
            return False
        cells = self.cells(row)
        return any(
            place < len(cells) and pattern.fullmatch((cells[place] or "").strip())
            for place, pattern in self.others
        )

    def _read_trailer(self, foot: Iterable[Row]) -> None:
        found = (re.fullmatch(self.form.trailer or "", self.text(row).strip()) for row in foot)
        match = next((match for match in found if match), None)
        if match is None:
            raise Unreadable(
                "it does not end with the trailer that the contract describes",
                "ask the sender for the whole file, or mend format.trailer in the contract",
            )
        for name, text in match.groupdict(default="").items():
            if name in ("rows", "sum"):
                plain = _plain(text, self.form)
                is_count = name == "rows" and plain.isdecimal() and len(plain) <= LONGEST_COUNT
                self.stated[name] = int(plain) if is_count else plain


LONGEST_COUNT = 18
"""Digits of a number of records; Python reads no more than 4,300."""


def added(first: dict[str, object], second: dict[str, object]) -> dict[str, object]:
    """What two trailers of one file state together; a number that cannot be read stays a text."""
    total = dict(second)
    for name, value in first.items():
        other = second.get(name, "")
        if isinstance(value, int) and isinstance(other, int):
            total[name] = value + other
        elif _is_number(value) and _is_number(other):
            total[name] = str(Decimal(str(value)) + Decimal(str(other)))
        else:
            total[name] = value if _is_number(other) else other
    return total


def _is_number(value: object) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", str(value)) is not None


def _plain(text: str, form: "FileFormat") -> str:
    """A number of a trailer with a decimal point and no marks of thousands; any other text as it is."""
    text = text.strip()
    mark = form.thousands or (".," if form.decimal == "," else "")[:1]
    whole = rf"[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+|[0-9]+" if mark else "[0-9]+"
    if mark == ",":
        whole = f"{LAKH_DIGITS}|{whole}"
    if not re.fullmatch(rf"[+-]?(?:{whole})(?:{re.escape(form.decimal)}[0-9]*)?", text):
        return text
    return text.replace(mark, "").replace(form.decimal, ".") if mark else text.replace(form.decimal, ".")
