"""The vocabulary of casts: how a source's text becomes a value, in SQL, with every value bound."""

import functools
from dataclasses import dataclass, field

from nightledger.ingestion.contract import ColumnSpec, SourceContract
from nightledger.ingestion.feeds import Column

NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)"


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
        """Expression of a source column in the batch: its trimmed text, NULL when blank."""
        return f"nullif(trim(c{self.contract.read.index(name)}), '')"

    def text(self, spec: ColumnSpec) -> str:
        """Expression of what a contract names: source columns joined by a blank, a constant, a default."""
        if spec.constant is not None:
            return f"cast({self.bind(spec.constant)} as varchar)"
        parts = [self.source(name) for name in spec.read]
        text = parts[0] if len(parts) == 1 else f"nullif(concat_ws(' ', {', '.join(parts)}), '')"
        return f"coalesce({text}, {self.bind(spec.default)})" if spec.default is not None else text

    def number(self, text: str) -> str:
        """A money text as a DECIMAL; NULL when it is no number."""
        if self.contract.format.decimal == ",":
            text = f"replace(replace({text}, '.', ''), ',', '.')"
        return f"case when regexp_full_match({text}, '{NUMBER}') then try_cast({text} as decimal(18,4)) end"

    def utc(self, local: str) -> str:
        """A local timestamp or date of the source as UTC."""
        if self.contract.timezone == "UTC":
            return f"cast({local} as timestamp)"
        zone = self.bind(self.contract.timezone)
        return f"((cast({local} as timestamp) at time zone {zone}) at time zone 'UTC')"

    def local_day(self, utc: str) -> str:
        """The source's local day of a UTC timestamp."""
        zone = self.bind(self.contract.timezone)
        return f"cast(({utc} at time zone 'UTC') at time zone {zone} as date)"

    def timestamp(self, text: str, pattern: str | None) -> str:
        """A text as a UTC timestamp; local in the contract's zone unless it carries an offset."""
        if pattern == "unix":
            seconds = f"cast(try_cast({text} as decimal(18,3)) as decimal(38,3))"
            return f"make_timestamp(cast({seconds} * 1000000 as bigint))"
        if pattern is not None:
            parsed = f"try_strptime({text}, {self.bind(pattern)})"
            return f"({parsed} at time zone 'UTC')" if "%z" in pattern else self.utc(parsed)
        has_offset = f"regexp_matches({text}, '(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$')"
        utc = f"try_cast({text} as timestamptz) at time zone 'UTC'"
        return f"case when {has_offset} then {utc} else {self.utc(f'try_cast({text} as timestamp)')} end"

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
        if column.kind == "integer":
            return f"case when regexp_full_match({text}, '[+-]?[0-9]+') then try_cast({text} as integer) end"
        return f"try_cast({text} as {column.sql_type})" if column.kind == "coordinate" else text


@functools.cache
def currencies() -> dict[str, int]:
    """Number of decimals of every currency (ISO 4217, by way of babel)."""
    from babel.numbers import get_currency_precision, list_currencies

    return {code: get_currency_precision(code) for code in sorted(list_currencies())}


@functools.cache
def minor_units(currency: str) -> str:
    """SQL for the number of decimals that a currency has; NULL for what is no currency."""
    by_digits: dict[int, list[str]] = {}
    for code, digits in currencies().items():
        by_digits.setdefault(digits, []).append(f"'{code}'")
    cases = " ".join(
        f"when {currency} in ({', '.join(codes)}) then {digits}" for digits, codes in by_digits.items()
    )
    return f"(case {cases} end)"
