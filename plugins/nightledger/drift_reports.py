"""Where Evidently's reports lie, and what is known of them without Evidently.

`<home>/reports/<publication>/` holds `reports.json`, and a folder a model with `<kind>.html`, `<kind>.json`
and `<kind>.snapshot.gz`. `ml.reports.writing` writes them after publication; they go when the
publication goes.
"""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nightledger.settings import Settings

INDEX = "reports.json"
SNAPSHOT = ".snapshot.gz"
UNFINISHED = ".part"
"""End of a folder's name while it is written."""
_SCRIPT = re.compile(r'<script src="\.\./\.\./(evidently-[0-9.]+\.js)"></script>')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def folder(settings: Settings, publication_id: str) -> Path:
    """Folder of a publication's reports."""
    return settings.home / "reports" / publication_id


def workspace(settings: Settings) -> Path:
    """Where `make evidently` puts the reports as a project of Evidently's own pages."""
    return settings.home / "evidently"


def index(settings: Settings, publication_id: str) -> dict[str, Any] | None:
    """What `reports.json` says, None when nothing was written.

    `{"publication", "as_of_date", "nothing": why there are none, "reports": [...]}`; each report has model,
    version, as_of_date, kind, title and either `why_not` or rows, reference_rows, headline, drifted and
    compared (columns), left_out, bytes.
    """
    try:
        found: dict[str, Any] = json.loads((folder(settings, publication_id) / INDEX).read_text())
    except FileNotFoundError:
        return None
    return found


def all_written(settings: Settings) -> list[dict[str, Any]]:
    """The indices of all publications that have reports, newest first."""
    names = sorted(
        (path.parent.name for path in (settings.home / "reports").glob(f"*/{INDEX}")),
        key=_order,
        reverse=True,
    )
    found = (index(settings, name) for name in names if not name.endswith(UNFINISHED))
    return [one for one in found if one is not None]


def _order(publication_id: str) -> tuple[str, int]:
    day, _, serial = publication_id.rpartition(".")
    return day, int(serial) if serial.isdigit() else 0


def page(settings: Settings, publication_id: str, model: str, kind: str) -> str | None:
    """A report as one page that needs nothing else; None when there is none of that name."""
    path = _file(settings, publication_id, model, f"{kind}.html")
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    named = _SCRIPT.search(text)
    if named is None:
        return text
    script = (settings.home / "reports" / named[1]).read_text(encoding="utf-8")
    return f"{text[: named.start()]}<script>{script}</script>{text[named.end() :]}"


def figures(settings: Settings, publication_id: str, model: str, kind: str) -> str | None:
    """A report's figures as JSON; None when there is none of that name."""
    path = _file(settings, publication_id, model, f"{kind}.json")
    return None if path is None else path.read_text(encoding="utf-8")


def _file(settings: Settings, publication_id: str, model: str, name: str) -> Path | None:
    """A file of the reports, by names that come from outside: nothing else can be reached with them."""
    if not all(_NAME.fullmatch(part) and ".." not in part for part in (publication_id, model, name)):
        return None
    path = folder(settings, publication_id) / model / name
    return path if path.is_file() else None


def prune(settings: Settings, publication_ids: Iterable[str]) -> None:
    """Remove the reports of publications that are gone."""
    for publication_id in publication_ids:
        shutil.rmtree(folder(settings, publication_id), ignore_errors=True)
