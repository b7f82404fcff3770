"""What the columns of a sample hold, told from the texts alone: types, formats of dates, personal values."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb

from nightledger.ingestion.statement import currencies

DATE_FORMATS = [
    "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%d-%b-%Y", "%d-%b-%y", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%d%m%Y", "%d %b %Y", "%b %d, %Y",
    "%d %B %Y", "%B %d, %Y",
]  # fmt: skip
TIME_FORMATS = ["%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p"]
OFFSETS = ["%z", " %z"]
SEPARATORS = [" ", "T", ", "]
MARKS = {".": [None, ",", "'", " "], ",": [None, ".", " "]}
"""Thousands marks that go with a decimal mark, the likelier first."""
BOOLEANS = {"true", "false", "yes", "no", "y", "n", "t", "f", "0", "1"}
PERSONAL = {
    "e-mail address": r"[^@\s]+@[^@\s]+\.[a-z]{2,}",
    "IBAN": r"[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,4})?",
    "card number": r"[0-9]{13,19}|[0-9]{4}([ -][0-9]{4}){2}[ -][0-9]{1,7}|[*xX•. -]{4,}[0-9]{4}",
    "social security number": r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
    "phone number": r"\+[0-9][0-9 ()-]{7,17}|\([0-9]{3}\) ?[0-9]{3}-[0-9]{4}|[0-9]{3}-[0-9]{3}-[0-9]{4}",
}
MOST = 0.9
"""Share of a column's values that must look personal; some are blank, cash or the bank's own."""


@dataclass(frozen=True)
class Profile:
    """What one column holds.

    `kind` is text, integer, decimal, date, timestamp, time, boolean, currency or empty. `also` names other
    formats of dates that fit every value as well. `personal` says what most values look like.
    """

    name: str
    kind: str
    format: str | None = None
    also: tuple[str, ...] = ()
    personal: str | None = None
    is_complete: bool = False
    is_unique: bool = False
    share_negative: float = 0.0
    words: tuple[str, ...] = ()
    length: float = 0.0
    values: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return self.kind in ("integer", "decimal")

    @property
    def is_money_with_a_sign(self) -> bool:
        """Whether every value is a number beside a sign of currency, such as $20.00."""
        return self.kind == "text" and all(re.fullmatch(r"-?[$€£¥₹] ?[0-9.,]+", v) for v in self.values)

    @property
    def is_day(self) -> bool:
        """Whether every value is a date, with or without a time."""
        return self.kind in ("date", "timestamp")


def plain(name: str) -> str:
    """A name in small letters without accents and marks: `Währung (EUR)` becomes `wahrung eur`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    letters = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode()
    return " ".join(re.findall(r"[a-z0-9]+", letters.lower()))


def number_marks(columns: Sequence[Sequence[str]]) -> tuple[str, str | None]:
    """Decimal mark and thousands mark with which most columns are numbers; `.` and none when nothing tells.

    1,000 may be a thousand or a one, so three digits after a mark tell nothing.
    """
    best: tuple[str, str | None] = (".", None)
    most = (-1, 0)
    for decimal, thousands in ((mark, other) for mark, others in MARKS.items() for other in others):
        fits = [
            values for values in columns if values and all(is_number(v, decimal, thousands) for v in values)
        ]
        fraction = re.compile(rf"{re.escape(decimal)}([0-9]{{1,2}}|[0-9]{{4,}})$")
        told = sum(bool(fraction.search(value)) for values in fits for value in values)
        if (len(fits), told) > most:
            best, most = (decimal, thousands), (len(fits), told)
    return best


def is_number(text: str, decimal: str, thousands: str | None) -> bool:
    """Whether a text is a number with these marks."""
    groups = f"[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+|" if thousands else ""
    return bool(
        re.fullmatch(
            rf"[+-]?(({groups}[0-9]+)({re.escape(decimal)}[0-9]*)?|{re.escape(decimal)}[0-9]+)", text
        )
    )


def profile(
    name: str, texts: Sequence[str | None], marks: tuple[str, str | None], *, month_first: bool
) -> Profile:
    """Look at one column.

    Args:
        name: of the column.
        texts: its values in the order of the file.
        marks: decimal and thousands mark of the file.
        month_first: how 01/02 is read where nothing tells.
    """
    values = [text.strip() for text in texts if text and text.strip()]
    if not values:
        return Profile(name, "empty")
    kind, form, also = _kind(values, marks, month_first)
    numbers = kind in ("integer", "decimal")
    return Profile(
        name,
        kind,
        form,
        also,
        personal=next(
            (
                what
                for what, pattern in PERSONAL.items()
                if sum(bool(re.fullmatch(pattern, v, re.IGNORECASE)) for v in values) >= MOST * len(values)
                and not (what == "card number" and len(set(map(len, values))) > 7)
                and (kind in ("text", "integer"))
            ),
            None,
        ),
        is_complete=len(values) == len(texts),
        is_unique=len(values) == len(texts) == len(set(values)),
        share_negative=sum(value.startswith("-") for value in values) / len(values) if numbers else 0.0,
        words=tuple(sorted(set(values))) if len(set(values)) <= 12 else (),
        length=sum(map(len, values)) / len(values),
        values=tuple(values),
    )


def _kind(
    values: list[str], marks: tuple[str, str | None], month_first: bool
) -> tuple[str, str | None, tuple[str, ...]]:
    fits = _formats_that_fit(values, month_first)
    if fits:
        best = fits[0]
        is_time, has_day = "%M" in best, "%d" in best
        return ("timestamp" if is_time and has_day else "time" if is_time else "date"), best, tuple(fits[1:])
    distinct = set(values)
    if {value.lower() for value in distinct} <= BOOLEANS and len(distinct) == 2:
        return "boolean", None, ()
    if all(value.upper() in currencies() for value in distinct):
        return "currency", None, ()
    if all(is_number(value, *marks) for value in values):
        return ("integer" if all(re.fullmatch("[+-]?[0-9]+", v) for v in values) else "decimal"), None, ()
    if all(re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", v) or is_number(v, *marks) for v in values):
        return "decimal", None, ()
    return "text", None, ()


def _formats_that_fit(values: list[str], month_first: bool) -> list[str]:
    """Formats that read every value, as the database that will load them reads them."""
    first = values[0]
    if not any(mark in first for mark in "-/.: ,") and not re.fullmatch("[0-9]{8}", first):
        return []
    clocks = [separator + clock for separator in SEPARATORS for clock in TIME_FORMATS] if ":" in first else []
    tails = ["", *clocks, *(clock + offset for clock in clocks for offset in OFFSETS)]
    candidates = [day + tail for tail in tails for day in DATE_FORMATS]
    candidates += TIME_FORMATS if ":" in first else []
    tries = ", ".join(f"try_strptime($text, $f{number}) is not null" for number in range(len(candidates)))
    parameters = {f"f{number}": candidate for number, candidate in enumerate(candidates)}
    [can_be] = duckdb.execute(f"select {tries}", parameters | {"text": first}).fetchall()
    fits = []
    for candidate in (candidate for candidate, reads in zip(candidates, can_be, strict=True) if reads):
        [(misses, years)] = duckdb.execute(
            "select count(*) filter (where t is null), count(*) filter (where year(t) between 1900 and 2200)"
            " from (select try_strptime(unnest(?::varchar[]), ?) as t)",
            [values, candidate],
        ).fetchall()
        if misses == 0 and (years == len(values)):
            fits.append(candidate)
    month = ("%m/%d", "%m-%d")
    return sorted(fits, key=lambda f: (f.startswith(month) != month_first, candidates.index(f)))
