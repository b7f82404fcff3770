"""For whom a version is made: the scope of the model's file, or one that a client has chosen for itself.

What follows the file's name says whose version it is: `anomaly.demo_bank` is a client's,
`churn.demo_bank.segment_3` that of one of its segments (of segments_rfm), `churn.demo_bank.wallet` that of
one of its verticals. A client asks for its own with `models: {churn: {scope: segment}}`. They score their
rows in place of the version of the file, which goes on for everybody whom none of them serves.
"""

from typing import TypeVar

import duckdb

from ml import config
from ml.config import Described
from ml.partitions import Pin
from nightledger.clients import SEGMENT, Client, load_clients
from nightledger.settings import Settings

D = TypeVar("D", bound=Described)
OF_CLIENTS = {"client": "client", "vertical": "client_vertical", "segment": "segment"}
"""The scope of a version by what the client's file calls it."""
_MEMBERS = {
    "client": "select distinct client_id from ops.as_of_dates",
    "vertical": "select distinct vertical from intermediate.int_customers where vertical is not null",
    "client_vertical": "select distinct client_id || '.' || vertical from intermediate.int_customers"
    " where vertical is not null",
    "segment": f"select distinct client_id || '.{SEGMENT}' || segment_id from marts.fct_segments"  # noqa: S608
    " where model = 'segments_rfm' and (client_id, as_of_date) in (select (client_id, max(as_of_date))"
    " from marts.fct_segments where model = 'segments_rfm' group by client_id)",
}


def owner(member: str) -> str:
    """The client of a member that is one client's."""
    return member.partition(".")[0]


def members(connection: duckdb.DuckDBPyConnection, settings: Settings, described: Described) -> list[str]:
    """Whose versions of a model are to be trained: "" is everybody's.

    A client that has switched the model off has none; a segment that nobody is in any more has none either.
    """
    clients = load_clients(settings)
    off = {name for name, client in clients.items() if described.name in client.switched_off}
    own = {name: scope for name, client in clients.items() if (scope := _own_scope(client, described.name))}
    if described.scope == "global":
        found = [""] if len(off) < len(clients) or not clients else []
    else:
        found = [of for of in _there(connection, described.scope) if owner(of) not in off]
    for scope in sorted(set(own.values())):
        found += [of for of in _there(connection, scope) if own.get(owner(of)) == scope and of not in found]
    return found


def asked(settings: Settings, described: D, model: str) -> D:
    """The model with the scope that a name asks for.

    Args:
        settings: of the installation.
        described: the model's file.
        model: `<file>` or `<file>.<member>`.

    Raises:
        ConfigError: the file's scope is another one and no client has asked for it; or the client has
            switched the model off.
    """
    member = model.partition(".")[2]
    clients = load_clients(settings)
    client = clients.get(owner(member))
    if client is not None and described.name in client.switched_off:
        raise config.ConfigError(f"clients/{owner(member)}.yml has switched {described.name} off")
    found = named(settings, described, member)
    of_the_file = bool(member) == (described.scope != "global") and found.scope == described.scope
    if not of_the_file and (client is None or found.scope != _own_scope(client, described.name)):
        wanted = f"{described.name}.<{described.scope}>" if described.scope != "global" else described.name
        raise config.ConfigError(
            f"{described.place}: scope is {described.scope}; ask for {wanted}, not for {model}"
        )
    return found


def named(settings: Settings, described: D, member: str) -> D:
    """The model with the scope that a member's name tells, whatever clients say today."""
    of, _, part = member.partition(".")
    if of not in load_clients(settings):
        return described
    scope = "segment" if part.startswith(SEGMENT) else "client_vertical" if part else "client"
    return described.model_copy(update={"scope": scope})


def of_their_own(
    connection: duckdb.DuckDBPyConnection, settings: Settings, described: Described, pin: Pin
) -> dict[str, list[str]]:
    """Members of the one that is pinned which a champion of their own scores on that date, by scope."""
    found: dict[str, list[str]] = {}
    for (model,) in connection.execute(
        "select distinct model from ops.model_pins where as_of_date = ? and role = 'champion'"
        " and starts_with(model, ? || '.') order by 1",
        [pin.as_of_date, pin.model],
    ).fetchall():
        of = model.partition(".")[2]
        found.setdefault(named(settings, described, of).scope, []).append(of)
    return found


def _own_scope(client: Client, name: str) -> str | None:
    scope = client.models[name].scope if name in client.models else None
    return OF_CLIENTS[scope] if scope else None


def _there(connection: duckdb.DuckDBPyConnection, scope: str) -> list[str]:
    there = connection.execute(
        "select 1 from information_schema.tables where table_schema = 'marts' and table_name = 'fct_segments'"
    ).fetchone()
    if scope == "segment" and not there:
        return []
    return [of for (of,) in connection.execute(f"{_MEMBERS[scope]} order by 1").fetchall()]
