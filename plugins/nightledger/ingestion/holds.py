"""Sets a file aside, lets it in again, or has it read again; the next night does it.

`python -m nightledger.ingestion.holds hold FILE --reason "why"`, `release FILE`, `requeue FILE` or
`requeue --source X` (every file of a source with records in quarantine). FILE is the name under which it
arrived; where several files have it, FILE@<first digits of its SHA-256>.

Orders are kept in operations.db with who, when and why. They name a file by its bytes, so that the same bytes
under another name are meant as well.
"""

import argparse
import difflib
import getpass
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
from rich.console import Console
from rich.markup import escape

from nightledger import operations, warehouse
from nightledger.ingestion import ledger, removal
from nightledger.ingestion.contract import ContractError, SourceContract
from nightledger.ingestion.contract_files import load_contracts
from nightledger.ingestion.landing import Arrival, arrivals
from nightledger.ingestion.ledger import FileVerdict, Orders
from nightledger.ingestion.messages import Message, inert
from nightledger.settings import Settings, SettingsError, read_settings

DIGITS = 12
"""So many digits of a SHA-256 are shown."""

console = Console(highlight=False)


class OrderError(ValueError):
    """An order about a file cannot be taken; the message says why and how to give it."""


def orders_for(settings: Settings, connection: duckdb.DuckDBPyConnection) -> Orders:
    """What a night on this warehouse has to obey: files that are held, and files to be read again.

    An order to read a file again is obeyed once by each warehouse: after a rollback it applies once more.
    """
    held: dict[tuple[str, str], bool] = {}
    again: dict[tuple[str, str], int] = {}
    for row in operations.file_order_log(settings):
        named = (row["client_id"], row["sha256"])
        if row["action"] == "requeue":
            again[named] = row["id"]
        else:
            held[named] = row["action"] == "hold"
    obeyed = {number for (number,) in connection.execute("from ops.applied_orders").fetchall()}
    return Orders(
        held=frozenset(named for named, is_held in held.items() if is_held),
        again=frozenset(named for named, number in again.items() if number not in obeyed),
    )


def is_waiting(connection: duckdb.DuckDBPyConnection, orders: Orders) -> bool:
    """Whether a night would change anything by these orders: remove, let in or read again."""
    held = connection.execute("select client_id, sha256, verdict from ops.loads").fetchall()
    loaded = {(client, sha256) for client, sha256, verdict in held if verdict == "loaded"}
    refused = {(client, sha256) for client, sha256, verdict in held if verdict == "refused"}
    set_aside = {(client, sha256) for client, sha256, verdict in held if verdict == "held"}
    return bool(loaded & orders.held or set_aside - orders.held or (loaded | refused) & orders.again)


def apply(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Sequence[SourceContract],
    orders: Orders,
) -> list[FileVerdict]:
    """Take the rows of held files out of raw, and let released files wait for their turn again.

    Returns:
        A verdict `held` for each file that was set aside now.
    """
    landed = ledger.adopt(arrivals(settings), contracts)
    by_name = {contract.name: contract for contract in contracts}
    reasons = {
        (row["client_id"], row["sha256"]): row["reason"]
        for row in operations.file_order_log(settings)
        if row["action"] == "hold"
    }
    known = connection.execute("select client_id, sha256, load_id, verdict from ops.loads").fetchall()
    already = {(client, sha256) for client, sha256, _, verdict in known if verdict == "held"}
    verdicts = []
    connection.execute("begin")
    try:
        freed = [load for client, sha256, load, _ in known if (client, sha256) in already - orders.held]
        connection.execute("delete from ops.loads where list_contains($ids, load_id)", {"ids": freed})
        connection.execute("delete from ops.held_days where list_contains($ids, load_id)", {"ids": freed})
        for arrival in landed:
            contract = by_name.get(arrival.contract)
            named = (contract.client, arrival.sha256) if contract else ("", "")
            if contract is None or named not in orders.held or named in already:
                continue
            already.add(named)
            loads = [load for client, sha256, load, _ in known if (client, sha256) == named]
            verdict = _set_aside(connection, contract, arrival, loads, reasons[named])
            ledger.record(connection, contract, [(verdict, arrival)])
            verdicts.append(verdict)
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    return verdicts


