"""Reads contracts from their files; a mistake is reported with file, key and a suggestion before any load."""

import difflib
from pathlib import Path
from typing import Any

import duckdb
import yaml
from pydantic import BaseModel, ValidationError

from nightledger.clients import Client, load_clients
from nightledger.ingestion.contract import (
    ColumnSpec,
    ContractError,
    Delivery,
    FeedContract,
    FileFormat,
    KnownAt,
    Sign,
    SourceContract,
)
from nightledger.ingestion.feeds import FEEDS, Feed
from nightledger.settings import Settings

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
    _check_formats(place, given)
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


def _check_formats(place: str, given: FeedContract) -> None:
    """Refuse a format that the database cannot read: it would stop the night at the first file."""
    formats = {f"columns.{name}.format": spec.format for name, spec in given.columns.items()}
    formats["known_at.format"] = given.known_at.format if given.known_at.mode == "column" else None
    if isinstance(given.known_at.from_, ColumnSpec):
        formats["known_at.from.format"] = given.known_at.from_.format
    for key, pattern in formats.items():
        if pattern in (None, "unix"):
            continue
        try:
            duckdb.execute("select try_strptime('', ?)", [pattern])
        except duckdb.Error as error:
            raise ContractError(f"{place}.{key}: {pattern!r} is no format of dates: {error}") from error


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
