"""Source contracts: what a bank's files look like and which canonical columns they fill.

A mistake in a contract is reported with file, key and a suggestion before any data is touched.
"""

import difflib
import fnmatch
import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from babel.numbers import list_currencies
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nightledger.clients import Client, load_clients
from nightledger.ingestion.feeds import FEEDS, Feed
from nightledger.settings import Settings


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

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "signed" and self.outflow not in ("negative", "positive"):
            raise ValueError("outflow of mode signed is negative or positive")
        if self.mode == "debit_credit" and not (self.debit and self.credit):
            raise ValueError("mode debit_credit needs the columns debit and credit")
        if self.mode == "type_column" and (not self.column or isinstance(self.outflow, str)):
            raise ValueError("mode type_column needs column, and outflow as a list of that column's values")
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """Source columns that it reads."""
        return tuple(name for name in (self.debit, self.credit, self.column) if name)


class FeedContract(_Strict):
    """How one canonical feed is filled."""

    columns: dict[str, ColumnSpec]
    key: Literal["occurrence"] | tuple[str, ...] = "occurrence"
    known_at: KnownAt = KnownAt(mode="arrival")
    sign: Sign = Sign()

    @field_validator("columns", mode="before")
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
    def key_columns(self) -> tuple[str, ...]:
        """Canonical columns of the natural key; none with `occurrence`, where every column counts."""
        return () if self.key == "occurrence" else self.key

    @property
    def read(self) -> list[str]:
        """Source columns that the feed reads."""
        names = [name for spec in self.columns.values() for name in spec.read]
        names += self.sign.read
        names += self.known_at.read
        return list(dict.fromkeys(names))


class FileFormat(_Strict):
    """The bytes of a file."""

    type: Literal["csv", "jsonl"]
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', max_length=1)
    encoding: Literal["utf-8"] = "utf-8"
    header: Literal[True] = True
    decimal: Literal[".", ","] = "."


class Delivery(_Strict):
    """How files come."""

    mode: Literal["append"] = "append"
    required: bool = False


