"""What changed upstream between a publication and the one that it was built on: one row a change, kept.

These are the suspects of an incident: files that are missing, late, corrected, refused or of a new layout;
releases of rules; changes to dbt, to models, to a client's settings. Each names what it touches, in the
words of `nightledger.incidents.lineage`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from nightledger import operations, warehouse
from nightledger.governance import ledger
from nightledger.incidents import feeds
from nightledger.incidents.lineage import Lineage
from nightledger.ingestion.contract import ContractError
from nightledger.ingestion.contract_files import load_contracts
from nightledger.settings import Settings

EVERYTHING = "*"
"""What touches every feature."""
_SAYS_WHEN = frozenset({"timezone", "base_currency", "country"})
"""Settings of a client that move every figure of it."""
_QUOTED = re.compile(r"'[^']*'")
_MERCHANTS = "int_merchant_matches"
"""What it reads are the rules of merchants."""


@dataclass(frozen=True)
class Change:
    """One recorded change.

    Attributes:
        as_of_date: the first as-of date of which it can have moved a figure: of a night of several dates the
            first one that it built, or the business date of the file if that is later.
        kind: `missing file`, `late file`, `corrected file`, `refused file`, `layout`, `rules`, `dbt`, `model`
            or `client`.
        client_id: whose; empty: of everybody.
        about: source, node, model or setting.
        what: a sentence for people, without any value of a customer.
        touches: what it changes, see `Lineage.behind_feature`.
    """

    as_of_date: date
    kind: str
    client_id: str
    about: str
    what: str
    touches: tuple[str, ...] = ()
    id: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        text = "\x1f".join((str(self.as_of_date), self.kind, self.client_id, self.about, self.what))
        object.__setattr__(self, "id", hashlib.sha256(text.encode()).hexdigest()[:16])


@dataclass(frozen=True)
class Night:
    """A publication to be looked at, and the one before it."""

    settings: Settings
    run_id: str
    path: Path
    now: duckdb.DuckDBPyConnection
    before: duckdb.DuckDBPyConnection | None
    manifest: Mapping[str, Any]
    manifest_before: Mapping[str, Any] | None

    def as_of_date(self) -> date:
        """Its last as-of date."""
        return _last_date(self.now)

    def dates(self) -> list[date]:
        """The as-of dates that it has and its base had not, oldest first; never none: at least its last."""
        last = self.as_of_date()
        if self.before is None:
            return [last]
        rows = self.now.execute(
            "select distinct as_of_date from ops.as_of_dates where as_of_date > ? and as_of_date <= ?"
            " order by 1",
            [_last_date(self.before), last],
        ).fetchall()
        return [day for (day,) in rows] or [last]


def _last_date(connection: duckdb.DuckDBPyConnection) -> date:
    day: date = connection.execute("select max(as_of_date) from ops.horizon").fetchall()[0][0]
    return day


def found(night: Night, lineage: Lineage, known: list[Change]) -> list[Change]:
    """The changes that a publication brought, in a fixed order.

    Args:
        night: the publication and its base.
        lineage: of its manifest.
        known: changes recorded before: what goes on is said once.
    """
    parts: tuple[Callable[[], Iterator[Change]], ...] = (
        lambda: _files(night),
        lambda: _emptied(night, known),
        lambda: _definitions(night, lineage),
        lambda: _corrections(night),
        lambda: _models(night),
        lambda: _clients(night),
    )
    changes = {change.id: change for part in parts for change in part()}
    return sorted(changes.values(), key=lambda c: (c.as_of_date, c.kind, c.client_id, c.about, c.what))


def _emptied(night: Night, known: list[Change]) -> Iterator[Change]:
    """Columns that became empty or full; the same one is said once in as many days as are compared."""
    layouts = [change for change in known if change.kind == "layout"]
    for day in night.dates():
        first = day - timedelta(days=feeds.DAYS)
        said = {(change.client_id, change.about) for change in layouts if first <= change.as_of_date < day}
        for client, feed, source, column, what in feeds.emptied(night.now, day):
            change = Change(day, "layout", client, f"{source}.{column}", what, (f"raw.{feed}.{column}",))
            if (client, change.about) not in said:
                layouts.append(change)
                yield change


def _files(night: Night) -> Iterator[Change]:
    """What the calendar of deliveries says now and did not say before, and files that were refused."""
    day, first = night.as_of_date(), night.dates()[0]
    states = _states(night.now, day)
    before = _states(night.before, day) if night.before else {}
    for (client, source, feed, business_date), state in sorted(states.items()):
        earlier = before.get((client, source, feed, business_date))
        if state == earlier or (night.before is None and state != "missing"):
            continue
        touches = (f"raw.{feed}",)
        where, on = f"{source} of {business_date}", min(max(business_date, first), day)
        if state == "missing":
            yield Change(on, "missing file", client, source, f"{where} has not come.", touches)
        elif state == "late" or earlier == "missing":
            yield Change(on, "late file", client, source, f"{where} came late.", touches)
    for (client, source, feed), days in sorted(
        feeds.corrected(night.now, night.run_id, night.settings).items()
    ):
        listed = ", ".join(map(str, days[:3])) + (f" and {len(days) - 3} days more" if len(days) > 3 else "")
        told = f"{source} told {listed} again, otherwise than before."
        yield Change(max(min(days), first), "corrected file", client, source, told, (f"raw.{feed}",))
    for row in operations.file_verdicts(night.settings, night.run_id):
        if row["verdict"] == "refused":
            read = feeds.feeds_of(night.now, row["source"], row["client_id"])
            yield refusal(first, row, read, _columns(night.settings, row["client_id"], row["source"]))


def refusal(day: date, row: Mapping[str, Any], read: list[str], columns: Collection[str]) -> Change:
    """A refused file as a change: of layout where a column is missing or unknown, else of the file.

    Args:
        day: as-of date.
        row: of `operations.file_verdicts`.
        read: feeds of the source.
        columns: those of its contract. Others are not named: without a header they are a customer's values.
    """
    said: list[str] = [*row["message"].split(" · "), "", "", "", ""]
    column, reason = said[2].removeprefix("column "), said[3]
    is_layout = "column" in reason
    kind = "layout" if is_layout else "refused file"
    reason = _QUOTED.sub("'…'", reason.partition(";")[0])  # behind it may stand what the file has instead
    if is_layout and column in columns:
        why = f"column {column}: {reason}."
    elif is_layout:
        why = f"{reason}: see the run's page."
    else:
        why = "see the run's page."
    what = f"{row['source']}: {row['file']} was refused: {why}"
    return Change(day, kind, row["client_id"], row["source"], what, tuple(f"raw.{feed}" for feed in read))


def _columns(settings: Settings, client: str, source: str) -> frozenset[str]:
    """Columns that the contract of a source names; of one that is gone or broken, none."""
    try:
        contracts = load_contracts(settings)
    except (ContractError, OSError):
        return frozenset()
    return frozenset(
        name
        for contract in contracts
        if (contract.client, contract.source) == (client, source)
        for name in (*contract.read, *contract.ignore)
    )


def _states(connection: duckdb.DuckDBPyConnection, day: date) -> dict[tuple[str, str, str, date], str]:
    rows = connection.execute(
        "select client_id, source, feed, business_date, min(state) from ops.coverage"
        " where expected and business_date >= ? group by all",
        [day - timedelta(days=60)],
    ).fetchall()
    return {
        (client, source, feed, business_date): state for client, source, feed, business_date, state in rows
    }


def _definitions(night: Night, lineage: Lineage) -> Iterator[Change]:
    """Models, seeds and macros whose own text is another than before; those of merchants are rules."""
    if night.manifest_before is None:
        return
    rules = next(
        (lineage.below(name) for name in night.manifest["nodes"] if name.endswith(f".{_MERCHANTS}")),
        frozenset(),
    )
    for name, how in definitions(night.manifest, night.manifest_before):
        short = name.split(".")[-1]
        is_rule = (name.startswith("seed.") and name in rules) or short == _MERCHANTS
        kind, what = ("rules", "merchant rules") if is_rule else ("dbt", name.split(".")[0])
        yield Change(night.dates()[0], kind, "", short, f"{what} {short} {how}.", (name,))


def definitions(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(unique id, what became of it) of the models, seeds and macros that two manifests have otherwise."""
    texts, earlier = _texts(now), _texts(before)
    for name in sorted(texts.keys() | earlier.keys()):
        if texts.get(name) != earlier.get(name):
            is_both = name in texts and name in earlier
            yield name, "was changed" if is_both else "is new" if name in texts else "is gone"


