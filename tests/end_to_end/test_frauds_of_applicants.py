"""The published model of four bureau columns on labels `fraud`, by the how-to page's contracts: from files to
what `make evaluate` says."""

import csv
import json
import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from ml import evaluate
from nightledger.settings import Settings
from tests.helpers.page import files_of_the_page
from tests.helpers.steps import run_night

FIRST, LAST = date(2023, 1, 31), date(2025, 7, 31)
CUSTOMERS = 1500

pytestmark = pytest.mark.slow


def write_files(inbox: Path) -> None:
    """Customers, what a bureau says of them at each month's end, and who turned out to be nobody.

    Frauds come from those who use most of their limit and are in arrears nowhere.
    """
    rng = random.Random(11)
    days = (LAST - FIRST).days
    month_ends = [
        day
        for day in (FIRST + timedelta(days=n) for n in range(days + 1))
        if (day + timedelta(days=1)).day == 1
    ]
    rows: dict[str, list[list[object]]] = {
        "applicants": [["who", "since"]],
        "bureau": [["who", "day", "balance", "limit", "accounts", "arrears"]],
        "frauds": [["who", "day"]],
    }
    for number in range(CUSTOMERS):
        who, used, limit = f"Q{number:04d}", rng.random(), rng.choice([2000, 5000, 9000])
        accounts, arrears = rng.randint(1, 8), rng.choice([0, 0, 1, 2])
        rows["applicants"].append([who, FIRST - timedelta(days=rng.randint(1, 900))])
        for day in month_ends:
            balance = round(limit * min(used * rng.uniform(0.9, 1.1), 1), 2)
            rows["bureau"].append([who, day, balance, limit, accounts, arrears])
        if rng.random() < (0.75 if used > 0.6 and arrears == 0 else 0.08):
            rows["frauds"].append([who, FIRST + timedelta(days=rng.randint(0, days))])
    for name, lines in rows.items():
        with (inbox / f"{name}_2025.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lender whose three files are published as of the last month-end."""
    folder = tmp_path_factory.mktemp("lender")
    for name in ("inbox", "clients", "sources"):
        (folder / name).mkdir()
    write_files(folder / "inbox")
    for name, text in files_of_the_page().items():
        if "quick" in name:
            (folder / name).write_text(text)
    settings = Settings(
        home=folder / "var",
        **{name: folder / name for name in ("inbox", "clients", "sources")},
        _env_file=None,
    )
    run_night(settings, "history/first", LAST, "history", tests=False)
    return settings


def test_frauds_of_applicants_are_found_by_the_four_columns(
    lender: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a variant that only a hand-made table shows: labels that no feed brings, or other columns."""
    for name in ("home", "clients", "sources"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(getattr(lender, name)))
    out = tmp_path / "out"
    asked = ["application_fraud", "--from", "2024-11-01", "--to", "2024-12-31", "--out", str(out)]
    assert evaluate.main(asked) == 0, capsys.readouterr().err
    said = json.loads((out / "metrics.json").read_text())
    found = {
        row["baseline"]: row
        for row in said["metrics"]
        if row["metric"] == "average_precision" and not row["client_id"]
    }
    assert set(found) == {"", "logistic_regression", "best_rule"}
    assert found[""]["lo"] > 1.5 * found[""]["base_rate"] > 0
    card = (out / "model_card.md").read_text()
    assert "total_balance" in card and "bureau_utilisation" not in card
