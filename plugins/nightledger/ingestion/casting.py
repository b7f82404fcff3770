"""The SQL that turns a source's text into canonical, typed columns, and finds the first error of each record.

Nothing here runs a statement: it writes them, with every value bound as a parameter.
"""

import functools
from dataclasses import dataclass, field
from datetime import timedelta

from nightledger.ingestion.contract import ColumnSpec, FeedContract, SourceContract
from nightledger.ingestion.feeds import FEEDS, Column, Feed

FIRST_YEAR, LAST_YEAR = 1900, 2200
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

    def utc(self, local: str) -> str:
        """A local timestamp or date of the source as UTC."""
        zone = self.bind(self.contract.timezone)
        return f"((cast({local} as timestamp) at time zone {zone}) at time zone 'UTC')"

    def local_day(self, utc: str) -> str:
        """The source's local day of a UTC timestamp."""
        zone = self.bind(self.contract.timezone)
        return f"cast(({utc} at time zone 'UTC') at time zone {zone} as date)"


@functools.cache
def minor_units(currency_expression: str) -> str:
    """SQL for the number of decimals that a currency has (ISO 4217, by way of babel)."""
    from babel.numbers import get_currency_precision, list_currencies

    by_digits: dict[int, list[str]] = {}
    for code in sorted(list_currencies()):
        by_digits.setdefault(get_currency_precision(code), []).append(f"'{code}'")
    cases = " ".join(
        f"when {currency_expression} in ({', '.join(codes)}) then {digits}"
        for digits, codes in sorted(by_digits.items())
    )
    return f"(case {cases} end)"


def _text(statement: Statement, spec: ColumnSpec) -> str:
    if spec.constant is not None:
        return f"cast({statement.bind(spec.constant)} as varchar)"
    if spec.columns:
        joined = ", ".join(statement.source(name) for name in spec.columns)
        text = f"nullif(concat_ws(' ', {joined}), '')"
    else:
        text = statement.source(str(spec.column))
    return f"coalesce({text}, {statement.bind(spec.default)})" if spec.default is not None else text


def _mapped(statement: Statement, spec: ColumnSpec, text: str) -> str:
    if spec.map is None:
        return text
    cases = " ".join(f"when {statement.bind(a)} then {statement.bind(b)}" for a, b in spec.map.items())
    return f"(case {text} {cases} end)"


def _timestamp(statement: Statement, text: str, pattern: str | None) -> str:
    if pattern == "unix":
        return f"make_timestamp(cast(try_cast({text} as decimal(18,3)) * 1000000 as bigint))"
    if pattern is not None:
        if "%z" in pattern:
            return f"(try_strptime({text}, {statement.bind(pattern)}) at time zone 'UTC')"
        return statement.utc(f"try_strptime({text}, {statement.bind(pattern)})")
    offset = f"regexp_matches({text}, '(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$')"
    local = statement.utc(f"try_cast({text} as timestamp)")
    return f"case when {offset} then try_cast({text} as timestamptz) at time zone 'UTC' else {local} end"


def _number(statement: Statement, text: str) -> str:
    if statement.contract.format.decimal == ",":
        return f"replace(replace({text}, '.', ''), ',', '.')"
    return text


def _value(statement: Statement, column: Column, spec: ColumnSpec, text: str) -> str:
    """Typed expression of a canonical column; NULL when the text cannot be read."""
    if column.kind == "money":
        number = _number(statement, text)
        return f"case when regexp_full_match({number}, '{NUMBER}') then try_cast({number} as {column.sql_type}) end"
    if column.kind == "date":
        if spec.format:
            return f"cast(try_strptime({text}, {statement.bind(spec.format)}) as date)"
        return f"case when regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') then try_cast({text} as date) end"
    if column.kind == "timestamp":
        return _timestamp(statement, text, spec.format)
    if column.kind == "integer":
        return f"case when regexp_full_match({text}, '[+-]?[0-9]+') then try_cast({text} as integer) end"
    if column.kind == "coordinate":
        return f"try_cast({text} as {column.sql_type})"
    return text


