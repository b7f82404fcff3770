"""The council's workbooks and the cleaned file of the same year, counted by SQL and by a dozen lines."""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from python_calamine import CalamineWorkbook

from nightledger import ingestion, warehouse
from nightledger.night import steps
from nightledger.settings import Settings
from tests.helpers.real_files import EXCERPTS, shared

NOW = datetime(2026, 1, 10, 12)
NAMES = {"date": "TRANS DATE", "amt": "ORIGINAL GROSS AMT", "DIRECTORATE": "Directorate"}
KEY = [
    *("TRANS DATE", "ORIGINAL GROSS AMT", "CARD NUMBER", "MERCHANT NAME"),
    *("TRANS CAC DESC 1", "Directorate", "BILLING CUR CODE"),
]
"""What the contracts read, by the workbooks' names."""


@pytest.fixture(params=["excerpt", "whole"])
def files(request) -> list[Path]:
    if request.param == "whole":
        folder = shared("birmingham")
        return sorted([*folder.glob("*.csv.gz"), *folder.glob("*.xls")])
    return [EXCERPTS / "birmingham_excerpt.csv.gz", *sorted((EXCERPTS / "birmingham_workbooks").iterdir())]


def records(path: Path) -> Iterator[dict[str, object]]:
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")):
                yield {NAMES.get(name, name): text for name, text in row.items()}
        return
    names, *rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    yield from (dict(zip(map(str, names), row, strict=True)) for row in rows)


def transactions(path: Path) -> Counter[tuple[str, ...]]:
    """How often each transaction stands in a file; cents tell amounts apart, blanks around a text nothing."""
    found: Counter[tuple[str, ...]] = Counter()
    for record in records(path):
        key = [str(record[name]).strip() for name in KEY]
        key[1] = str(round(Decimal(key[1]), 2))
        found[*key[:-1], key[-1] or "GBP"] += 1
    return found


def counted_once(files: list[Path]) -> Counter[tuple[str, ...]]:
    """Every transaction as often as it stands in the file that holds it most often."""
    most: Counter[tuple[str, ...]] = Counter()
    for path in files:
        most |= transactions(path)
    return most


def total(found: Counter[tuple[str, ...]]) -> Decimal:
    return -sum((Decimal(key[1]) * times for key, times in found.items()), Decimal(0))


def installation(tmp_path: Path, files: list[Path]) -> Settings:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for path in files:
        (inbox / path.name).symlink_to(path)
    return Settings(home=tmp_path / "home", inbox=inbox, token_key="k" * 32, _env_file=None)


def load(tmp_path: Path, files: list[Path], connection: duckdb.DuckDBPyConnection) -> list:
    settings = installation(tmp_path, files)
    contracts = ingestion.load_contracts(settings)
    ingestion.collect(settings, contracts, NOW)
    cutoffs = dict.fromkeys((contract.client for contract in contracts), datetime(2100, 1, 1))
    return ingestion.load(connection, settings, contracts, cutoffs, "test")


def test_each_file_comes_in_whole(tmp_path, files):
    """Catches a workbook's record that is lost, a twin merged, or a refund with the wrong sign."""
    with duckdb.connect() as connection:
        verdicts = {verdict.file: verdict for verdict in load(tmp_path, files, connection)}
    assert {file: (v.verdict, v.message, v.quarantined) for file, v in verdicts.items()} == dict.fromkeys(
        [path.name for path in files], ("loaded", "", 0)
    )
    for path in files:
        found = transactions(path)
        assert (verdicts[path.name].records, verdicts[path.name].amount_sum) == (found.total(), total(found))


def test_what_several_files_tell_counts_once(tmp_path, files):
    """Catches transactions counted twice because two files hold them, and twins that are merged."""
    expected = counted_once(files)
    with duckdb.connect() as connection:
        load(tmp_path, files, connection)
        ours = connection.execute(
            "select count(*), sum(amount)"
            " from (select distinct transaction_key, amount from raw.transactions)"
        ).fetchone()
        by_day = connection.execute(
            "select business_date::varchar, count(distinct transaction_key) from raw.transactions group by 1"
        ).fetchall()
    assert ours == (expected.total(), total(expected))
    days: Counter[str] = Counter()
    for key, times in expected.items():
        days[key[0]] += times
    assert dict(by_day) == days


def test_staging_says_the_same(tmp_path, files):
    """Catches a model that merges twins or keeps what two files tell twice, although ingestion did not."""
    settings = installation(tmp_path, files)
    assert steps.take_lock(settings, "history/twins", is_alive=lambda _: False)
    steps.open_night(settings, "history/twins", date(2015, 4, 30), "history")
    steps.ingest(settings, "history/twins")
    steps.run_dbt(settings, "history/twins", "merchants")
    with warehouse.connect(
        steps.current_build(settings, "history/twins"), read_only=True, settings=settings
    ) as connection:
        ours = connection.execute(
            "select count(*), sum(amount) from staging.stg_transactions where superseded_at is null"
        ).fetchone()
    expected = counted_once(files)
    assert ours == (expected.total(), total(expected))


def test_the_year_of_the_council_to_the_cent():
    """Catches a difference between the cleaned file and the workbooks that nobody could explain."""
    folder = shared("birmingham")
    cleaned = transactions(next(folder.glob("*.csv.gz")))
    books = {path.stem.removeprefix("purchasecard"): transactions(path) for path in folder.glob("*.xls")}
    # Two workbooks hold the transactions of one month, in different bytes.
    assert books["transactionsmay2014"] == books["transactionsjune2014"]
    assert (folder / "purchasecardtransactionsmay2014.xls").read_bytes() != (
        folder / "purchasecardtransactionsjune2014.xls"
    ).read_bytes()
    # All that the workbooks hold stands in the cleaned file, but three records from before its year.
    left = {name: book - cleaned for name, book in books.items()}
    assert {name: found.total() for name, found in left.items() if found} == {"transactionsapril2014": 3}
    early = left["transactionsapril2014"]
    assert sorted((key[0], key[1]) for key in early) == [
        ("2013-11-12", "-594.00"),
        ("2014-03-06", "98.33"),
        ("2014-03-27", "-10.54"),
    ]
    assert min(key[0] for key in cleaned) == "2014-04-01"
    both = counted_once([*folder.glob("*.csv.gz"), *folder.glob("*.xls")])
    assert (cleaned.total(), total(cleaned)) == (43_042, Decimal("-6958156.71"))
    assert (both.total(), total(both)) == (43_045, Decimal("-6957650.50"))
    assert total(both) == total(cleaned) + total(early)
