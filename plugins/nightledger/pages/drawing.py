"""How every page is drawn: one layout, escaped text, no script and no style but the page's own."""

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


def page(template: str, status: int = 200, *, frames: bool = False, **values: Any) -> HTMLResponse:
    """A template of this folder with these values, under a policy that lets nothing else in.

    With `frames`, other pages of ours may stand in it.
    """
    nonce = secrets.token_urlsafe(16)
    html = _templates.get_template(template).render(nonce=nonce, **values)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'self'; "
        "base-uri 'none'" + ("; frame-src 'self'" if frames else "")
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(html, status, headers=headers)
