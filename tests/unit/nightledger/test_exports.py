"""An export is for a spreadsheet, which must not run what a bank's customer wrote."""

import csv
from pathlib import Path

import pytest

from nightledger import exports, warehouse
from nightledger.settings import Settings

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", '=HYPERLINK("http://x")']
HARMLESS = ["SHOP 1", "a=b", "'quoted", "<b>bold</b>", "", "50%"]


@pytest.fixture
def published(tmp_path: Path) -> Settings:
    """An installation whose publication holds a table of texts."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    build = settings.builds / "2026-01-05.1"
    build.mkdir(parents=True)
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        connection.execute(
            "create table told as select unnest($texts) as description, -1.50::decimal(18,4) as amount,"
            " date '2026-01-05' as business_date, null as \"=nothing\"",
            {"texts": [*FORMULAS, *HARMLESS]},
        )
    (settings.builds / "current").symlink_to(build.name)
    return settings


def test_a_formula_is_a_text_in_an_export(published: Settings, tmp_path: Path) -> None:
    """Catches a description that a spreadsheet runs, and numbers that became texts."""
    target = tmp_path / "told.csv"
    count = exports.export(published, "from told", target)
    with target.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)

    assert count == len(rows) == len(FORMULAS) + len(HARMLESS)
    assert header == ["description", "amount", "business_date", "'=nothing"]
    assert [row[0] for row in rows] == [*(f"'{text}" for text in FORMULAS), *HARMLESS]
    assert {tuple(row[1:]) for row in rows} == {("-1.5000", "2026-01-05", "")}


@pytest.mark.parametrize(
    "query",
    [
        "create table x as select 1",
        "select 1; select 2",
        "copy told to 'x.csv'",
        "nonsense",
        "from read_csv('/etc/hostname')",
        "from missing",
    ],
)
def test_what_is_no_query_on_the_publication_writes_nothing(
    published: Settings, tmp_path: Path, query: str
) -> None:
    """Catches an export that reads or writes files of the machine, or leaves half of one."""
    with pytest.raises(exports.ExportError):
        exports.export(published, query, tmp_path / "out.csv")

    assert not list(tmp_path.glob("*out.csv*"))


def test_an_export_before_the_first_night_says_so(tmp_path: Path) -> None:
    """Catches a traceback where a sentence is due."""
    with pytest.raises(exports.ExportError, match="nothing has been published"):
        exports.export(Settings(home=tmp_path, _env_file=None), "from told", tmp_path / "out.csv")
