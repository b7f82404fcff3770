"""A stranger's purchases (customer, date, amount) and every model: a table of figures, or what is missing."""

import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from ml import config, evaluate
from nightledger.settings import Settings
from tests.end_to_end.test_bring_your_own_data import files_of_the_page, settings_of
from tests.helpers.steps import run_night

FIRST, LAST = date(2023, 4, 1), date(2024, 4, 30)
KINDS = ((0.40, 20.0), (0.08, 300.0), (0.03, 15.0))
"""Three kinds of customers: chance of a purchase on a day, usual amount."""
CARRIED = {"lifetime_value", "forecast_spend", "segments_rfm", "churn"}
MISSING = {
    "segments_spend": "No merchant or category of the payments is known",
    "forecast_revenue": "shop has no revenue",
    "life_events": "Nobody has told what happened to the customers of shop",
    "propensity_home_improvement": "home_improvement",
    "fraud": "No row that fraud asks about has a known outcome",
    "credit": "No row that credit asks about has a known outcome",
    "application_fraud": "No row that application_fraud asks about has a known outcome",
}
"""What the others say, in part."""


def purchases(path: Path) -> None:
    """Write the file: 330 customers over thirteen months, some of whom stop."""
    rng = random.Random(11)
    with path.open("w") as file:
        file.write("customer,date,amount\n")
        for number in range(330):
            chance, usual = KINDS[number % 3]
            stops = FIRST + timedelta(days=int(rng.expovariate(1 / 900)) + 60)
            for place in range((LAST - FIRST).days + 1):
                day = FIRST + timedelta(days=place)
                if day < stops and rng.random() < chance:
                    file.write(f"{number:04d},{day},{usual * rng.lognormvariate(0, 0.3):.2f}\n")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The page's client and contract, and a published history of the file."""
    folder = tmp_path_factory.mktemp("shop")
    for name in ("sources/purchases.yml", "clients/shop.yml"):
        (folder / name).parent.mkdir()
        (folder / name).write_text(files_of_the_page()[name])
    (folder / "files").mkdir()
    (folder / "models").mkdir()
    purchases(folder / "files" / "purchases_2024.csv")
    settings = settings_of(folder)
    run_night(settings, "history/first", LAST, "history")
    return settings


@pytest.mark.parametrize("model", config.names())
def test_each_model_tells_figures_or_what_is_missing(
    shop: Settings, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack trace, or a model that learns from nothing and does not say so."""
    for name in ("home", "sources", "clients", "models"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(getattr(shop, name)))
    asked = model if config.read(model).scope == "global" else f"{model}.shop"
    answer = evaluate.main([asked, "--from", "2024-01-01", "--to", "2024-04-30"])
    said = capsys.readouterr()
    if model in MISSING:
        assert answer == 1 and MISSING[model] in said.err
        assert said.err.count("\n") == 1, "one sentence, not a trace"
        return
    assert answer == 0 or (model not in CARRIED and said.err.count("\n") == 1), said.err
    if answer == 0:
        assert (shop.home / "evaluations" / f"{asked}_2024-01-01_2024-04-30" / "metrics.json").exists()
        assert asked in said.out
