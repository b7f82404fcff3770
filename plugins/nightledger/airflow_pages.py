"""Pages inside Airflow's UI. A plugin's pages are public unless each route asks for a login: these do.

The imports from `airflow.api_fastapi` are Airflow's internals, not a stable interface: they stand in this
file only, and a test with the real application guards what they promise.
"""

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_authenticated
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import OperationalError

from nightledger import metrics, operations
from nightledger.settings import Settings

BAD = ("error", "runtime error", "fail", "refused")
DOUBTFUL = ("warn", "skipped", "no-op", "partial success")

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# Airflow's own documentation pages need a network, and the schema would be public.
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
private = APIRouter(dependencies=[Depends(requires_authenticated())])


@private.get(
    "/runs/{dag_id}/{run_id}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))],
)
def run_page(dag_id: str, run_id: str) -> HTMLResponse:
    """What dbt did node by node, and what became of each file, in one run."""
    settings, name = Settings(), f"{dag_id}/{run_id}"
    try:
        nodes, files = operations.node_results(settings, name), operations.file_verdicts(settings, name)
    except OperationalError:  # there is no database before the first night
        nodes, files = [], []
    nonce = secrets.token_urlsafe(16)
    html = templates.get_template("airflow_run_page.html").render(
        run=name,
        nodes=sorted((_node(node) for node in nodes), key=lambda node: _urgency(node["status"])),
        files=[dict(file, tone=_tone(file["verdict"])) for file in files],
        nonce=nonce,
    )
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'self'; base-uri 'none'"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


app.include_router(private)


@app.get("/metrics")
def metrics_page(authorization: Annotated[str, Header()] = "") -> Response:
    """The metrics, for whoever has the token: Prometheus cannot log in. Without the setting, for nobody."""
    settings = Settings()
    expected = settings.metrics_token and f"Bearer {settings.metrics_token.get_secret_value()}"
    if not expected or not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise HTTPException(401, "this page needs the token of NIGHTLEDGER_METRICS_TOKEN")
    return Response(metrics.expose(settings), media_type=metrics.CONTENT_TYPE)


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
