"""Pages inside Airflow's UI. A plugin's pages are public unless each route asks for a login: these do."""

import hmac
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import RedirectResponse

from nightledger.monitoring import metrics
from nightledger.pages import access, cases, incidents, morning, reports, runbooks, runs
from nightledger.pages.drawing import page
from nightledger.settings import Settings

# Airflow's own documentation pages need a network, and the schema would be public.
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
private = APIRouter(dependencies=[access.logged_in])
private.include_router(runs.router)
private.include_router(cases.router)
private.include_router(reports.router)
private.include_router(morning.router)
private.include_router(runbooks.router)
private.include_router(incidents.router)
app.include_router(private)


@app.exception_handler(access.RefusedError)
def refused(_: Request, error: access.RefusedError) -> Response:
    """Tell a person who may not what they would need."""
    return page("refused.html", status=403, why=str(error))


@app.exception_handler(HTTPException)
async def log_in_first(request: Request, error: HTTPException) -> Response:
    """Lead a person who follows a link of a mail to the log-in, and back; programs get the error."""
    is_read = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if error.status_code == 401 and is_read:
        return RedirectResponse(access.log_in_address(str(request.url)), 303)
    return await http_exception_handler(request, error)


@app.get("/metrics")
def metrics_page(authorization: Annotated[str, Header()] = "") -> Response:
    """The metrics, for whoever has the token: Prometheus cannot log in. Without the setting, for nobody."""
    settings = Settings()
    expected = settings.metrics_token and f"Bearer {settings.metrics_token.get_secret_value()}"
    if not expected or not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise HTTPException(401, "this page needs the token of NIGHTLEDGER_METRICS_TOKEN")
    return Response(metrics.expose(settings), media_type=metrics.CONTENT_TYPE)
