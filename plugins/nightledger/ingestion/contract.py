"""Source contracts: what a bank's files look like and which canonical columns they fill."""

import codecs
import fnmatch
import hashlib
import re
from datetime import timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.numbers import list_currencies
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nightledger.ingestion.delivery import Delivery
from nightledger.ingestion.feeds import EXTRA_KINDS, FEEDS, Column
from nightledger.ingestion.pulling.contract import Pull

NO_ENCODINGS = ("unicode-escape", "raw-unicode-escape", "idna", "punycode", "utf-7", "undefined")
"""Codecs of texts that no file is written in."""
LINES = ("csv", "jsonl")
KEYS_OF_TYPES = {
    "delimiter": ("csv", "excel"),
    "quote": ("csv",),
    "encoding": (*LINES, "json", "mt940", "ofx"),
    "header_row": ("csv", "excel"),
    "names": ("csv", "excel"),
    "footer_rows": (*LINES, "excel"),
    "not_records": ("csv", "excel", "json", "parquet", "ofx", "mt940", "camt"),
    "trailer": (*LINES, "excel"),
    "sheets": ("excel",),
    "records": ("json",),
}
"""Types of files by the key that means something to them only."""


class ContractError(ValueError):
    """A source contract cannot be used; the message names file and key, and suggests what was meant."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ColumnSpec(_Strict):
    """Where a canonical column comes from: a source column, several joined by a blank, or a constant."""

    column: str | None = None
    columns: tuple[str, ...] | None = None
    constant: str | None = None
    key_of: str | None = None
    default: str | None = None
    map: dict[str, str] | None = None
    format: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [
            name for name in ("column", "columns", "constant", "key_of") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of column, columns, constant or key_of, not {given or 'none'}"
            )
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return self.columns or ((self.column,) if self.column else ())


class ExtraSpec(ColumnSpec):
    """Where an extra column comes from, and its type."""

    type: Literal["text", "integer", "money", "decimal", "date", "timestamp", "boolean"] = "text"


class KnownAt(_Strict):
    """How the time when a row could have been known is found; see the three times in the documentation."""

    mode: Literal["arrival", "manifest", "column", "file_name", "event"]
    column: str | None = None
    format: str | None = None
    pattern: str | None = None
    lag: timedelta = timedelta(0)
    from_: str | ColumnSpec | None = Field(None, alias="from")

    @field_validator("lag", mode="before")
    @classmethod
    def _parse_lag(cls, value: object) -> object:
        match = re.fullmatch(r"(\d+)\s*([dhm])", str(value))
        if match is None:
            raise ValueError(f"{value!r} is not a lag: write a number and d, h or m, such as 1d or 26h")
        unit = {"d": "days", "h": "hours", "m": "minutes"}[match.group(2)]
        return timedelta(**{unit: int(match.group(1))})

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"column": "column", "file_name": "pattern"}.get(self.mode)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"mode {self.mode} needs {needed}")
        if self.mode == "file_name":
            try:
                groups = re.compile(str(self.pattern)).groups
            except re.error as error:
                raise ValueError(f"pattern is no regular expression: {error}") from error
            if groups != 1:
                raise ValueError(f"pattern needs one group in brackets around the date, it has {groups}")
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        if self.mode == "column" and self.column:
            return (self.column,)
        return self.from_.read if self.mode == "event" and isinstance(self.from_, ColumnSpec) else ()

    @property
    def of_the_file(self) -> bool:
        """Whether all rows of a file share one time."""
        return self.mode in ("arrival", "manifest", "file_name")


class Sign(_Strict):
    """How a source says which way money went. In raw, negative leaves the customer."""

    mode: Literal["signed", "debit_credit", "type_column"] = "signed"
    outflow: str | tuple[str, ...] = "negative"
    debit: str | None = None
    credit: str | None = None
    column: str | None = None
    inflow: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "signed" and self.outflow not in ("negative", "positive"):
            raise ValueError("outflow of mode signed is negative or positive")
        if self.mode == "debit_credit" and not (self.debit and self.credit):
            raise ValueError("mode debit_credit needs the columns debit and credit")
        if self.mode == "type_column" and (not self.column or isinstance(self.outflow, str)):
            raise ValueError("mode type_column needs column, and outflow as a list of that column's values")
        if self.inflow is not None and self.mode != "type_column":
            raise ValueError("inflow is a list of the values of mode type_column")
        both = sorted(set(self.inflow or ()) & set(self.outflow)) if self.mode == "type_column" else []
        if both:
            raise ValueError(f"{both[0]!r} is both inflow and outflow")
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return tuple(name for name in (self.debit, self.credit, self.column) if name)


class FeedContract(_Strict):
    """How one canonical feed is filled."""

    columns: dict[str, ColumnSpec]
    extra: dict[str, ExtraSpec] = {}
    key: Literal["occurrence"] | tuple[str, ...] = "occurrence"
    known_at: KnownAt = KnownAt(mode="arrival")
    sign: Sign = Sign()

    @field_validator("columns", "extra", mode="before")
    @classmethod
    def _shorthand(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: {"column": spec} if isinstance(spec, str) else spec for name, spec in value.items()}

    @field_validator("known_at", mode="before")
    @classmethod
    def _known_at_shorthand(cls, value: object) -> object:
        return {"mode": value} if isinstance(value, str) else value

    @property
    def extra_columns(self) -> tuple[Column, ...]:
        """The extra columns, as the casts need them."""
        return tuple(Column(name, EXTRA_KINDS[spec.type]) for name, spec in self.extra.items())

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Canonical columns of the natural key; none with `occurrence`, where every column counts."""
        return () if self.key == "occurrence" else self.key

    @property
    def read(self) -> list[str]:
        """Source columns that the feed reads."""
        names = [name for spec in (*self.columns.values(), *self.extra.values()) for name in spec.read]
        names += self.sign.read
        names += self.known_at.read
        return list(dict.fromkeys(names))


