"""The runbooks of docs/runbooks at Airflow's address, because at 3 a.m. nothing else may be at hand."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from nightledger.monitoring import alerts
from nightledger.pages import access
from nightledger.pages.drawing import page

router = APIRouter(prefix="/runbooks", dependencies=[access.needs("read_operations")])
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def anchor(heading: str) -> str:
    """The name of a heading in a link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> list[str]:
    """The name of each heading of a page, in order."""
    tokens = _markdown.parse(text)
    return [
        anchor(tokens[place + 1].content) for place, each in enumerate(tokens) if each.type == "heading_open"
    ]


@router.get("/{name}")
def runbook_page(name: str) -> HTMLResponse:
    """One runbook."""
    known = {path.stem: path for path in alerts.RUNBOOKS.glob("*.md")}
    if name not in known:
        return page(
            "runbook.html", 404, leaves_frame=True, title="No such runbook", html="", pages=sorted(known)
        )
    tokens = _markdown.parse(known[name].read_text())
    _name_headings(tokens)
    for token in tokens:
        _turn_links(token.children or [])
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    title = next((token.content for token in tokens if token.type == "inline"), name)
    # From a file of ours, and markdown-it escapes whatever HTML it holds.
    return page(
        "runbook.html",
        leaves_frame=True,
        title=title,
        html=Markup(html),  # noqa: S704 - our own text
        pages=sorted(known),
    )


def _name_headings(tokens: Sequence[Token]) -> None:
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(tokens[place + 1].content))


def _turn_links(tokens: Sequence[Token]) -> None:
    """Let links to other runbooks work here; those to other pages say where the page stands."""
    for token in tokens:
        if token.type != "link_open":
            continue
        target, _, place = str(token.attrGet("href")).partition("#")
        path = PurePosixPath(target)
        if target and "/" not in target and path.suffix == ".md":
            token.attrSet("href", f"{alerts.PAGE}/{path.stem}" + (f"#{place}" if place else ""))
        elif target.startswith("../"):
            token.attrSet("title", f"docs/{target.removeprefix('../')} of the project")
            token.attrSet("href", "#")
