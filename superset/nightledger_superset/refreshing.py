"""Computes the answers of all charts on the newest publication before anybody asks, inside an app context.

Nothing has to be thrown away: every cached answer's key holds its publication (`reading.SecurityManager`).
"""

import copy
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from nightledger_superset import reading
from nightledger_superset.settings import ADMIN, Settings

log = logging.getLogger(__name__)

FILTER = "client_id"
"""The native filter that every dashboard opens with; see `filters.yml`."""


def warm(settings: Settings, *, force: bool = False) -> str:
    """Ask what every dashboard asks when it opens, once for all clients and once for each.

    A chart that fails is told and left out: whoever opens it sees its error.

    Returns:
        What was done, in words.
    """
    path = reading.publication()
    mark = settings.state / "warmed"
    wanted = f"{path.name} {(settings.state / 'prepared').read_text()}"
    if not force and mark.exists() and mark.read_text() == wanted:
        return f"the answers on publication {path.name} are there already"
    began = time.monotonic()
    asked, failed = _ask_all()
    mark.write_text(wanted)
    return f"{asked} answers of publication {path.name} computed in {time.monotonic() - began:.0f} s" + (
        f"; failed: {', '.join(sorted(failed))}" if failed else ""
    )


def _ask_all() -> tuple[int, set[str]]:
    from superset.utils.core import override_user

    from superset import security_manager

    asked, failed = 0, set()
    with override_user(security_manager.find_user(ADMIN)):
        clients = _clients()
        for chart in charts():
            for question in _questions(chart, clients):
                try:
                    _ask(question)
                    asked += 1
                except Exception as error:  # noqa: BLE001 - Superset raises of every kind; one chart stops no other
                    log.warning("chart %s: %s", chart.slice_name, type(error).__name__)
                    failed.add(chart.slice_name)
    return asked, failed


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
