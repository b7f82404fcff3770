"""One small bank for all tests of the simulation, and its files as a table."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from simulation.files import make
from simulation.parameters import Bank, Filing, Parameters

SMALL = Bank(customers=400, start=date(2024, 1, 1), days=300, seed=11)
FLAWED = Parameters(filing=Filing(malformed_share=1 / 1_000, malformed_min_rows=100))
"""More malformed records than by default, so that a small bank has some of each kind."""


@pytest.fixture(scope="session")
def bank_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and truth of the small bank, up to 60 days after its history, for the last labels."""
    out = tmp_path_factory.mktemp("bank")
    make(SMALL, out, through=date(2024, 12, 25), parameters=FLAWED)
    return out


@pytest.fixture(scope="session")
def files(bank_folder: Path) -> duckdb.DuckDBPyConnection:
    """Tables `transactions`, `customers`, `events` of the files; `readable` without malformed records."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    for feed in ("transactions", "customers"):
        relation = con.read_csv(
            str(bank_folder / "files" / f"{feed}_*.csv.gz"), header=True, all_varchar=True, filename=True
        )
        relation.create(feed)
    con.execute(
        """
        create view readable as
        select * replace (amount::decimal(18, 2) as amount, txn_time::timestamp as txn_time) from transactions
        where customer_id is not null and txn_time[6:7] <> '13' and not contains(amount, 'O')
        """
    )
    con.read_json(str(bank_folder / "files" / "events_*.jsonl.gz")).create("events")
    return con
