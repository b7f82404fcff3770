"""The dashboards as people see them: headless Chromium on a server with the publication of a night."""

import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.promotion import PROMOTED
from nightledger.governance import promotion
from nightledger.servers import superset_pages
from nightledger.settings import PROJECT, Settings
from tests.helpers.steps import LAST, run_night, settings_of

sys.path.append(str(PROJECT / "superset"))

EMPTY: dict[str, dict[str, list[str]]] = {
    "two nights are scored, and neither is old enough to be judged": {
        "churn": [
            "How well it told leavers apart",
        ],
        "models": [
            "Predicted rate beside the rate that happened",
            "Happened divided by predicted, by month (1 = as predicted)",
        ],
    },
    "no fraud model is champion: there are no alerts, no cases and no list of unusual payments": {
        "fraud": [
            "Tonight's alerts by probability, with and without the best rule",
            "The best single rule",
            "Unusual payments to look at",
            "Is there a fraud champion, and why (not)",
            "What became of listed payments",
            "What the model finds alone and with the rule",
            "Expected loss still open",
            "Cases of each night by their state",
            "Cases as the last night found them",
        ],
    },
    "nobody lends, so nobody is scored for default": {
        "credit": [
            "Defaults expected",
            "Mean probability of default",
            "Expected loss",
            "Borrowers by probability of default",
            "Borrowers by PD band",
            "Expected loss by PD band",
            "The borrowers with the greatest expected loss",
            "Reasons that customers may be told",
            "Borrowers with each reason code by PD band",
            "What the codes say",
            "Share of each vintage that has defaulted, by age",
            "Loans of each vintage",
            "Mean probability of default by scored date",
            "Borrowers by band and scored date",
            "The model beside simpler scorecards",
        ],
    },
    "segments are of one night, so nobody has moved": {
        "segments": [
            "Who went where since the last month-end: left then, right now",
            "Stayed where they were",
        ],
    },
    "months are forecast at month-ends, and the night is none": {
        "spend": [
            "Expected in the next three months",
            "Where next month's money is expected to go",
            "The next months by category",
            "The next months by segment",
            "Forecasts whose month is over beside what came",
        ],
        "revenue": [
            "Expected in the next three months",
        ],
    },
    "no campaign's window is over": {
        "campaigns": [
            "Share that did as hoped",
        ],
    },
    "nothing happened that would be an incident": {
        "operations": [
            "Incidents by kind and what they are blamed on",
            "Each incident with its cause",
        ],
    },
}
"""What one client's small bank has nothing for: why, on which page, which charts."""


MODELS = ("forecast_revenue", "forecast_spend", "lifetime_value", "segments_rfm", "segments_spend")
"""Besides churn: those that learn enough from a small bank, and quickly."""


@pytest.fixture(scope="module")
def modelled_home(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first home with these models, promoted however weak, and the last night, which they score."""
    from ml import training

    home = tmp_path_factory.mktemp("modelled") / "home"
    shutil.copytree(first_home, home, symlinks=True)
    settings = settings_of(home)
    for model in training.members(settings):
        if model.partition(".")[0] in MODELS:
            outcome = training.train(settings, model).as_dict()
            if outcome["version"]:
                outcome["verdict"] = PROMOTED
            promotion.record_training(settings, outcome, f"train/{model}")
    assert run_night(settings, "nightly/modelled", LAST, tests=False)
    return home


@pytest.fixture(scope="module")
def settings(modelled_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server of its own on the publication of the last night."""
    home = tmp_path_factory.mktemp("pages") / "home"
    (home / "builds").mkdir(parents=True)
    publication = (modelled_home / "builds" / "current").resolve(strict=True)
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
def test_every_dashboard_shows_its_charts_with_data(told: Any) -> None:
    """Catches what only the browser breaks: a parameter that a picture does not know, a query it spoils, a
    filter that leaves nothing.

    `make screenshots-superset` asks the same of the demo, without exceptions.
    """
    from nightledger_superset import browser

    wrong: dict[str, Any] = {}
    empty: set[str] = set()
    with browser.visiting(told) as visitor:
        for slug in browser.listed()["dashboards"]:
            for seen in visitor.dashboard(slug):
                empty |= {f"{slug}: {title}" for title, kind, _ in seen.wrong if kind == "no data"}
                errors = [one for one in seen.wrong if one[1] == "error"]
                if errors or seen.failed:
                    wrong[f"{slug}: {seen.tab}"] = errors + seen.failed
    assert wrong == {}
    without = {
        f"{slug}: {title}" for pages in EMPTY.values() for slug, titles in pages.items() for title in titles
    }
    assert sorted(empty - without) == []
    assert sorted(without - empty) == [], "these have data now: take them off the list"


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
