"""The dashboards as people see them: headless Chromium on a server with the publication of a night."""

import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightledger.servers import superset_pages
from nightledger.settings import PROJECT, Settings

sys.path.append(str(PROJECT / "superset"))


@pytest.fixture(scope="module")
def settings(undisturbed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server of its own on the publication of the last night."""
    home = tmp_path_factory.mktemp("pages") / "home"
    (home / "builds").mkdir(parents=True)
    publication = (undisturbed_home / "builds" / "current").resolve(strict=True)
    (home / "builds" / publication.name).symlink_to(publication)
    (home / "builds" / "current").symlink_to(publication.name)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = Settings(home=home, superset_port=port, _env_file=None)
    superset_pages.up(settings)
    yield settings
    superset_pages.down(settings)
    shutil.rmtree(home / "superset")


@pytest.fixture(scope="module")
def told(settings: Settings) -> Any:
    """The same settings as the dashboards' own code has them."""
    from nightledger_superset.settings import Settings as Told

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTLEDGER_HOME", str(settings.home))
        patch.setenv("NIGHTLEDGER_SUPERSET_PORT", str(settings.superset_port))
        yield Told.from_environment()


@pytest.mark.slow
def test_every_dashboard_shows_its_charts_without_an_error(told: Any) -> None:
    """Catches what only the browser breaks: a parameter that a picture does not know, a query it spoils.

    One client's bank has no rows for many charts; `make screenshots-superset` looks for those on the demo.
    """
    from nightledger_superset import browser

    wrong: dict[str, Any] = {}
    with browser.visiting(told) as visitor:
        for slug in browser.listed()["dashboards"]:
            for seen in visitor.dashboard(slug):
                errors = [one for one in seen.wrong if one[1] == "error"]
                if errors or seen.failed:
                    wrong[f"{slug}: {seen.tab}"] = errors + seen.failed
    assert wrong == {}


@pytest.mark.slow
def test_a_filter_changes_what_is_shown(told: Any) -> None:
    """Catches a filter whose column a data set has lost: the page would go on showing everybody."""
    from nightledger_superset import browser

    with browser.visiting(told) as visitor:
        next(visitor.dashboard("features"))
        before = visitor.page.locator(".dashboard-content").inner_text()
        seen = visitor.choose("Features of", "transaction")
        after = visitor.page.locator(".dashboard-content").inner_text()
    assert before != after
    asked = [one for body in seen.asked for query in body["queries"] for one in query.get("filters") or []]
    assert {"col": "entity", "op": "IN", "val": ["transaction"]} in asked


@pytest.mark.slow
def test_a_click_narrows_the_page_drills_and_the_page_can_be_taken_away(told: Any) -> None:
    """Catches charts that no longer tell each other what was clicked, and menus that an upgrade has moved."""
    from nightledger_superset import browser

    table = "The largest merchants of a year"
    with browser.visiting(told, height=1600) as visitor:
        next(visitor.dashboard("merchants"))
        drilled = visitor.drill(table, "Category", by="Currency")
        category, seen = visitor.narrow(table, "Category")
        picture = visitor.picture()
    assert ["currency"] in [query["columns"] for query in drilled["queries"]]
    asked = [one for body in seen.asked for query in body["queries"] for one in query.get("filters") or []]
    assert {"col": "category", "op": "IN", "val": [category]} in asked
    assert picture.startswith(b"\xff\xd8"), "a JPEG"
    assert len(picture) > 20_000