def _texts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Own hash of everything that makes rows."""
    made = {
        name: node["checksum"]["checksum"]
        for name, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed")
    }
    macros = {
        name: hashlib.sha256(macro["macro_sql"].encode()).hexdigest()
        for name, macro in manifest["macros"].items()
        if macro["package_name"] == "nightledger" and not macro["name"].startswith("test_")
    }
    return made | macros


def _corrections(night: Night) -> Iterator[Change]:
    """What people said about merchants and this night took up."""
    if night.before is None:
        return
    count = "select count(*) from operations.merchant_corrections where known_at is not null"
    try:
        now, before = (c.execute(count).fetchall()[0][0] for c in (night.now, night.before))
    except duckdb.CatalogException:  # an older release had none
        return
    if now > before:
        touches = tuple(n for n in night.manifest["nodes"] if n.endswith(".int_merchants_corrected"))
        what = f"{now - before} corrections of merchants were taken up."
        yield Change(night.dates()[0], "rules", "", "merchant corrections", what, touches)


def _models(night: Night) -> Iterator[Change]:
    """Champions that score other dates than they did the day before."""
    pins = (
        "select model, arg_max(model_version, as_of_date) from ops.model_pins where role = 'champion'"
        " and as_of_date >= (select max(as_of_date) from ops.horizon) group by all order by 1"
    )
    now = dict(night.now.execute(pins).fetchall())
    before = dict(night.before.execute(pins).fetchall()) if night.before else {}
    for model, version in now.items():
        if before.get(model, version) == version:
            continue
        said = [row for row in ledger.decisions(night.settings, model) if row["champion_after"] == version]
        how = f" ({said[-1]['decision'].replace('_', ' ')} by {said[-1]['decided_by']})" if said else ""
        what = f"{model} {version} scores instead of {before[model]}{how}."
        scored = night.now.execute(
            "select min(as_of_date) from ops.model_pins"
            " where (model, model_version, role) = (?, ?, 'champion') and as_of_date >= ?",
            [model, version, night.dates()[0]],
        ).fetchall()
        yield Change(scored[0][0], "model", "", model, what, (f"model {model.partition('.')[0]}",))


def _clients(night: Night) -> Iterator[Change]:
    """Settings of clients that are others than before."""
    if night.before is None:
        return
    for table, only in (
        ("clients", None),
        ("client_rules", "rules of actions"),
        ("client_actions", "actions"),
    ):
        try:
            now, before = (_by_client(c, table) for c in (night.now, night.before))
        except duckdb.CatalogException:
            continue
        for client in sorted(now.keys() & before.keys()):
            names = sorted(now[client].keys() & before[client].keys())
            for name in [name for name in names if now[client][name] != before[client][name]]:
                about = name if only is None else f"{only}: {name}"
                touches = EVERYTHING if name in _SAYS_WHEN else f"ops.{table}.{name}"
                what = f"the setting {about} of {client} was changed."
                yield Change(night.dates()[0], "client", client, about, what, (touches,))


def _by_client(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, dict[str, str]]:
    """All values of a client in each column, as one text."""
    answer = connection.execute(f"select * from ops.{table} order by all")  # noqa: S608 - one of three names
    names = [column[0] for column in answer.description or ()]
    found: dict[str, dict[str, list[str]]] = {}
    for row in answer.fetchall():
        values = dict(zip(names, map(str, row), strict=True))
        of_client = found.setdefault(values["client_id"], {})
        for name, value in values.items():
            of_client.setdefault(name, []).append(value)
    return {client: {name: json.dumps(values) for name, values in of.items()} for client, of in found.items()}


def open_night(settings: Settings, run_id: str, publication_id: str, base: str | None) -> Night:
    """A publication and its base, read-only; the base may be pruned already."""
    path = settings.builds / publication_id
    older = settings.builds / base if base else None
    older = older if older is not None and (older / warehouse.FILE).exists() else None
    return Night(
        settings=settings,
        run_id=run_id,
        path=path,
        now=warehouse.connect(path, settings=settings),
        before=warehouse.connect(older, settings=settings) if older else None,
        manifest=json.loads((path / "manifest.json").read_text()),
        manifest_before=json.loads((older / "manifest.json").read_text()) if older else None,
    )
