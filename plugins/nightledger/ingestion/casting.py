"""The SQL that turns a source's text into canonical, typed columns, and finds the first error of each record.

Nothing here runs a statement: it writes them, with every value bound as a parameter.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from nightledger.ingestion.contract import ColumnSpec, SourceContract
from nightledger.ingestion.feeds import FEEDS, Column
from nightledger.ingestion.reading import Scan
from nightledger.ingestion.statement import Statement, currencies, minor_units

FIRST_YEAR, LAST_YEAR = 1900, 2200
MISSING = "mandatory value is missing"
UNKNOWN_WAY = "neither outflow nor inflow in the contract"
UNREADABLE = {
    "money": "not a number with at most 14 digits before the decimal point",
    "date": "not a date in the contract's format",
    "timestamp": "not a time in the contract's format",
    "integer": "not a whole number",
    "coordinate": "not a coordinate",
    "whole": "not a whole number",
    "measure": "not a number with at most 22 digits before the decimal point",
    "boolean": "neither true nor false",
}


@dataclass(frozen=True)
class _Error:
    """A condition in SQL, what a person is told when it holds, and the text whose shape they are shown."""

    condition: str
    column: str
    reason: str
    text: str = "null"


def typed_feed(
    contract: SourceContract, feed_name: str, scan: Scan, known_at: Sequence[datetime | None]
) -> Statement:
    """The query that types the records of a scan, in their order.

    Its columns: file_index, `error` (a struct of column_name, reason and shape, NULL for a good record),
    known_at, the filled canonical columns, the extra ones as x_<name>, and the later fact's time.
    Transactions also get file_amount (as the file writes it), is_unreadable, _content_hash (NULL where the
    key is all there is), _occurrence (1) and transaction_key.

    Args:
        contract: of the files.
        feed_name: name of a canonical feed.
        scan: the records.
        known_at: by number of the file in the batch, when all its rows were known, as with `arrival`.
    """
    return _FeedStatement(contract, feed_name).build(scan, known_at)


def filled_columns(contract: SourceContract, feed_name: str) -> tuple[str, ...]:
    """Canonical columns that a contract fills, or that follow from what it fills, in order."""
    filled = set(contract.feeds[feed_name].columns)
    if feed_name == "transactions":
        filled |= {"amount", "currency", "business_date"}
    return tuple(name for name in FEEDS[feed_name].names if name in filled)


def _transaction_key(statement: Statement, natural_key: str) -> str:
    """SQL for the key of a transaction: md5 of client, source and natural key; twins get theirs from it."""
    client, source = statement.bind(statement.contract.client), statement.bind(statement.contract.source)
    return f"md5(concat_ws(chr(31), {client}, {source}, {natural_key}))"


def _joined(names: Collection[str]) -> str:
    """Text of the transaction's columns among `names`, chr(31) after each column of the feed, filled or not.

    So layouts that share a source have the same text for the same transaction, whichever columns they fill.
    """
    parts, gap = [], 0
    for column in FEEDS["transactions"].names:
        if column in names:
            parts += [f"repeat(chr(31), {gap})", column] if gap else [column]
            gap = 0
        gap += 1
    return f"concat({', '.join(parts)}, repeat(chr(31), {gap}))"


class _FeedStatement(Statement):
    """Builds one feed's statement in layers.

    Texts (t_), mapped texts (m_), values (v_), decimals of currencies (d_), then checks.
    """

    def __init__(self, contract: SourceContract, feed_name: str) -> None:
        super().__init__(contract)
        self.feed, self.given = FEEDS[feed_name], contract.feeds[feed_name]
        self.columns = (*self.feed.columns, *self.given.extra_columns)
        self.specs: dict[str, ColumnSpec] = {**self.given.columns, **self.given.extra}
        self.is_transactions = feed_name == "transactions"

    def build(self, scan: Scan, known_at: Sequence[datetime | None]) -> Statement:
        """Write the statement; it stands in `sql`."""
        self.parameters |= scan.parameters
        texts = [f"{self._text(column)} as t_{column.name}" for column in self.columns]
        mapped = [
            f", {self._mapped(name, spec)} as m_{name}" for name, spec in self.specs.items() if spec.map
        ]
        values = [
            f"cast({self._value(column)} as {column.sql_type}) as v_{column.name}" for column in self.columns
        ]
        currency_columns = [column.name for column in self.columns if column.kind == "currency"]
        digits = "".join(f", {self._digits(name)} as d_{name}" for name in currency_columns)
        filled = filled_columns(self.contract, self.feed.name)
        kept = [f"v_{name} as {name}" for name in filled]
        kept += [f"v_{name} as x_{name}" for name in self.given.extra]
        later, amounts, keys = "", "", ""
        if self.feed.later_fact:
            later = f", {self._later_known_at(*self.feed.later_fact)} as {self.feed.later_fact[1]}"
        if self.is_transactions:
            values.insert(0, f"{self._written_amount()} as w_amount")
            amounts = (
                ", w_amount as file_amount,"
                " (broken is not null or t_amount is not null and w_amount is null) as is_unreadable"
            )
            natural = self.given.key_columns
            content = f"md5({_joined(filled)})" if natural else "cast(null as varchar)"
            keys = f", {content} as _content_hash, cast(1 as integer) as _occurrence"
            keys += f", {_transaction_key(self, _joined(natural or filled))} as transaction_key"
        times = f"({self.bind(list(known_at))}::timestamp[])[file_index + 1]"
        self.sql = f"""
            with texts as not materialized (
                select scan.*, {times} as file_known_at, {", ".join(texts)} from ({scan.sql}) as scan
            ),
            mapped as not materialized (select * {"".join(mapped)} from texts),
            "values" as not materialized (select *, {", ".join(values)} from mapped),
            known as not materialized (select *, {self._known_at()} as known_at {digits} from "values"),
            checked as not materialized (select *, {self._first_error()} as error from known),
            canonical as not materialized (
                select file_index, error, known_at, {", ".join(kept)} {later} {amounts}
                from checked
            )
            select * {keys} from canonical
        """  # noqa: S608 - identifiers come from closed sets, values are bound
        return self

    def _digits(self, name: str) -> str:
        """How many decimals the currency in a column has; the contract's own first, as most are that."""
        own = self.contract.currency
        is_own = f"v_{name} = {self.bind(own)}"
        return f"case when {is_own} then {currencies()[own]} else {minor_units(f'v_{name}')} end"

    def _net_of_columns(self) -> bool:
        """Whether the amount is a credit column less a debit column."""
        return self.is_transactions and self.given.sign.mode == "debit_credit"

    def _day_follows(self) -> bool:
        """Whether the business date is the local day of event_at."""
        return self.is_transactions and "business_date" not in self.specs

    def _text(self, column: Column) -> str:
        spec = self.specs.get(column.name)
        sign = self.given.sign
        if column.name == "amount" and self._net_of_columns():
            return f"coalesce({self.source(str(sign.credit))}, {self.source(str(sign.debit))})"
        if spec is None:
            default = self.contract.currency if self.is_transactions and column.name == "currency" else None
            return f"cast({self.bind(default)} as varchar)"
        return "'key'" if spec.key_of is not None else self.text(spec)

    def _mapped(self, name: str, spec: ColumnSpec) -> str:
        cases = " ".join(
            f"when {self.bind(word)} then {self.bind(code)}" for word, code in (spec.map or {}).items()
        )
        return f"(case t_{name} {cases} end)"

    def _value(self, column: Column) -> str:
        spec = self.specs.get(column.name)
        if column.name == "amount" and self.is_transactions:
            return self._signed_amount()
        if column.name == "business_date" and self._day_follows():
            return self._day_of_event()
        if spec is None or spec.key_of is not None:
            return f"t_{column.name}" if spec is None else "null"
        return self.value(column, spec.format, f"{'m' if spec.map else 't'}_{column.name}")

    def _written_amount(self) -> str:
        """The amount as the file writes it, which is what totals are about."""
        if not self._net_of_columns():
            return self.number(
                "m_amount" if "amount" in self.specs and self.specs["amount"].map else "t_amount"
            )
        credit, debit = (self.source(str(name)) for name in (self.given.sign.credit, self.given.sign.debit))
        unreadable = " or ".join(
            f"({text} is not null and {self.number(text)} is null)" for text in (credit, debit)
        )
        net = f"coalesce({self.number(credit)}, 0) - abs(coalesce({self.number(debit)}, 0))"
        return f"case when not ({unreadable}) then {net} end"

    def _signed_amount(self) -> str:
        sign = self.given.sign
        if sign.mode == "type_column":
            kind = self.source(str(sign.column))
            leaves = f"list_contains({self.bind(list(sign.outflow))}, {kind})"
            comes_in = f"{kind} <> ''"
            if sign.inflow is not None:
                comes_in = f"list_contains({self.bind(list(sign.inflow))}, {kind})"
            return f"case when {leaves} then -abs(w_amount) when {comes_in} then abs(w_amount) end"
        return "-w_amount" if sign.outflow == "positive" else "w_amount"

    def _day_of_event(self) -> str:
        event = self.specs["event_at"]
        if event.format in (None, "unix") or "%z" in str(event.format):
            return self.local_day("v_event_at")
        # The text is local already: its day needs no time zone, and no way back from UTC.
        text = "m_event_at" if event.map else "t_event_at"
        return f"cast(try_strptime({text}, {self.bind(event.format)}) as date)"

    def _known_at(self) -> str:
        known = self.given.known_at
        if known.of_the_file:
            return "file_known_at"
        if known.mode == "column":
            return self.timestamp(self.source(str(known.column)), known.format)
        return f"({self._fact()} + {self.bind(known.lag)})"

    def _fact(self) -> str:
        """Moment of the fact from which a lag is counted."""
        start = self.given.known_at.from_
        if isinstance(start, ColumnSpec):
            return self.timestamp(self.text(start), start.format)
        filled = filled_columns(self.contract, self.feed.name)
        names = [name for name in ((start,) if start else self.feed.fact) if name in filled]
        moments = [
            self.utc(f"v_{name}") if self.feed.column(name).kind == "date" else f"v_{name}" for name in names
        ]
        return f"coalesce({', '.join(moments)})"

    def _later_known_at(self, fact: str, _: str) -> str:
        """When a later fact (closing, status) became known: a lag counts from its own date."""
        if self.given.known_at.mode == "event":
            return f"({self.utc(f'v_{fact}')} + {self.bind(self.given.known_at.lag)})"
        return f"case when v_{fact} is not null then known_at end"

    def _first_error(self) -> str:
        """First error of a record: broken, then column by column, then decimals, then its time."""
        cases = " ".join(
            f"when {error.condition} then struct_pack(column_name := {self.bind(error.column)}::varchar, "
            f"reason := {self.bind(error.reason)}::varchar, shape := shape({error.text}))"
            for error in self._errors()
        )
        broken = "struct_pack(column_name := null::varchar, reason := broken, shape := null::varchar)"
        return f"case when broken is not null then {broken} {cases} end"

    def _errors(self) -> Iterator[_Error]:
        for column in self.columns:
            spec = self.specs.get(column.name)
            if column.name == "business_date" and self._day_follows():
                yield _Error("t_event_at is null", self._shown("event_at"), MISSING)
            elif column.name == "amount" and self.is_transactions:
                yield from self._errors_of_amount(column)
            elif (spec is not None and spec.key_of is None) or column.name == "currency":
                yield from self._errors_of(column, spec)
        money = {*filled_columns(self.contract, self.feed.name), *self.given.extra}
        for column in self.columns:
            if column.kind == "money" and column.name in money:
                yield from self._errors_of_decimals(column)
        yield self._error_of_time()

    def _shown(self, name: str) -> str:
        """The source's name of a canonical column, for messages."""
        spec = self.specs.get(name)
        return "+".join(spec.read) if spec and spec.read else name

    def _errors_of(self, column: Column, spec: ColumnSpec | None) -> Iterator[_Error]:
        text, value, shown = f"t_{column.name}", f"v_{column.name}", self._shown(column.name)
        if column.mandatory or column.name in self.given.key_columns:
            yield _Error(f"{text} is null", shown, MISSING)
        if spec and spec.map:
            unmapped = f"{text} is not null and m_{column.name} is null"
            yield _Error(unmapped, shown, "value is not in the map", text)
        if column.kind in UNREADABLE:
            yield _Error(f"{text} is not null and {value} is null", shown, UNREADABLE[column.kind], text)
        if column.kind in ("date", "timestamp"):
            outside = f"year({value}) not between {FIRST_YEAR} and {LAST_YEAR}"
            yield _Error(outside, shown, f"not between the years {FIRST_YEAR} and {LAST_YEAR}", text)
        if column.kind == "code":
            codes = ", ".join(f"'{code}'" for code in column.codes)
            # Not `in`: the database makes a join of a long one, and a join moves records.
            unknown = f"not list_contains([{codes}], {value})"
            yield _Error(unknown, shown, f"not one of {', '.join(column.codes)}", text)
        if column.kind == "currency" and (spec is not None):
            no_currency = f"{value} is not null and d_{column.name} is null"
            yield _Error(no_currency, shown, "not an ISO 4217 currency", text)

    def _errors_of_amount(self, column: Column) -> Iterator[_Error]:
        sign = self.given.sign
        if not self._net_of_columns():
            yield from self._errors_of_written_amount()
            return
        yield _Error("t_amount is null", f"{sign.debit}/{sign.credit}", MISSING)
        for name in (str(sign.debit), str(sign.credit)):
            text = self.source(name)
            unreadable = f"{text} is not null and {self.number(text)} is null"
            yield _Error(unreadable, name, UNREADABLE[column.kind], text)

    def _errors_of_written_amount(self) -> Iterator[_Error]:
        shown = self._shown("amount")
        yield _Error("t_amount is null", shown, MISSING)
        yield _Error("w_amount is null", shown, UNREADABLE["money"], "t_amount")
        if self.given.sign.mode == "type_column":
            kind = self.source(str(self.given.sign.column))
            yield _Error(f"{kind} is null", str(self.given.sign.column), MISSING)
            yield _Error("v_amount is null", str(self.given.sign.column), UNKNOWN_WAY, kind)

    def _errors_of_decimals(self, column: Column) -> Iterator[_Error]:
        digits = f"coalesce(d_currency, {currencies()[self.contract.currency]})"
        if "currency" not in self.feed.names:
            digits = str(currencies()[self.contract.currency])
        elif column.name == "original_amount":
            digits = "coalesce(d_original_currency, d_currency)"
        elif self.is_transactions:
            digits = "d_currency"
        parts = [(self._shown(column.name), f"t_{column.name}")]
        if column.name == "amount" and self._net_of_columns():
            parts = [
                (str(name), self.source(str(name)))
                for name in (self.given.sign.debit, self.given.sign.credit)
            ]
        for shown, text in parts:
            fraction = f"rtrim(split_part({text}, '{self.contract.format.decimal}', 2), '0')"
            too_many = f"length({fraction}) > {digits}"
            yield _Error(too_many, shown, "more decimals than the currency has", text)

    def _error_of_time(self) -> _Error:
        known = self.given.known_at
        shown, text = "known_at", "null"
        if known.mode == "column":
            shown, text = str(known.column), self.source(str(known.column))
        elif isinstance(known.from_, ColumnSpec):
            shown, text = "+".join(known.from_.read) or "known_at", self.text(known.from_)
        return _Error("known_at is null", shown, "the time when it was known cannot be told", text)
