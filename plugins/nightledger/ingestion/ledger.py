"""The load ledger: what has been decided about which file, and which files wait for a decision."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from nightledger.ingestion.contract import FeedContract, SourceContract
from nightledger.ingestion.landing import Arrival


@dataclass(frozen=True)
class FileVerdict:
    """What became of one file: `loaded`, `refused` or `duplicate`, with the message that says why.

    `records` is 0 when the file could not be read; `amount_sum` is that of the rows in raw.
    """

    load_id: str
    client_id: str
    source: str
    contract: str
    file: str
    sha256: str
    arrived_at: datetime
    records: int
    amount_sum: Decimal | None
    quarantined: int
    verdict: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        """The verdict as a row."""
        return asdict(self)


@dataclass(frozen=True)
class Pending:
    """An arrival to be decided: the name that its bytes repeat, if any, and when each feed was known.

    `replaces` is the load whose rows its own replace, when the file is read again.
    """

    arrival: Arrival
    repeats: str | None
    known_at: Mapping[str, datetime | None]
    replaces: str | None = None


@dataclass(frozen=True)
class Orders:
    """What people ordered about files, each named by client and SHA-256: set aside, or to be read again."""

    held: Set[tuple[str, str]] = frozenset()
    again: Set[tuple[str, str]] = frozenset()


NO_ORDERS = Orders()


def load_id(contract: SourceContract, arrival: Arrival, *, duplicate: bool = False) -> str:
    """Id of a load: the same bytes under the same contract always have the same."""
    parts = [contract.client, contract.source, contract.name, arrival.sha256]
    if duplicate:
        parts.append(arrival.file)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def fingerprint(contract: SourceContract, arrival: Arrival) -> str:
    """Hash of what was decided on: a mended contract or manifest makes a refused file worth another try."""
    stated = json.dumps(arrival.manifest, sort_keys=True) if contract.needs_manifest else ""
    return hashlib.sha256(f"{contract.fingerprint}\x1f{stated}".encode()).hexdigest()[:16]


def adopt(landed: Sequence[Arrival], contracts: Sequence[SourceContract]) -> list[Arrival]:
    """Arrivals with the contract that describes them today: one whose contract is gone goes to its heir.

    So what a renamed contract had refused gets its next try, and keeps its time of arrival.
    """
    return [replace(arrival, contract=_heir(arrival.contract, arrival.file, contracts)) for arrival in landed]


def _heir(name: str, file: str, contracts: Sequence[SourceContract]) -> str:
    """Name of the contract that describes a file today: the same, or the one that was made of it."""
    if any(contract.name == name for contract in contracts):
        return name
    heirs = [contract.name for contract in contracts if contract.matches(file)]
    return heirs[0] if len(heirs) == 1 else name


def pending(
    connection: duckdb.DuckDBPyConnection,
    landed: Sequence[Arrival],
    contract: SourceContract,
    contracts: Sequence[SourceContract],
    cutoff: datetime,
    tried: Set[tuple[str, str]] = frozenset(),
    orders: Orders = NO_ORDERS,
) -> list[Pending]:
    """Arrivals to be decided next: new ones, and refused ones that people or a mended contract bring back.

    The same bytes under several names are tried one name at a time, until one of them is loaded; only then
    are the others duplicates. So a name that was refused, or is not due yet, takes nothing from the others.

    Args:
        connection: on the warehouse with the ledger.
        landed: every arrival, in order, adopted.
        contract: whose files are meant.
        contracts: all of them.
        cutoff: what is known later waits for a later night.
        tried: (file, fingerprint) pairs that have been decided in this load already.
        orders: files that wait although they are new, and decided ones that are read again.
    """
    # By bytes, not by load: what is in raw stays loaded when contract, source or feeds have another name now.
    decided: dict[str, tuple[str, str, str, str]] = {}
    repeated = set()
    for name, file, sha256, verdict, basis, load in connection.execute(
        "select contract, file, sha256, verdict, _contract_hash, load_id from ops.loads where client_id = ?"
        " order by verdict = 'loaded'",
        [contract.client],
    ).fetchall():
        if _heir(name, file, contracts) != contract.name:
            continue
        if verdict == "duplicate":
            repeated.add((file, sha256))
        else:
            decided[sha256] = (file, verdict, basis, load)
    found = []
    candidates: set[str] = set()
    for arrival in landed:
        named = (contract.client, arrival.sha256)
        if arrival.contract != contract.name or named in orders.held:
            continue
        file, verdict, basis, load = decided.get(arrival.sha256, (None, None, None, None))
        times = {name: known_since(contract, feed, arrival) for name, feed in contract.feeds.items()}
        own = fingerprint(contract, arrival)
        if verdict == "loaded":
            if named in orders.again and file == arrival.file and (file, own) not in tried:
                found.append(Pending(arrival, None, times, replaces=load))
            if file is not None and file != arrival.file and (arrival.file, arrival.sha256) not in repeated:
                found.append(Pending(arrival, file, times))
            continue
        is_decided = basis == own and named not in orders.again
        if is_decided or (arrival.file, own) in tried or arrival.sha256 in candidates:
            continue
        stated = [moment for moment in times.values() if moment is not None]
        is_file_wide = all(feed.known_at.of_the_file for feed in contract.feeds.values())
        # Known later than tonight's cutoff: its turn comes with a later night. Rows with times of their own
        # are loaded at once, and staging takes those that are known.
        if not (is_file_wide and stated and min(stated) >= cutoff):
            candidates.add(arrival.sha256)
            found.append(Pending(arrival, None, times))
    return found


def known_since(contract: SourceContract, feed: FeedContract, arrival: Arrival) -> datetime | None:
    """When all rows of a feed were known (UTC); None when each has its own time, or none is stated."""
    known = feed.known_at
    if known.mode == "arrival":
        return arrival.arrived_at
    try:
        if known.mode == "manifest":
            return _utc(contract, datetime.fromisoformat(str((arrival.manifest or {}).get("known_at"))))
        if known.mode == "file_name":
            match = re.search(str(known.pattern), arrival.file)
            stated = match.group(1) if match else ""
            local = datetime.strptime(stated, known.format or "%Y%m%d")  # noqa: DTZ007 - the zone follows
            return _utc(contract, local) + known.lag
    except (ValueError, OverflowError):  # the first and the last days have no neighbours
        return None
    return None


def _utc(contract: SourceContract, moment: datetime) -> datetime:
    """A time as the warehouse has it; local in the contract's zone unless it carries an offset."""
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(contract.timezone))
    return zoned.astimezone(UTC).replace(tzinfo=None)


def record(
    connection: duckdb.DuckDBPyConnection,
    contract: SourceContract,
    verdicts: Sequence[tuple[FileVerdict, Arrival]],
) -> None:
    """Write verdicts into `ops.loads`; a file that was refused before gets its new one.

    Its load may have had another id then, under another source or with other feeds.
    """
    connection.execute(
        "delete from ops.loads where list_contains($ids, load_id) or verdict = 'refused'"
        " and client_id = $client and list_contains($files, [file, sha256])",
        {
            "ids": [verdict.load_id for verdict, _ in verdicts],
            "client": contract.client,
            "files": [[verdict.file, verdict.sha256] for verdict, _ in verdicts],
        },
    )
    insert(
        connection,
        "ops.loads",
        [
            verdict.as_dict() | {"_contract_hash": fingerprint(contract, arrival)}
            for verdict, arrival in verdicts
        ],
    )


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows by column name; `table` is a name from this package."""
    if not rows:
        return
    connection.register("rows_to_insert", pa.Table.from_pylist(rows))
    connection.execute(f"insert into {table} by name from rows_to_insert")
    connection.unregister("rows_to_insert")