WRONG = {
    "money": "not a number with at most 14 digits before the decimal point",
    "date": "not a date in the contract's format",
    "timestamp": "not a time in the contract's format",
    "integer": "not a whole number",
    "coordinate": "not a coordinate",
}


@dataclass(frozen=True)
class _Error:
    """A condition in SQL, and what it means."""

    condition: str
    column: str
    reason: str
    text: str


def _errors(feed: Feed, contract: FeedContract, column: Column) -> list[_Error]:
    spec = contract.columns.get(column.name)
    text, value = f"t_{column.name}", f"v_{column.name}"
    shown = "+".join(spec.read) if spec and spec.read else column.name
    if feed.name == "transactions" and column.name == "amount" and contract.sign.mode == "debit_credit":
        shown = f"{contract.sign.debit}/{contract.sign.credit}"
    errors = []
    if column.mandatory:
        errors.append(_Error(f"{text} is null", shown, "mandatory value is missing", text))
    if spec and spec.map is not None:
        errors.append(
            _Error(f"{text} is not null and m_{column.name} is null", shown, "value is not in the map", text)
        )
    if column.kind in WRONG:
        errors.append(_Error(f"{text} is not null and {value} is null", shown, WRONG[column.kind], text))
    if column.kind in ("date", "timestamp"):
        reason = f"not between the years {FIRST_YEAR} and {LAST_YEAR}"
        errors.append(_Error(f"year({value}) not between {FIRST_YEAR} and {LAST_YEAR}", shown, reason, text))
    if column.kind == "code":
        codes = ", ".join(f"'{code}'" for code in column.codes)
        errors.append(
            _Error(f"{value} not in ({codes})", shown, f"not one of {', '.join(column.codes)}", text)
        )
    if column.kind == "currency":
        errors.append(
            _Error(
                f"{value} is not null and {minor_units(value)} is null",
                shown,
                "not an ISO 4217 currency",
                text,
            )
        )
    return errors


def _decimals_error(
    feed: Feed, contract: FeedContract, column: Column, currency: str, decimal_mark: str
) -> _Error:
    text = f"t_{column.name}"
    fraction = f"rtrim(split_part({text}, '{decimal_mark}', 2), '0')"
    spec = contract.columns.get(column.name)
    shown = "+".join(spec.read) if spec and spec.read else column.name
    return _Error(
        f"length({fraction}) > {minor_units(currency)}", shown, "more decimals than the currency has", text
    )


def _known_at(statement: Statement, feed: Feed, contract: FeedContract) -> str:
    known = contract.known_at
    if known.of_the_file:
        return "file_known_at"
    if known.mode == "column":
        return _timestamp(statement, statement.source(str(known.column)), known.format)
    lag = statement.bind(known.lag)
    if isinstance(known.from_, ColumnSpec):
        fact = _timestamp(statement, _text(statement, known.from_), known.from_.format)
        return f"({fact} + {lag})"
    names = (known.from_,) if known.from_ else feed.fact
    filled = [name for name in names if name in contract.columns or name == "business_date"]
    moments = [
        statement.utc(f"v_{name}") if feed.column(name).kind == "date" else f"v_{name}" for name in filled
    ]
    return f"(coalesce({', '.join(moments)}) + {lag})"


def _later_known_at(statement: Statement, feed: Feed, contract: FeedContract) -> str:
    """When a later fact (closing, status) became known: from its own date for history loads."""
    fact = f"v_{feed.later_fact[0]}" if feed.later_fact else "null"
    if contract.known_at.mode == "event" and contract.known_at.lag != timedelta.max:
        lag = statement.bind(contract.known_at.lag)
        return f"({statement.utc(fact)} + {lag})"
    return f"case when {fact} is not null then known_at end"


