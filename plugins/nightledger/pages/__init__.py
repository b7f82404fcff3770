"""Pages inside Airflow's UI. A plugin's pages are public unless each route asks for a login: these do."""

import hmac
from typing import Annotated

from fastapi import APIRouter, FastAPI, Header, HTTPException, Response

from nightledger import metrics
from nightledger.pages import access, runs
from nightledger.settings import Settings

# Airflow's own documentation pages need a network, and the schema would be public.
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
private = APIRouter(dependencies=[access.logged_in])
private.include_router(runs.router)
app.include_router(private)


@app.get("/metrics")
def metrics_page(authorization: Annotated[str, Header()] = "") -> Response:
    """The metrics, for whoever has the token: Prometheus cannot log in. Without the setting, for nobody."""
    settings = Settings()
    expected = settings.metrics_token and f"Bearer {settings.metrics_token.get_secret_value()}"
    if not expected or not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise HTTPException(401, "this page needs the token of NIGHTLEDGER_METRICS_TOKEN")
    return Response(metrics.expose(settings), media_type=metrics.CONTENT_TYPE)
