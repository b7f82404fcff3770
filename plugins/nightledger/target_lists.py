"""The customers to contact for an action, as CSV: `make targets CLIENT=demo_bank ACTION=keep_customer`.

Only the treatment of the published assignment, and of it those who still may be contacted: whoever has
closed, withdrawn a consent or opted out since is left out. The control is never written anywhere.
"""

import argparse
import csv
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from nightledger import warehouse
from nightledger.clients import Client, ClientError, load_clients
from nightledger.exports import inert_cell
from nightledger.settings import Settings, SettingsError, read_settings

_ENTRIES = "';' || replace(replace(lower(coalesce(c.consents, '')), ' ', ''), ',', ';') || ';'"
_LISTED = f"""
    select a.priority, a.customer_id, a.campaign, a.segment, a.reason, a.conversation,
           a.expected_value, a.currency, a.as_of_date,
           not coalesce(c.is_closed, true)
           and ($consent = '' or contains({_ENTRIES}, ';' || $consent || ';'))
           and ($opted_out = '' or not contains({_ENTRIES}, ';' || $opted_out || ';'))
           and (not a.is_sensitive or contains({_ENTRIES}, ';sensitive;')) as may_be_contacted
    from marts.fct_next_best_actions as a
    left join marts.dim_customers as c on c.client_id = a.client_id and c.customer_id = a.customer_id
    where a.client_id = $client and a.action = $action and a.as_of_date = $day
      and a.assignment = 'treatment'
    order by a.priority
"""  # noqa: S608 - the parts are this module's own


class TargetError(RuntimeError):
    """A list cannot be made; the message says why and what to do."""


@dataclass(frozen=True)
class TargetList:
    """What was written.

    Attributes:
        file: where.
        day: as-of date on which the customers were assigned.
        customers: rows of the file.
        left_out: assigned customers who may not be contacted any more.
    """

    file: Path
    day: date
    customers: int
    left_out: int


def write_targets(
    settings: Settings, client_id: str, action: str, day: date | None = None, target: Path | None = None
) -> TargetList:
    """Write whom an action's treatment of one date consists of; the file appears whole or not at all.

    Args:
        settings: of the installation.
        client_id: whose customers.
        action: name in the client's `next_best_action`.
        day: as-of date of the assignment; default: the client's latest.
        target: file to write; default: below `targets` of the home.

    Raises:
        TargetError: nothing is published, the client or its action is unknown, or the date is none of those
            on which customers were assigned.
    """
    client = _client(settings, client_id, action)
    path = warehouse.publication_path(settings)
    if path is None:
        raise TargetError(f"nothing has been published in {settings.home} yet: run a night first")
    rules = client.next_best_action
    try:
        with warehouse.connect(path, settings=settings) as connection:
            day = day or _latest(connection, client_id, action)
            answer = connection.execute(
                _LISTED,
                {"client": client_id, "action": action, "day": day}
                | {"consent": rules.consent, "opted_out": rules.opted_out},
            )
            header = [column[0] for column in answer.description or ()][:-1]
            rows = answer.fetchall()
    except duckdb.CatalogException as error:
        raise TargetError(
            f"publication {path.name} was made before there were actions: run a night first"
        ) from error
    if not rows:
        raise TargetError(f"{client_id}: nobody was assigned to {action} on {day}; name another date")
    listed = [row[:-1] for row in rows if row[-1]]
    target = target or settings.home / "targets" / f"{client_id}_{action}_{day}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([inert_cell(value) for value in row] for row in listed)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return TargetList(target, day, len(listed), len(rows) - len(listed))


def _client(settings: Settings, client_id: str, action: str) -> Client:
    clients = load_clients(settings)
    if client_id not in clients:
        raise TargetError(f"no file {client_id}.yml in {settings.clients}; there are: {', '.join(clients)}")
    known = clients[client_id].next_best_action.actions
    if action not in known:
        raise TargetError(
            f"{client_id}.yml has no action {action}; it has: {', '.join(known) or 'none (next_best_action)'}"
        )
    return clients[client_id]


def _latest(connection: duckdb.DuckDBPyConnection, client_id: str, action: str) -> date:
    row = connection.execute(
        "select max(as_of_date) from marts.fct_next_best_actions where client_id = ? and action = ?",
        [client_id, action],
    ).fetchone()
    if row is None or row[0] is None:
        raise TargetError(f"{client_id}: nobody has been assigned to {action} yet")
    latest: date = row[0]
    return latest


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.target_lists", description=__doc__)
    parser.add_argument("--client", required=True, help="name of a file in clients/")
    parser.add_argument("--action", required=True, help="one of its actions")
    parser.add_argument("--date", default="", help="as-of date of the assignment; default: the latest")
    parser.add_argument("--out", default="", help="file to write; default: targets/… in the home")
    given = parser.parse_args(arguments)
    try:
        day = date.fromisoformat(given.date) if given.date else None
        target = Path(given.out) if given.out else None
        made = write_targets(read_settings(), given.client, given.action, day, target)
    except (TargetError, ClientError, SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    told = f"{made.customers:,} customers, assigned on {made.day}, in {made.file}"
    if made.left_out:
        told += f"; {made.left_out:,} left out: closed, or a consent withdrawn since"
    sys.stdout.write(f"{told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