def typed_feed(contract: SourceContract, feed_name: str) -> Statement:
    """The statement that makes the temporary table `typed_<feed>` from `batch` and `batch_files`.

    Its columns: file_index, _record, the canonical columns, known_at, the later fact's time, and `error`, a
    struct of column_name, reason and shape, NULL for a good record. Transactions also get transaction_key,
    _occurrence, _content_hash, file_amount (as the file writes it) and is_unreadable.
    """
    feed, feed_contract = FEEDS[feed_name], contract.feeds[feed_name]
    return _FeedStatement(contract, feed, feed_contract).build()


class _FeedStatement(Statement):
    """Builds one feed's statement, layer by layer: texts, values, checks, keys."""

    def __init__(self, contract: SourceContract, feed: Feed, feed_contract: FeedContract) -> None:
        super().__init__(contract)
        self.feed, self.feed_contract = feed, feed_contract

    def build(self) -> Statement:
        """Write the statement; it stands in `sql`."""
        texts, mapped, values = [], [], []
        for column in self.feed.columns:
            spec = self.feed_contract.columns.get(column.name)
            text, value = self._layers(column, spec)
            texts.append(f"{text} as t_{column.name}")
            if spec and spec.map is not None:
                mapped.append(f"{_mapped(self, spec, f't_{column.name}')} as m_{column.name}")
            values.append(f"cast({value} as {column.sql_type}) as v_{column.name}")
        transactions = self.feed.name == "transactions"
        if transactions and "business_date" not in self.feed_contract.columns:
            values = [self._day_of_event(text) for text in values]
        extra = self._amounts() if transactions else ""
        self.sql = f"""
            create or replace temp table typed_{self.feed.name} as
            with texts as (
                select batch.*, file_known_at, {", ".join(texts)}
                from batch join batch_files using (file_index)
            ),
            mapped as (select *{"".join(f", {item}" for item in mapped)} from texts),
            "values" as (select *, {", ".join(values)} from mapped),
            known as (select *, {_known_at(self, self.feed, self.feed_contract)} as known_at from "values"),
            checked as (select *, {self._error()} as error from known)
            select
                file_index, record as _record, error, known_at,
                {", ".join(f"v_{name} as {name}" for name in self.feed.names)}
                {self._later()} {extra}
            from checked
        """  # noqa: S608 - identifiers come from closed sets, values are bound
        return self

    def _layers(self, column: Column, spec: ColumnSpec | None) -> tuple[str, str]:
        """Text and typed expression of a canonical column."""
        transactions = self.feed.name == "transactions"
        sign = self.feed_contract.sign
        if transactions and column.name == "amount" and sign.mode == "debit_credit":
            credit, debit = self.source(str(sign.credit)), self.source(str(sign.debit))
            plain = ColumnSpec(constant="")
            both = [f"coalesce({_value(self, column, plain, part)}, 0)" for part in (credit, debit)]
            readable = " and ".join(
                f"({part} is null or {_value(self, column, plain, part)} is not null)"
                for part in (credit, debit)
            )
            return f"coalesce({credit}, {debit})", f"case when {readable} then {both[0]} - abs({both[1]}) end"
        if transactions and column.name == "business_date" and spec is None:
            return "cast(null as varchar)", "null"
        if spec is None:
            is_default = transactions and column.name == "currency"
            default = self.contract.currency if is_default else None
            text = f"cast({self.bind(default)} as varchar)"
            return text, f"t_{column.name}"
        if spec.key_of is not None:
            return "'key'", "null"
        text = _text(self, spec)
        source = f"m_{column.name}" if spec.map is not None else f"t_{column.name}"
        value = _value(self, column, spec, source)
        if transactions and column.name == "amount":
            if sign.mode == "type_column":
                outflows = ", ".join(self.bind(word) for word in sign.outflow)
                kind = self.source(str(sign.column))
                value = f"case when {kind} in ({outflows}) then -abs({value}) when {kind} is not null then abs({value}) end"
            elif sign.outflow == "positive":
                value = f"-({value})"
        return text, value

    def _day_of_event(self, text: str) -> str:
        if not text.endswith(" as v_business_date"):
            return text
        event = self.feed_contract.columns["event_at"]
        moment = _timestamp(self, "m_event_at" if event.map else "t_event_at", event.format)
        return f"{self.local_day(moment)} as v_business_date"

    def _error(self) -> str:
        """First error of a record, in the order of the canonical columns."""
        errors: list[_Error] = []
        for column in self.feed.columns:
            if column.name == "business_date" and column.name not in self.feed_contract.columns:
                continue  # follows from event_at, whose own errors say what is wrong
            found = _errors(self.feed, self.feed_contract, column)
            spec = self.feed_contract.columns.get(column.name)
            if spec is not None and spec.key_of is not None:
                continue
            errors += found
        if "business_date" in self.feed.names and "business_date" not in self.feed_contract.columns:
            event = "+".join(self.feed_contract.columns["event_at"].read)
            errors.append(_Error("t_event_at is null", event, "mandatory value is missing", "t_event_at"))
        for column in self.feed.columns:
            if column.kind == "money" and (
                column.name in self.feed_contract.columns or column.name == "amount"
            ):
                currency = "v_original_currency" if column.name == "original_amount" else "v_currency"
                if "currency" not in self.feed.names:
                    currency = f"cast({self.bind(self.contract.currency)} as varchar)"
                elif column.name == "original_amount":
                    currency = "coalesce(v_original_currency, v_currency)"
                errors.append(
                    _decimals_error(
                        self.feed, self.feed_contract, column, currency, self.contract.format.decimal
                    )
                )
        errors.append(
            _Error("known_at is null", "known_at", "the time when it was known cannot be told", "null")
        )
        cases = " ".join(
            f"when {error.condition} then struct_pack(column_name := {self.bind(error.column)}::varchar, "
            f"reason := {self.bind(error.reason)}::varchar, shape := shape({error.text}))"
            for error in errors
        )
        broken = "struct_pack(column_name := null::varchar, reason := broken, shape := null::varchar)"
        return f"case when broken is not null then {broken} {cases} end"

    def _later(self) -> str:
        if not self.feed.later_fact:
            return ""
        return f", {_later_known_at(self, self.feed, self.feed_contract)} as {self.feed.later_fact[1]}"

    def _amounts(self) -> str:
        sign = "-" if self.feed_contract.sign.outflow == "positive" else ""
        return (
            f", {sign}v_amount as file_amount, (t_amount is not null and v_amount is null) as is_unreadable"
        )