class SourceContract(_Strict):
    """One layout of files of one client."""

    name: str
    client: str
    source: str
    description: str = ""
    files: str
    format: FileFormat
    timezone: str
    currency: str
    max_bad_share: float = Field(0.01, ge=0, le=1)
    totals: Literal["none", "manifest"] = "none"
    delivery: Delivery = Delivery()
    personal: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
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

    def matches(self, file_name: str) -> bool:
        """Whether a file of that name is one of this contract's."""
        return fnmatch.fnmatchcase(file_name, self.files)

    @property
    def needs_manifest(self) -> bool:
        """Whether a file is complete only with its manifest beside it."""
        return self.totals == "manifest" or any(
            feed.known_at.mode == "manifest" for feed in self.feeds.values()
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
        return list(dict.fromkeys(names))

    @property
    def fingerprint(self) -> str:
        """Hash of what the contract says: a mended contract makes a refused file worth another try."""
        return hashlib.sha256(self.model_dump_json(exclude={"description"}).encode()).hexdigest()[:16]


_KEYS: dict[tuple[str, ...], type[BaseModel]] = {
    (): SourceContract,
    ("format",): FileFormat,
    ("delivery",): Delivery,
    ("feeds", "*"): FeedContract,
    ("feeds", "*", "known_at"): KnownAt,
    ("feeds", "*", "sign"): Sign,
    ("feeds", "*", "columns", "*"): ColumnSpec,
}


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else f" Known: {', '.join(known)}."


def _explain(path: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        key = ".".join(place) or "(file)"
        if problem["type"] == "extra_forbidden":
            pattern = tuple(
                "*" if i and place[i - 1] in ("feeds", "columns") else p for i, p in enumerate(place[:-1])
            )
            model = _KEYS.get(pattern)
            known = [(field.alias or name) for name, field in model.model_fields.items()] if model else []
            lines.append(f"{path.name}: {key}: unknown key.{_suggest(place[-1], known)}")
        elif problem["type"] == "missing":
            lines.append(f"{path.name}: {key}: missing; a contract needs it")
        elif problem["type"] == "string_type":
            lines.append(f"{path.name}: {key}: {problem['input']!r} is no text; write it in quotes")
        else:
            lines.append(f"{path.name}: {key}: {problem['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)


def _check(path: Path, contract: SourceContract) -> None:
    """Refuse what no single key shows: columns that are not canonical, not filled, or not read."""
    for feed_name, feed_contract in contract.feeds.items():
        if feed_name not in FEEDS:
            raise ContractError(
                f"{path.name}: feeds.{feed_name}: no such feed.{_suggest(feed_name, list(FEEDS))}"
            )
        _check_feed(f"{path.name}: feeds.{feed_name}", contract, FEEDS[feed_name], feed_contract)
    for name in contract.personal:
        if name not in contract.read and name not in contract.ignore:
            known = [*contract.read, *contract.ignore]
            raise ContractError(f"{path.name}: personal: no feed reads {name!r}.{_suggest(name, known)}")


def _check_feed(place: str, contract: SourceContract, feed: Feed, given: FeedContract) -> None:
    for name, spec in given.columns.items():
        if name not in feed.names:
            raise ContractError(f"{place}.columns.{name}: no such column.{_suggest(name, feed.names)}")
        if spec.key_of is not None and (
            spec.key_of != "transactions" or "transactions" not in contract.feeds or name != "entity_id"
        ):
            raise ContractError(
                f"{place}.columns.{name}.key_of: only entity_id can be the key of transactions, "
                "in the same contract"
            )
        personal = [column for column in spec.read if column in contract.personal]
        if personal and feed.column(name).kind != "text":
            raise ContractError(
                f"{place}.columns.{name}: {personal[0]!r} is personal, so it becomes a token, which is no "
                f"{feed.column(name).kind}. Take it out of `personal`, or leave the column out"
            )
    filled = set(given.columns)
    if feed.name == "transactions":
        filled |= {"currency"}
        filled |= {"business_date"} if "event_at" in filled else set()
        filled |= {"amount"} if given.sign.mode == "debit_credit" else set()
    for column in feed.columns:
        if column.mandatory and column.name not in filled:
            raise ContractError(
                f"{place}.columns.{column.name}: missing; {feed.name} cannot be read without it"
            )
    for name in given.key_columns:
        if name not in given.columns:
            raise ContractError(
                f"{place}.key: {name} is not one of its columns.{_suggest(name, list(given.columns))}"
            )
    known = given.known_at
    if known.mode == "event" and not isinstance(known.from_, ColumnSpec):
        wanted = (known.from_,) if known.from_ else feed.fact
        if known.from_ and known.from_ not in feed.names:
            raise ContractError(
                f"{place}.known_at.from: {known.from_} is no column of {feed.name}."
                f"{_suggest(known.from_, feed.names)}"
            )
        if not any(name in filled for name in wanted):
            raise ContractError(
                f"{place}.known_at: mode event counts from {' or '.join(wanted)}, and none of them is "
                "filled; give `from`"
            )


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, of which the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {name} stands twice in the mapping from line {line}")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def load_contract(path: Path, clients: dict[str, Client]) -> SourceContract:
    """Read and check one contract.

    Raises:
        ContractError: names file and key, and suggests what was meant.
    """
    try:
        values: Any = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ContractError(f"{path.name}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ContractError(f"{path.name}: not a mapping of keys")
    client = clients.get(str(values.get("client")))
    if client is None:
        suggestion = _suggest(str(values.get("client")), list(clients))
        raise ContractError(f"{path.name}: client: no file clients/{values.get('client')}.yml.{suggestion}")
    defaults = {
        "name": path.stem,
        "source": path.stem,
        "timezone": client.timezone,
        "currency": client.base_currency,
    }
    try:
        contract = SourceContract(**(defaults | values))
    except ValidationError as error:
        raise ContractError(_explain(path, error)) from error
    _check(path, contract)
    return contract


def load_contracts(settings: Settings) -> list[SourceContract]:
    """All contracts of the installation, by name.

    Raises:
        ContractError: see `load_contract`.
    """
    clients = load_clients(settings)
    return [load_contract(path, clients) for path in sorted(settings.sources.glob("*.yml"))]