class FileFormat(_Strict):
    """The bytes of a file."""

    type: Literal["csv", "jsonl", "json", "parquet", "excel", "ofx", "mt940", "camt"]
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', max_length=1)
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    header_row: int = Field(1, ge=0, le=1000)
    names: tuple[str, ...] = ()
    footer_rows: int = Field(0, ge=0, le=1000)
    not_records: dict[str, str] = {}
    trailer: str | None = None
    sheets: str | tuple[str, ...] = "*"
    records: str = ""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name.removesuffix("-sig")
            is_text = "a".encode(name).decode(name) == "a"
        except (LookupError, UnicodeError):
            is_text = False
        if not is_text or name in NO_ENCODINGS:
            raise ValueError(f"{value!r} is no encoding of text; write one like utf-8, cp1252 or utf-16")
        return name

    @field_validator("trailer", "not_records")
    @classmethod
    def _regular(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for pattern in value.values() if isinstance(value, dict) else [value or ""]:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        allowed = {key for key, types in KEYS_OF_TYPES.items() if self.type in types}
        for key in KEYS_OF_TYPES:
            if key in self.model_fields_set and key not in allowed:
                raise ValueError(f"{key} means nothing to {self.type}; take it out")
        if (self.header_row == 0) != bool(self.names):
            raise ValueError("header_row: 0 (no row of names) and names go together")
        if len(set(self.names)) < len(self.names):
            raise ValueError("a name stands twice in names")
        if self.thousands == self.decimal:
            raise ValueError("thousands and decimal are the same mark")
        if self.trailer is not None and not {"rows", "sum"} & set(re.compile(self.trailer).groupindex):
            raise ValueError("trailer needs a group (?P<rows>…) or (?P<sum>…), or both")
        return self

    @property
    def is_table(self) -> bool:
        """Whether a file is no text with a record a line, but a table that is copied into such a text."""
        return self.type not in ("csv", "jsonl")

    @property
    def is_framed(self) -> bool:
        """Whether a text holds rows above its names or below its records, or no names at all."""
        return bool(self.header_row != 1 or self.footer_rows or self.not_records or self.trailer)

    @property
    def dialect(self) -> tuple[str, str]:
        """Delimiter and quote of what is read: of the file, or of the copy of a table."""
        return (",", '"') if self.is_table else (self.delimiter, self.quote)


class SourceContract(_Strict):
    """One layout of files of one client."""

    name: str
    client: str
    source: str
    description: str = ""
    files: str | None = None
    pull: Pull | None = None
    format: FileFormat
    timezone: str
    currency: str
    max_bad_share: float = Field(0.01, ge=0, le=1)
    totals: Literal["none", "manifest", "trailer"] = "none"
    delivery: Delivery = Delivery()
    personal: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    feeds: dict[str, FeedContract] = Field(min_length=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except ZoneInfoNotFoundError as error:
            raise ValueError(f"{value!r} is no time zone; write one like Europe/London") from error
        return value

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        if value not in list_currencies():
            raise ValueError(f"{value!r} is no ISO 4217 currency; write one like EUR")
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.files is None) == (self.pull is None):
            raise ValueError("give exactly one of files and pull")
        return self

    @model_validator(mode="after")
    def _one_trailer(self) -> Self:
        if (self.totals == "trailer") != (self.format.trailer is not None):
            raise ValueError("totals: trailer and format.trailer go together")
        return self

    def matches(self, file_name: str) -> bool:
        """Whether a file of that name in the inbox is one of this contract's."""
        return self.files is not None and fnmatch.fnmatchcase(file_name, self.files)

    @property
    def needs_manifest(self) -> bool:
        """Whether a file is complete only with its manifest beside it."""
        is_period_stated = self.delivery.mode == "replace_period" and self.delivery.period == "manifest"
        return (
            self.totals == "manifest"
            or is_period_stated
            or any(feed.known_at.mode == "manifest" for feed in self.feeds.values())
        )

    @property
    def read(self) -> list[str]:
        """Source columns that any feed reads."""
        return list(dict.fromkeys(name for feed in self.feeds.values() for name in feed.read))

    @property
    def needed(self) -> list[str]:
        """Source columns without which no record can be read: those of mandatory columns, signs and times."""
        names: list[str] = []
        for feed_name, feed in self.feeds.items():
            for column in FEEDS[feed_name].columns:
                spec = feed.columns.get(column.name)
                if spec and spec.default is None and (column.mandatory or column.name in feed.key_columns):
                    names += spec.read
            names += feed.known_at.read
            if feed.sign.mode == "type_column":
                names += feed.sign.read
        return [name for name in dict.fromkeys(names) if name not in self.optional]

    @property
    def fingerprint(self) -> str:
        """Hash of what the contract says: a mended contract makes a refused file worth another try."""
        return hashlib.sha256(self.model_dump_json(exclude={"description"}).encode()).hexdigest()[:16]