def key_statement(contract: SourceContract) -> Statement:
    """The statement that gives `typed_transactions` their keys; makes `keyed_transactions`.

    With `occurrence`, identical lines of one file are numbered, so that true twins differ; the same lines in
    another file get the same keys again.
    """
    statement = Statement(contract)
    feed, feed_contract = FEEDS["transactions"], contract.feeds["transactions"]
    client, source = statement.bind(contract.client), statement.bind(contract.source)
    content = _joined(feed.names)
    if feed_contract.key == "occurrence":
        occurrence = f"row_number() over (partition by file_index, {content} order by _record)"
        key = content
    else:
        occurrence, key = "1", _joined(list(feed_contract.key))
    statement.sql = f"""
        create or replace temp table keyed_transactions as
        with numbered as (select *, {occurrence} as occurrence, {content} as content from typed_transactions)
        select
            * exclude (content, occurrence),
            md5(concat_ws(chr(31), {client}, {source}, {key}, occurrence)) as transaction_key,
            cast(occurrence as integer) as _occurrence,
            md5(content) as _content_hash
        from numbered
    """  # noqa: S608 - identifiers come from closed sets, values are bound
    return statement


def _joined(names: list[str]) -> str:
    """Unambiguous text of several columns: chr(31) between them, chr(30) for NULL."""
    return f"concat_ws(chr(31), {', '.join(f'coalesce({name}::varchar, chr(30))' for name in names)})"
