"""Computes the answers of all charts on the newest publication before anybody asks, inside an app context.

Nothing has to be thrown away: every cached answer's key holds its publication (`reading.SecurityManager`).
"""

import copy
import json
import logging
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from nightledger_superset import reading, roles
from nightledger_superset.settings import ADMIN, Settings

log = logging.getLogger(__name__)

FILTER = "client_id"
"""The native filter that every dashboard opens with; see `filters.yml`."""


def warm(settings: Settings, *, force: bool = False) -> str:
    """Ask what every chart asks on its own, once for all clients and once for each.

    That is what most pages ask when they open. Those that begin with another choice too, as of a category,
    compute these answers when somebody opens them first.

    Whoever is confined to a client has answers of their own, the same for all roles of that client: these
    are asked for as well where somebody holds one. A chart that fails is told and left out: whoever opens it
    sees its error.

    Returns:
        What was done, in words.
    """
    path = reading.publication()
    mark = settings.state / "warmed"
    confined = _confined()
    wanted = f"{path.name} {(settings.state / 'prepared').read_text()} {' '.join(sorted(confined))}"
    if not force and mark.exists() and mark.read_text() == wanted:
        return f"the answers on publication {path.name} are there already"
    began = time.monotonic()
    asked, failed = _ask_all(confined)
    mark.write_text(wanted)
    return f"{asked} answers of publication {path.name} computed in {time.monotonic() - began:.0f} s" + (
        f"; failed: {', '.join(sorted(failed))}" if failed else ""
    )


def _confined() -> dict[str, list[str]]:
    """Clients that somebody's role confines them to, each with the names of its roles."""
    from superset import security_manager

    names: dict[str, list[str]] = {}
    for role in roles.read_roles():
        if role.client:
            names.setdefault(role.client, []).append(role.name)
    held = {role.name for user in security_manager.get_all_users() if user.active for role in user.roles}
    return {client: own for client, own in names.items() if held.intersection(own)}


def _ask_all(confined: dict[str, list[str]]) -> tuple[int, set[str]]:
    from superset.utils.core import override_user

    from superset import security_manager

    asked, failed = 0, set()
    everybody = [(security_manager.find_user(ADMIN), _clients())]
    everybody += [(_somebody(names), [client]) for client, names in sorted(confined.items())]
    for somebody, clients in everybody:
        with override_user(somebody):
            for chart in charts():
                if not security_manager.can_access_datasource(chart.datasource):
                    continue
                for question in _questions(chart, clients):
                    try:
                        _ask(question)
                        asked += 1
                    except Exception as error:  # noqa: BLE001 - Superset raises of every kind; one chart stops no other
                        log.warning("chart %s: %s", chart.slice_name, type(error).__name__)
                        failed.add(chart.slice_name)
    return asked, failed


def _somebody(names: list[str]) -> Any:
    """Somebody with these roles, who is nobody in particular: an answer is kept by rules, not by people."""
    from superset import security_manager

    held = [security_manager.find_role(name) for name in names]
    return SimpleNamespace(
        id=None, username="", roles=held, groups=[], is_anonymous=False, is_authenticated=True, active=True
    )


def charts() -> list[Any]:
    """All charts that git says."""
    from superset.models.slice import Slice

    from superset import db

    found: list[Any] = db.session.query(Slice).filter_by(is_managed_externally=True).all()
    return found


def _clients() -> list[str]:
    """Clients of the publication."""
    import duckdb

    file = reading.publication() / reading.WAREHOUSE
    with duckdb.connect(str(file), read_only=True) as connection:
        return [
            row[0] for row in connection.execute("select client_id from ops.horizon order by 1").fetchall()
        ]


def _questions(chart: Any, clients: list[str]) -> Iterator[dict[str, Any]]:
    """The chart's saved query, and the same for each client as the dashboard's filter puts it."""
    if not chart.query_context:
        return
    saved = json.loads(chart.query_context)
    yield saved
    if FILTER not in {column.column_name for column in chart.datasource.columns}:
        return
    for client in clients:
        question = copy.deepcopy(saved)
        for query in question["queries"]:
            query["filters"] = [*(query.get("filters") or []), {"col": FILTER, "op": "IN", "val": [client]}]
        yield question


def _ask(question: dict[str, Any]) -> None:
    from superset.charts.schemas import ChartDataQueryContextSchema
    from superset.commands.chart.data.get_data_command import ChartDataCommand

    command = ChartDataCommand(ChartDataQueryContextSchema().load(question))
    command.validate()
    command.run()