def _set_aside(
    connection: duckdb.DuckDBPyConnection,
    contract: SourceContract,
    arrival: Arrival,
    loads: Sequence[str],
    reason: str,
) -> FileVerdict:
    """Remove what was loaded of a file; the days that it was for are kept in `ops.held_days`."""
    load = ledger.load_id(contract, arrival)
    records = connection.execute(
        "select coalesce(max(records), 0), coalesce(max(quarantined), 0) from ops.loads"
        " where list_contains($ids, load_id)",
        {"ids": list(loads)},
    ).fetchone() or (0, 0)
    connection.execute(
        "insert into ops.held_days select distinct $load, client_id, source, business_date"
        " from raw.transactions where list_contains($ids, _load_id)",
        {"load": load, "ids": list(loads)},
    )
    day = contract.delivery.day_of(arrival.file, arrival.manifest)
    if day is not None:
        connection.execute(
            "insert into ops.held_days values (?, ?, ?, ?)", [load, contract.client, contract.source, day]
        )
    removal.remove(connection, loads)
    release = f"`make release FILE={shlex.quote(arrival.file)}` lets it in again"
    message = Message(arrival.file, f"held: {reason}", release)
    return FileVerdict(
        load_id=load,
        client_id=contract.client,
        source=contract.source,
        contract=contract.name,
        file=arrival.file,
        sha256=arrival.sha256,
        arrived_at=arrival.arrived_at,
        records=records[0],
        amount_sum=None,
        quarantined=records[1],
        verdict="held",
        message=str(message),
    )


def finish(connection: duckdb.DuckDBPyConnection, settings: Settings, orders: Orders) -> None:
    """Note which orders to read a file again this warehouse has obeyed."""
    for row in operations.file_order_log(settings):
        if row["action"] == "requeue" and (row["client_id"], row["sha256"]) in orders.again:
            connection.execute("insert or ignore into ops.applied_orders values (?)", [row["id"]])


def find(settings: Settings, contracts: Sequence[SourceContract], name: str) -> Arrival:
    """The landed file that a person means.

    Args:
        settings: of the installation.
        contracts: all of them.
        name: file name or path, and `@` with the first digits of the SHA-256 where one is needed.

    Raises:
        OrderError: no file or several files have that name.
    """
    landed = ledger.adopt(arrivals(settings), contracts)
    wanted, digits = Path(name).name, ""
    if wanted not in {arrival.file for arrival in landed} and "@" in wanted:
        wanted, _, digits = wanted.rpartition("@")
    found = {
        (arrival.contract, arrival.sha256): arrival
        for arrival in landed
        if arrival.file == wanted and arrival.sha256.startswith(digits)
    }
    if not found:
        close = difflib.get_close_matches(wanted, sorted({arrival.file for arrival in landed}), n=3)
        hint = f" Did you mean {inert(', '.join(close))}?" if close else ""
        raise OrderError(f"{inert(name)}: no such file has arrived.{hint}")
    if len(found) > 1:
        choices = "".join(
            f"\n  FILE={inert(wanted)}@{sha256[:DIGITS]}"
            f"  ({contract}, arrived {arrival.arrived_at:%Y-%m-%d %H:%M} UTC)"
            for (contract, sha256), arrival in found.items()
        )
        raise OrderError(f"{inert(wanted)}: {len(found)} files have that name; say which:{choices}")
    return next(iter(found.values()))


