"""The tab of a DAG run: what dbt did node by node, and what became of each file."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import OperationalError

from nightledger import operations
from nightledger.pages import access
from nightledger.pages.drawing import page
from nightledger.settings import Settings

BAD = ("error", "runtime error", "fail", "refused")
DOUBTFUL = ("warn", "skipped", "no-op", "partial success")

router = APIRouter()


@router.get("/runs/{dag_id}/{run_id}", dependencies=[access.needs("read_runs"), access.may_read_runs])
def run_page(dag_id: str, run_id: str) -> HTMLResponse:
    """What dbt did node by node, and what became of each file, in one run."""
    settings, name = Settings(), f"{dag_id}/{run_id}"
    try:
        nodes, files = operations.node_results(settings, name), operations.file_verdicts(settings, name)
    except OperationalError:  # there is no database before the first night
        nodes, files = [], []
    return page(
        "run.html",
        run=name,
        nodes=sorted((_node(node) for node in nodes), key=lambda node: _urgency(node["status"])),
        files=[dict(file, tone=_tone(file["verdict"])) for file in files],
    )


def _node(result: Mapping[str, Any]) -> dict[str, Any]:
    kind, _, name = result["unique_id"].partition(".")
    return dict(
        result, kind=kind.replace("_", " "), name=name.partition(".")[2], tone=_tone(result["status"])
    )


def _tone(status: str) -> str:
    """How a status looks: bad, doubtful or good."""
    return "bad" if status in BAD else "doubtful" if status in DOUBTFUL else "good"


def _urgency(status: str) -> int:
    return ("bad", "doubtful", "good").index(_tone(status))
