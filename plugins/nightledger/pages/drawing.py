"""How every page is drawn: one layout, escaped text, no script and no style but our own."""

import secrets
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    template: str, status: int = 200, *, frames: bool = False, leaves_frame: bool = False, **values: Any
) -> HTMLResponse:
    """A template of this folder with these values, under a policy that lets nothing else in.

    With `frames`, other pages of ours may stand in it; with `leaves_frame`, its links to other places of
    Airflow (`target="_top"`) work inside Airflow's frame, by the one script that any page has.
    """
    nonce = secrets.token_urlsafe(16)
    html = _templates.get_template(template).render(nonce=nonce, leaves_frame=leaves_frame, **values)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'self'; "
        "base-uri 'none'"
        + ("; frame-src 'self'" if frames else "")
        + (f"; script-src 'nonce-{nonce}'" if leaves_frame else "")
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(html, status, headers=headers)
