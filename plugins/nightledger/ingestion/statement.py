"""The vocabulary of casts: how a source's text becomes a value, in SQL, with every value bound."""

import functools
import re
from dataclasses import dataclass, field

from nightledger.ingestion.contract import ColumnSpec, SourceContract
from nightledger.ingestion.feeds import Column

ISO_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
OFFSET = r" ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
MARKS = {" ": " \u00a0\u202f", "'": "'\u2019"}
"""What is also written for a mark of thousands: blanks that do not break, and the typesetter's apostrophe."""
LAKH_DIGITS = "[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}"
"""Digits with commas as in India: between groups of two before the last three."""
LAKHS = ("BDT", "BTN", "INR", "NPR", "PKR")
"""Currencies whose amounts are grouped by hundreds above the thousands: 1,00,000 is a lakh."""
MINOR_UNITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Currencies whose ISO 4217 minor units are not two. babel's digits are CLDR's, which say how amounts are
shown, and give 0 for currencies such as RSD that banks book with two."""


@dataclass
class Statement:
    """A statement under construction: its parameters by name."""

    contract: SourceContract
    parameters: dict[str, object] = field(default_factory=dict)
    sql: str = ""

    def bind(self, value: object) -> str:
        """Bind a value; returns the placeholder."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    def source(self, name: str) -> str:
        """Expression of a source column of a scan: its trimmed text, NULL when blank."""
        return f"c{self.contract.read.index(name)}"

    def text(self, spec: ColumnSpec) -> str:
        """Expression of what a contract names: source columns joined by a blank, a constant, a default."""
        if spec.constant is not None:
            return f"cast({self.bind(spec.constant)} as varchar)"
        parts = [self.source(name) for name in spec.read]
        text = parts[0] if len(parts) == 1 else f"nullif(concat_ws(' ', {', '.join(parts)}), '')"
        return f"coalesce({text}, {self.bind(spec.default)})" if spec.default is not None else text

    def number(self, text: str) -> str:
        """A money text as a DECIMAL; NULL when it is no number."""
        return f"try_cast({self._plain(text)} as decimal(18,4))"

    def _plain(self, text: str) -> str:
        """A number's text with a decimal point; NULL when it is not written as the contract says.

        Marks of thousands stand between whole groups of three digits and nowhere else: 12.50 is no 1250.
        In currencies of lakhs, commas may also stand between groups of two before the last three: 12,34,567.
        """
        form = self.contract.format
        decimal, marks = re.escape(form.decimal), MARKS.get(form.thousands or "", form.thousands or "")
        if form.decimal == "," and not marks:
            marks = "."
        whole, plain = "[0-9]+", text
        if marks:
            # One kind of mark in a number, as a second one could be a misread decimal point.
            grouped = "|".join(f"([{mark}][0-9]{{3}})+" for mark in marks)
            whole = f"([0-9]{{1,3}}({grouped})|{LAKH_DIGITS + '|' if self._has_lakhs() else ''}[0-9]+)"
            plain = f"translate({text}, {_quoted(marks)}, '')"
        plain = f"replace({plain}, ',', '.')" if form.decimal == "," else plain
        pattern = _quoted(f"[+-]?({whole}({decimal}[0-9]*)?|{decimal}[0-9]+)")
        return f"case when regexp_full_match({text}, {pattern}) then {plain} end"

    def _has_lakhs(self) -> bool:
        """Whether amounts are also grouped as 12,34,567."""
        return self.contract.format.thousands == "," and self.contract.currency in LAKHS

    def _measure(self, text: str, sql_type: str) -> str:
        """A measured number: unlike an amount it may have an exponent, as programs write very small ones."""
        mark = re.escape(self.contract.format.decimal)
        digits = f"[0-9]+({mark}[0-9]*)?|{mark}[0-9]+"
        has_exponent = f"regexp_full_match({text}, '[+-]?({digits})[eE][+-]?[0-9]{{1,3}}')"
        plain = f"replace({text}, '{self.contract.format.decimal}', '.')"
        return f"try_cast(case when {has_exponent} then {plain} else {self._plain(text)} end as {sql_type})"

    def utc(self, local: str) -> str:
        """A local timestamp or date of the source as UTC."""
        if self.contract.timezone == "UTC":
            return f"cast({local} as timestamp)"
        zone = self.bind(self.contract.timezone)
        # By way of the epoch: twice as fast as a second conversion by the calendar.
        return f"make_timestamp(epoch_us(cast({local} as timestamp) at time zone {zone}))"

    def local_day(self, utc: str) -> str:
        """The source's local day of a UTC timestamp."""
        zone = self.bind(self.contract.timezone)
        return f"cast(({utc} at time zone 'UTC') at time zone {zone} as date)"

    def timestamp(self, text: str, pattern: str | None) -> str:
        """A text as a UTC timestamp; local in the contract's zone unless it carries an offset."""
        if pattern == "unix":
            # A number beyond the range of times would stop the whole batch.
            seconds = f"try_cast({text} as decimal(18,3))"
            micros = f"cast(cast({seconds} as decimal(38,3)) * 1000000 as bigint)"
            return f"case when abs({seconds}) < 1e11 then make_timestamp({micros}) end"
        if pattern is not None:
            if "%z" in pattern:  # which reads offsets in digits only
                text = f"regexp_replace({text}, 'Z$', '+00')"
            parsed = f"try_strptime({text}, {self.bind(pattern)})"
            return f"({parsed} at time zone 'UTC')" if "%z" in pattern else self.utc(parsed)
        # The database itself also reads `epoch`, `infinity` and a bare date as a time.
        is_local = f"regexp_full_match({text}, '{ISO_TIME}')"
        has_offset = f"regexp_full_match({text}, '{ISO_TIME}{OFFSET}')"
        utc = f"try_cast({text} as timestamptz) at time zone 'UTC'"
        local = self.utc(f"try_cast({text} as timestamp)")
        return f"case when {is_local} then {local} when {has_offset} then {utc} end"

    def value(self, column: Column, pattern: str | None, text: str) -> str:
        """Typed expression of a canonical column; NULL when the text cannot be read."""
        if column.kind == "money":
            return self.number(text)
        if column.kind == "date":
            if pattern:
                return f"cast(try_strptime({text}, {self.bind(pattern)}) as date)"
            shape = "'[0-9]{4}-[0-9]{2}-[0-9]{2}'"
            return f"case when regexp_full_match({text}, {shape}) then try_cast({text} as date) end"
        if column.kind == "timestamp":
            return self.timestamp(text, pattern)
        if column.kind in ("integer", "whole"):
            is_whole = f"regexp_full_match({text}, '[+-]?[0-9]+')"
            return f"case when {is_whole} then try_cast({text} as {column.sql_type}) end"
        if column.kind == "boolean":
            return f"try_cast({text} as boolean)"
        if column.kind == "measure":
            return self._measure(text, column.sql_type)
        if column.kind == "coordinate":
            value = f"try_cast({self._plain(text)} as {column.sql_type})"
            return f"case when abs({value}) <= {90 if column.name == 'latitude' else 180} then {value} end"
        return text


def _quoted(text: str) -> str:
    """A text of a closed set in quotes: a pattern is compiled once only where it is no parameter."""
    return "'" + text.replace("'", "''") + "'"


@functools.cache
def currencies() -> dict[str, int]:
    """Number of decimals of every currency: the list from babel, the decimals from ISO 4217."""
    from babel.numbers import list_currencies

    other = {code: digits for digits, codes in MINOR_UNITS.items() for code in codes.split()}
    return {code: other.get(code, 2) for code in sorted(list_currencies())}


@functools.cache
def minor_units(currency: str) -> str:
    """SQL for the number of decimals that a currency has; NULL for what is no currency."""
    by_digits: dict[int, list[str]] = {}
    for code, digits in currencies().items():
        by_digits.setdefault(digits, []).append(f"'{code}'")
    cases = " ".join(
        # Not `in`: the database makes a join of a long one, and a join moves records.
        f"when list_contains([{', '.join(codes)}], {currency}) then {digits}"
        for digits, codes in by_digits.items()
    )
    return f"(case {cases} end)"