def order(
    settings: Settings, contracts: Sequence[SourceContract], action: str, name: str, reason: str, by: str
) -> str:
    """Record one order about one file.

    Returns:
        What the next night will do, for the person.

    Raises:
        OrderError: the file is unknown, or the order would change nothing.
    """
    arrival = find(settings, contracts, name)
    client = next((one.client for one in contracts if one.name == arrival.contract), None)
    if client is None:
        raise OrderError(f"{inert(arrival.file)}: its contract {arrival.contract} is gone; nothing reads it")
    last = [
        row
        for row in operations.file_order_log(settings)
        if (row["client_id"], row["sha256"]) == (client, arrival.sha256) and row["action"] != "requeue"
    ]
    is_held = bool(last) and last[-1]["action"] == "hold"
    if action == "hold" and not reason.strip():
        raise OrderError('say why: REASON="what is wrong with the file"')
    if action == "hold" and is_held:
        raise OrderError(f"{inert(arrival.file)} is held already: {last[-1]['reason']}")
    if action == "release" and not is_held:
        raise OrderError(f"{inert(arrival.file)} is not held")
    if action == "requeue" and is_held:
        raise OrderError(f"{inert(arrival.file)} is held; release it, and it is read again")
    _record(settings, action, client, arrival, reason, by)
    return {
        "hold": "The next night takes its rows out; publications made before keep them.",
        "release": "The next night loads it.",
        "requeue": "The next night reads it again by today's contract and replaces its rows.",
    }[action]


def requeue_source(
    settings: Settings, contracts: Sequence[SourceContract], source: str, reason: str, by: str
) -> list[str]:
    """Order every file of a source to be read again of which records lie in quarantine.

    Returns:
        Names of the files.

    Raises:
        OrderError: nothing is published, or nothing of the source is in quarantine.
    """
    path = warehouse.publication_path(settings)
    if path is None:
        raise OrderError("nothing is published yet")
    with warehouse.connect(path, settings=settings) as connection:
        known = connection.execute("select distinct source from ops.loads order by 1").fetchall()
        bad = {
            (contract, sha256)
            for contract, sha256 in connection.execute(
                "select contract, sha256 from ops.loads"
                " where verdict = 'loaded' and quarantined > 0 and $source in (source, contract)",
                {"source": source},
            ).fetchall()
        }
    found = {
        (arrival.contract, arrival.sha256): arrival
        for arrival in ledger.adopt(arrivals(settings), contracts)
        if (arrival.contract, arrival.sha256) in bad
    }
    clients = {contract.name: contract.client for contract in contracts}
    if not found:
        names = ", ".join(name for (name,) in known)
        raise OrderError(f"{inert(source)}: no loaded file has records in quarantine. Sources: {names}.")
    for arrival in found.values():
        _record(settings, "requeue", clients[arrival.contract], arrival, reason, by)
    return sorted(arrival.file for arrival in found.values())


def _record(settings: Settings, action: str, client: str, arrival: Arrival, reason: str, by: str) -> None:
    operations.order_file(
        settings,
        action=action,
        client_id=client,
        contract=arrival.contract,
        file=arrival.file,
        sha256=arrival.sha256,
        reason=reason,
        ordered_by=by,
    )


def main(arguments: list[str] | None = None) -> int:
    """Take one order; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.ingestion.holds", description=__doc__)
    parser.add_argument("action", choices=("hold", "release", "requeue"))
    parser.add_argument("file", nargs="?", default="", help="name under which the file arrived")
    parser.add_argument(
        "--source", default="", help="requeue every file of a source that has quarantined records"
    )
    parser.add_argument("--reason", default="", help="why; kept beside the order")
    parser.add_argument("--by", default=None, help="who orders it; default: the user of the system")
    given = parser.parse_args(arguments)
    by = given.by or getpass.getuser()
    try:
        settings = read_settings()
        contracts = load_contracts(settings)
        if given.action == "requeue" and given.source:
            files = requeue_source(settings, contracts, given.source, given.reason, by)
            console.print(f"[green]{len(files):,} files are read again by the next night:[/]")
            for file in files:
                console.print(f"  {escape(inert(file))}")
            return 0
        if not given.file:
            raise OrderError(f"say which file: make {given.action} FILE=name")
        said = order(settings, contracts, given.action, given.file, given.reason, by)
    except (OrderError, ContractError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    console.print(f"[green]Recorded.[/] {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
