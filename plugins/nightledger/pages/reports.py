"""Drift reports: what Evidently drew after each publication, and the reports themselves, shut in.

A report is a page full of scripts that come from a library, on the address of Airflow itself: without a
sandbox they could do whatever its reader may. Its own policy gives it an origin of its own, without cookies
and without a connection to anything.
"""

from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, Response

from nightledger import drift_reports
from nightledger.pages import access
from nightledger.pages.drawing import page
from nightledger.settings import Settings

SHUT_IN = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src 'none'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
"""Its scripts run, and reach nothing: no cookie, no address, no other page."""
COLUMNS = {"data": "features", "output": "what it says", "performance": "performance"}
ALARMING = 0.5
"""Share of drifted columns from which on it is coloured; Evidently's own rule for a table."""
ENOUGH = 1_000
"""Rows below which it is not: distances are large by chance then."""

router = APIRouter(dependencies=[access.needs("read_reports")])


@router.get("/reports")
def list_page() -> HTMLResponse:
    """Publications, newest first, with what the reports of each model come to."""
    written = drift_reports.all_written(Settings())
    return page("reports.html", publications=[_summary(index) for index in written], columns=COLUMNS)


@router.get("/reports/{publication}/{model}")
def model_page(publication: str, model: str, kind: str = "data") -> HTMLResponse:
    """The reports of a model: one of them in a frame, the others a click away."""
    index = drift_reports.index(Settings(), publication) if _is_known(publication) else None
    rows = [row for row in (index or {"reports": []})["reports"] if row["model"] == model]
    if not rows:
        raise HTTPException(404, "There is no such report; it may have gone with its publication.")
    chosen = next((row for row in rows if row["kind"] == kind), rows[0])
    return page("report.html", frames=True, publication=publication, model=model, rows=rows, chosen=chosen)


@router.get("/reports/{publication}/{model}/{file}")
def report_file(publication: str, model: str, file: str) -> Response:
    """A report (`<kind>.html`, to be shown) or its figures (`<kind>.json`, to be kept)."""
    kind, _, suffix = file.rpartition(".")
    read = {"html": drift_reports.page, "json": drift_reports.figures}.get(suffix)
    content = read(Settings(), publication, model, kind) if read else None
    if content is None:
        raise HTTPException(404, "There is no such report; it may have gone with its publication.")
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    if suffix == "html":
        return HTMLResponse(content, headers=headers | {"Content-Security-Policy": SHUT_IN})
    name = f"{publication}-{model}-{kind}.json"
    headers |= {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"}
    return Response(content, media_type="application/json", headers=headers)


def _is_known(publication: str) -> bool:
    return any(index["publication"] == publication for index in drift_reports.all_written(Settings()))


def _summary(index: dict[str, Any]) -> dict[str, Any]:
    """A publication with one row a model."""
    models: dict[str, dict[str, Any]] = {}
    for row in index["reports"]:
        said = models.setdefault(row["model"], {**row, **{name: [] for name in COLUMNS}})
        column = row["kind"] if row["kind"] in COLUMNS else "performance"
        if row["why_not"] in (other["why_not"] for other in said[column] if row["why_not"]):
            continue
        share = row["drifted"] / row["compared"] if row.get("compared") else 0.0
        is_alarming = share >= ALARMING and row["rows"] >= ENOUGH
        said[column].append(dict(row, tone="doubtful" if is_alarming else ""))
    return {
        **index,
        "models": list(models.values()),
        "bytes": sum(r.get("bytes", 0) for r in index["reports"]),
    }
