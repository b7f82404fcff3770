"""An array of JSON objects, streamed: nested objects become columns with dotted names, such as location.city.

Numbers keep the decimals they are written with, lists stay JSON, null is a missing value. The columns are
all names that any record has, in the order in which they first come. Half of a character becomes a control
character, for which its record goes to quarantine.

A path such as accounts.*.transactions goes through the objects of one array to an array in each of them; a
record then also has the plain values of the object above, as accounts.name.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ijson  # type: ignore[import-untyped]

from nightledger.ingestion.formats import Table, Unreadable, opened
from nightledger.ingestion.formats.transcoding import WithoutHalves, as_utf8

if TYPE_CHECKING:
    from nightledger.ingestion.contract import FileFormat

MAX_DEPTH = 50
MAX_NAMES = 10_000
MAX_EXPONENT = 100
"""Beyond it a number in exponent form stays as it is written, and no amount can be read from it."""

_Event = tuple[str, Any]
_Record = dict[str, str | None]


def read(path: Path, form: "FileFormat") -> Table:
    """The table of a file; goes through the file once for the names and once for the rows.

    Raises:
        Unreadable: it is no JSON, or there is no array of objects where the contract says.
    """
    header: dict[str, None] = {}
    for record in _records(path, form):
        header.update(dict.fromkeys(record))
        if len(header) > MAX_NAMES:
            raise Unreadable(f"has more than {MAX_NAMES:,} columns", _WHAT)
    return Table(tuple(header), _rows(path, form, tuple(header)))


def places(path: Path, form: "FileFormat") -> dict[str, int]:
    """Every array of objects by the `format.records` that leads to it, with its number of objects.

    Raises:
        Unreadable: it is no JSON.
    """
    found: dict[str, int] = {}
    around: list[str | None] = []  # the name of each value that is open, None for an element of an array
    name: str | None = ""
    try:
        with opened(path) as file:
            for kind, value in ijson.basic_parse(WithoutHalves(as_utf8(file, form.encoding))):
                if kind == "map_key":
                    name = value
                elif kind in ("end_map", "end_array"):
                    around.pop()
                    name = None
                elif kind in ("start_map", "start_array"):
                    if kind == "start_map" and name is None and _can_be_named(around[1:]):
                        place = ".".join(step or "*" for step in around[1:])
                        found[place] = found.get(place, 0) + 1
                    around.append(name)
                    name = None
    except (ijson.JSONError, ArithmeticError) as error:
        raise Unreadable("is no JSON, or was cut off", "ask the sender to send it again") from error
    return found


def _can_be_named(steps: list[str | None]) -> bool:
    """Whether `format.records` can lead to an array: by names, and through the objects of one other array."""
    names = [step for step in steps if step is not None]
    return (
        len(steps) - len(names) <= 1
        and (not steps or steps[-1] is not None)
        and not any(not name or "." in name or "*" in name for name in names)
    )


def _rows(path: Path, form: "FileFormat", header: tuple[str, ...]) -> Iterator[list[str | None]]:
    for record in _records(path, form):
        yield [record.get(name) for name in header]


def _records(path: Path, form: "FileFormat") -> Iterator[_Record]:
    number = 0
    record: _Record
    try:
        with opened(path) as file:
            events = iter(ijson.basic_parse(WithoutHalves(as_utf8(file, form.encoding))))
            above, _, below = form.records.partition("*")
            _enter(events, [name for name in above.split(".") if name])
            if below:
                for record in _below_parents(events, above, [name for name in below.split(".") if name]):
                    number += 1
                    yield record
                return
            for kind, _ in events:
                if kind == "end_array":
                    break
                number += 1
                if kind != "start_map":
                    raise Unreadable("is no JSON object", _ASK, record=number)
                record = {}
                _flatten(events, "", record, number, 1)
                yield record
            for _ in events:  # so that a file that was cut off below the array is found
                pass
    except (ijson.JSONError, ArithmeticError) as error:
        raise Unreadable(
            "is no JSON, or was cut off",
            "ask the sender to send it again",
            record=number or None,
        ) from error


_ASK = "mend format.records in the contract, or ask the sender"
_WHAT = "ask the sender what the file is"
_WHICH = "ask the sender which one counts"


def _below_parents(events: Iterator[_Event], above: str, names: list[str]) -> Iterator[_Record]:
    """The objects of the arrays below each object of an array, each with what its parent holds beside them.

    What a parent holds may come after its objects, so these wait in memory for its end.
    """
    number = 0
    for kind, _ in events:
        if kind == "end_array":
            break
        if kind != "start_map":
            raise Unreadable("is no JSON object", _ASK, record=number + 1)
        parent: _Record = {}
        records: list[_Record] = []
        _read_parent(events, above, names, parent, records, number)
        number += len(records)
        yield from (parent | record for record in records)
    for _ in events:  # so that a file that was cut off below the array is found
        pass


def _read_parent(
    events: Iterator[_Event],
    prefix: str,
    names: list[str],
    parent: _Record,
    records: list[_Record],
    before: int,
) -> None:
    """Read an object to its end: its plain values as columns with dotted names, the objects at `names`."""
    for kind, name in events:
        if kind == "end_map":
            return
        kind, value = next(events)
        is_ours = name == names[0]
        if is_ours and kind == "start_map" and len(names) > 1:
            _read_parent(events, f"{prefix}{name}.", names[1:], parent, records, before)
        elif is_ours and kind == "start_array" and len(names) == 1:
            for kind, _ in events:
                if kind == "end_array":
                    break
                number = before + len(records) + 1
                if kind != "start_map":
                    raise Unreadable("is no JSON object", _ASK, record=number)
                records.append({})
                _flatten(events, "", records[-1], number, 1)
        elif kind in ("start_map", "start_array"):
            _skip(chain([(kind, value)], events))
        else:
            parent[f"{prefix}{name}"] = _text(value)


def _enter(events: Iterator[_Event], names: list[str]) -> None:
    """Go to the array that the names lead to."""
    place = ".".join(names) or "the top"
    for name in names:
        if next(events, ("", None))[0] != "start_map":
            raise Unreadable(f"has no array at {place}", _ASK)
        for kind, value in events:
            if kind == "end_map":
                raise Unreadable(f"has no array at {place}", _ASK)
            if value == name:
                break
            _skip(events)
    if next(events, ("", None))[0] != "start_array":
        raise Unreadable(f"has no array at {place}", _ASK)


def _skip(events: Iterator[_Event]) -> None:
    """Pass over one value."""
    depth = 0
    for kind, _ in events:
        depth += (kind in ("start_map", "start_array")) - (kind in ("end_map", "end_array"))
        if not depth:
            return


def _flatten(events: Iterator[_Event], prefix: str, record: _Record, number: int, depth: int) -> None:
    """Add what an object holds, up to its end, to a record."""
    if depth > MAX_DEPTH:
        raise Unreadable(f"nests deeper than {MAX_DEPTH} levels", _WHAT, record=number)
    for kind, value in events:
        if kind == "end_map":
            return
        name = prefix + value
        kind, value = next(events)
        if kind == "start_map":
            _flatten(events, f"{name}.", record, number, depth + 1)
            continue
        if name in record:
            raise Unreadable("stands twice in a record", _WHICH, record=number, column=name[:80])
        record[name] = _list(events, number) if kind == "start_array" else _text(value)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) <= MAX_EXPONENT else str(value)
    return str(value)


def _list(events: Iterator[_Event], number: int) -> str:
    """A list as the text of JSON."""
    parts: list[str] = ["["]
    depth = 1
    for kind, value in events:
        closes = kind in ("end_array", "end_map")
        if not closes and parts[-1][-1:] not in ("[", "{", ":"):
            parts.append(",")
        if kind in ("start_array", "start_map"):
            depth += 1
            parts.append("[" if kind == "start_array" else "{")
        elif closes:
            depth -= 1
            parts.append("]" if kind == "end_array" else "}")
        elif kind == "map_key":
            parts.append(json.dumps(value, ensure_ascii=False) + ":")
        elif kind == "number":
            parts.append(_text(value) or "")
        else:
            parts.append(json.dumps(value, ensure_ascii=False))
        if depth > MAX_DEPTH:
            raise Unreadable(f"nests deeper than {MAX_DEPTH} levels", _WHAT, record=number)
        if not depth:
            break
    return "".join(parts)
