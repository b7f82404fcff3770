"""Reads contracts from their files; a mistake is reported with file, key and a suggestion before any load."""

import difflib
import re
from pathlib import Path
from typing import Any

import duckdb
import yaml
from pydantic import BaseModel, ValidationError

from nightledger.clients import Client, load_clients
from nightledger.ingestion.contract import (
    ColumnSpec,
    ContractError,
    ExtraSpec,
    FeedContract,
    FileFormat,
    KnownAt,
    Sign,
    SourceContract,
)
from nightledger.ingestion.delivery import Delivery, FromName
from nightledger.ingestion.feeds import BY_SOURCE, FEEDS, Feed, raw_columns
from nightledger.ingestion.pulling.contract import CursorPaging, OffsetPaging, Pull, PullToken, Since
from nightledger.settings import Settings

NAME = r"[a-z][a-z0-9_]{0,40}"
"""What may become part of the name of a table or column."""

_KEYS: dict[tuple[str, ...], type[BaseModel]] = {
    (): SourceContract,
    ("format",): FileFormat,
    ("delivery",): Delivery,
    ("delivery", "day"): FromName,
    ("delivery", "period"): FromName,
    ("pull",): Pull,
    ("pull", "cursor"): CursorPaging,
    ("pull", "offset"): OffsetPaging,
    ("pull", "since"): Since,
    ("pull", "token"): PullToken,
    ("feeds", "*"): FeedContract,
    ("feeds", "*", "known_at"): KnownAt,
    ("feeds", "*", "sign"): Sign,
    ("feeds", "*", "columns", "*"): ColumnSpec,
    ("feeds", "*", "extra", "*"): ExtraSpec,
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
                "*" if i and place[i - 1] in ("feeds", "columns", "extra") else p
                for i, p in enumerate(place[:-1])
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
    _check_pull(path, contract)
    _check_delivery(path, contract)
    form = contract.format
    named = {
        "personal": contract.personal,
        "optional": contract.optional,
        "format.names": form.names,
        "format.not_records": tuple(form.not_records),
    }
    known = [*contract.read, *contract.ignore]
    for key, names in named.items():
        for name in names:
            if name not in known:
                raise ContractError(f"{path.name}: {key}: no feed reads {name!r}.{_suggest(name, known)}")


def _check_delivery(path: Path, contract: SourceContract) -> None:
    """Refuse a way of delivery that the feeds cannot carry, and a wait for what no file can tell."""
    if contract.delivery.deadline is not None:
        if contract.pull is not None:
            raise ContractError(
                f"{path.name}: delivery.deadline: a server is asked when the night begins; a deadline is for "
                "files"
            )
        if contract.delivery.day is None and not contract.needs_manifest:
            raise ContractError(
                f"{path.name}: delivery.deadline: a night waits for the file of a day, and nothing says for "
                "which day a file is; give delivery.day, or a manifest with business_date"
            )
    mode = contract.delivery.mode
    transactions = contract.feeds.get("transactions")
    if mode == "append" or transactions is None:
        return
    if mode == "upsert" and not transactions.key_columns:
        raise ContractError(
            f"{path.name}: delivery.mode: upsert needs a natural key; write the columns of "
            "feeds.transactions.key"
        )
    if mode == "replace_period" and not transactions.known_at.of_the_file:
        raise ContractError(
            f"{path.name}: delivery.mode: replace_period takes back what was told before, from one moment "
            "on; known_at must be arrival, manifest or file_name"
        )


def _check_pull(path: Path, contract: SourceContract) -> None:
    """Refuse a pull whose pages could not be read, or could not be told apart."""
    if contract.pull is None:
        return
    if contract.format.type != "json":
        raise ContractError(f"{path.name}: format.type: a pull brings pages of JSON; write json")
    if contract.needs_manifest:
        raise ContractError(f"{path.name}: pull: pages have no manifest; totals and known_at cannot use one")
    if "transactions" in contract.feeds and not contract.feeds["transactions"].key_columns:
        raise ContractError(
            f"{path.name}: feeds.transactions.key: pages overlap, so only a natural key tells a record that "
            "was sent again from another one; write the columns of the key"
        )


def _check_feed(place: str, contract: SourceContract, feed: Feed, given: FeedContract) -> None:
    for name, spec in given.columns.items():
        if name not in feed.names:
            raise ContractError(f"{place}.columns.{name}: no such column.{_suggest(name, feed.names)}")
        if spec.key_of is not None and (
            spec.key_of != "transactions"
            or "transactions" not in contract.feeds
            or (feed.name, name) != ("labels", "entity_id")
        ):
            raise ContractError(
                f"{place}.columns.{name}.key_of: only the entity_id of labels can be the key of "
                "transactions, in the same contract"
            )
        personal = [column for column in spec.read if column in contract.personal]
        if personal and feed.column(name).kind != "text":
            raise ContractError(
                f"{place}.columns.{name}: {personal[0]!r} is personal, so it becomes a token, which is no "
                f"{feed.column(name).kind}. Take it out of `personal`, or leave the column out"
            )
    _check_extra(place, contract, feed, given)
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


def _check_extra(place: str, contract: SourceContract, feed: Feed, given: FeedContract) -> None:
    """Refuse extra columns that would be no column of a table of their own."""
    if (given.extra or feed.name in BY_SOURCE) and not re.fullmatch(NAME, contract.source):
        raise ContractError(
            f"{place}.extra: the source {contract.source!r} becomes part of a table's name; write it in "
            "small letters, digits and _, a letter first"
        )
    taken = {name for name, _ in raw_columns(feed)}
    for name, spec in given.extra.items():
        key = f"{place}.extra.{name}"
        if not re.fullmatch(NAME, name):
            raise ContractError(f"{key}: write the name in small letters, digits and _, a letter first")
        if name in taken:
            raise ContractError(f"{key}: {feed.name} has a column of that name; fill it under `columns`")
        if spec.key_of is not None:
            raise ContractError(f"{key}.key_of: only entity_id can be the key of transactions")
        if spec.type != "text" and any(column in contract.personal for column in spec.read):
            raise ContractError(f"{key}.type: personal columns become tokens, which are text")


def _check_formats(place: str, given: FeedContract) -> None:
    """Refuse a format that the database cannot read: it would stop the night at the first file."""
    formats = {f"columns.{name}.format": spec.format for name, spec in given.columns.items()}
    formats |= {f"extra.{name}.format": spec.format for name, spec in given.extra.items()}
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


class _Loader(yaml.CSafeLoader):
    """YAML, read by libyaml, without repeated keys, of which the first would be lost without a word."""

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
        values: Any = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError) as error:
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
        contract = SourceContract.model_validate(defaults | values)
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
