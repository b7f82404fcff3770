"""Proposes a source contract for a sample: what could be guessed as YAML, the rest as comments `# ?`."""

import re
from pathlib import Path
from typing import Any

import yaml

from nightledger.clients import Client
from nightledger.ingestion.contract import ContractError
from nightledger.ingestion.drafts import guessing, profiling, sampling
from nightledger.ingestion.drafts.guessing import Guesses
from nightledger.ingestion.drafts.profiling import Profile
from nightledger.ingestion.feeds import FEEDS

FOOTERS = range(4)
"""Numbers of rows at the end that may be no records."""


def draft(path: Path, clients: dict[str, Client], client: str | None = None) -> str:
    """A proposed contract as YAML.

    Args:
        path: a sample.
        clients: all of them, by name.
        client: whose files these are; default: the first one, with a question.

    Raises:
        ContractError: the sample cannot be read, or there is no such client.
    """
    if not clients or (client is not None and client not in clients):
        raise ContractError(f"clients: no file clients/{client or '<name>'}.yml; write it first, it is short")
    name = client or sorted(clients)[0]
    sample = sampling.read(path)
    month_first = clients[name].country == "US" or clients[name].base_currency == "USD"
    whole: Guesses | None = None
    for footer in FOOTERS:
        texts = [sample.texts(number, footer) for number in range(len(sample.header))]
        marks = profiling.number_marks([[t.strip() for t in column if t and t.strip()] for column in texts])
        made = Guesses(
            [
                profiling.profile(heading, column, marks, month_first=month_first)
                for heading, column in zip(sample.header, texts, strict=True)
            ],
            clients[name].base_currency,
        )
        has_amount, has_day = guessing.guess_amount(made), guessing.guess_day(made)
        if has_amount and has_day:
            break
        whole = whole or made
    else:
        made, footer = whole or made, 0
    made.doubts |= sample.doubts
    form = dict(sample.form)
    form |= {"decimal": marks[0]} if marks[0] != "." else {}
    form |= {"thousands": marks[1]} if marks[1] else {}
    form |= {"footer_rows": footer} if footer else {}
    if client is None and len(clients) > 1:
        made.doubts["client"] = f"or {', '.join(sorted(clients)[1:])}"
    source = re.sub(r"[^a-z]+", "_", profiling.plain(path.name.split(".")[0])).strip("_") or "source"
    feeds: dict[str, Any] = {}
    if has_amount and has_day:
        guessing.guess_transactions(made, source)
        feeds["transactions"] = guessing.transactions(made)
        if fraud := made.find("fraud", "boolean", "integer"):
            made.used.add(fraud.name)
            feeds["labels"] = guessing.labels(made, fraud)
    else:
        feeds["attributes"] = guessing.attributes(made, has_day)
    main = feeds.get("transactions") or feeds["attributes"]
    personal, ignored = _leave_out(made, next(iter(feeds)))
    if made.extra:
        main["extra"] = made.extra
    head: dict[str, Any] = {
        "client": name,
        "source": source[:40],
        "files": _pattern(path.name),
        "format": form,
    }
    head |= {"personal": personal} if personal else {}
    head |= {"ignore": ignored} if ignored else {}
    return _render(head, feeds, made.doubts)


def _leave_out(made: Guesses, feed: str) -> tuple[list[str], list[str]]:
    """Sort the columns by what is left to do: tokenise, ignore, or keep as extra columns."""
    described = made.columns.get("description")
    personal, ignored = [], []
    for found in made.profiles:
        if found.name in made.used:
            if guessing.is_personal(found) and found.name != described and found.kind in ("text", "integer"):
                personal.append(found.name)
        elif found.kind == "empty" or guessing.is_personal(found):
            ignored.append(found.name)
        else:
            made.extra[_extra_name(found.name, feed, made.extra)] = _extra_spec(found)
    return personal, ignored


def _extra_name(name: str, feed: str, taken: dict[str, Any]) -> str:
    made = re.sub(r"^[^a-z]+", "", profiling.plain(name).replace(" ", "_"))[:36] or "column"
    reserved = {*FEEDS[feed].names, "client_id", "source", "known_at", "transaction_key", "superseded_at"}
    made = f"other_{made}" if made in reserved else made
    number = 2
    while made in taken:
        made, number = f"{made.rstrip('0123456789_')}_{number}", number + 1
    return made


def _extra_spec(found: Profile) -> Any:
    is_code = found.kind == "integer" and any(
        (v.startswith("0") and v != "0") or len(v) > 15 for v in found.values
    )
    if found.kind in ("text", "time", "currency") or is_code:
        return found.name
    spec = {"column": found.name, "type": found.kind}
    return spec | ({"format": found.format} if found.format else {})


def _pattern(name: str) -> str:
    """A pattern for files like this one: from the first to the last long number anything may stand."""
    stem, dot, suffix = name.partition(".")
    stem = re.sub(r"[\[\]*?]", "?", stem)
    numbers = [match.span() for match in re.finditer(r"\d{4,}([-_.]?\d{2})*|\d{2}([-_]\d{2})+", stem)]
    if not numbers:
        return f"{stem}*{dot}{suffix}"
    return f"{stem[: numbers[0][0]]}*{stem[numbers[-1][1] :]}{dot}{suffix}"


def _render(head: dict[str, Any], feeds: dict[str, Any], doubts: dict[str, str]) -> str:
    lines = ["# Proposed from a sample. A line with `# ?` is a guess that you should look at."]
    left = dict(doubts)

    def put(indent: int, key: str, value: Any) -> None:
        doubt = f"   # ? {left.pop(key)}" if key in left else ""
        lines.append(f"{'  ' * indent}{_flow(key)}: {_flow(value)}{doubt}")

    for key, value in head.items():
        put(0, key, value)
    lines.append("feeds:")
    for name, feed in feeds.items():
        lines.append(f"  {name}:" + (f"   # ? {left.pop(name)}" if name in left else ""))
        for key, value in feed.items():
            if key in ("columns", "extra"):
                lines.append(f"    {key}:")
                for column, spec in value.items():
                    put(3, column, spec)
            else:
                put(2, key, value)
    lines += [f"# ? {doubt}" for doubt in left.values()]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=1 << 20)
    return text.removesuffix("\n").removesuffix("\n...")
