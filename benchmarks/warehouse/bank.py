"""A simulated bank of any size, made in DuckDB SQL: the files that a bank sends, with everything that costs.

Salaries, rents, subscriptions and instalments by the month, own transfers with both legs, purchases at a few
large and many small merchants whose names come in many spellings, refunds with and without a reference,
pending rows that post, twins, log-ins, and balances that roll forward.
"""

from datetime import date
from pathlib import Path

import duckdb
import yaml

from nightledger.settings import PROJECT, Settings

FIRST, LAST, NIGHT = date(2024, 7, 10), date(2026, 7, 13), date(2026, 7, 14)
"""24 month-ends. The night after them is a Tuesday, and not the first of its month: see the page's notes."""
ROWS_OF_A_CUSTOMER = 500

CLIENT = {
    "name": "Benchmark",
    "timezone": "Europe/London",
    "base_currency": "GBP",
    "country": "GB",
    "interchange_rate": "0.008",
}
_COLUMNS = {
    "transaction_id": "id",
    "event_at": {"column": "booked", "format": "%Y-%m-%d %H:%M:%S"},
    "customer_id": "customer",
    "account_id": "account",
    "amount": "amount",
    "currency": "currency",
    "description": "description",
    "mcc": "mcc",
    "source_category": "category",
    "payment_mode": "mode",
    "channel": "channel",
    "city": "city",
    "country": "country",
    "status": "status",
    "original_transaction_id": "original",
    "balance_after": "balance",
}


def _source(
    files: str, feed: str, columns: dict[str, object], known_at: object, key: object = None
) -> object:
    content: dict[str, object] = {"known_at": known_at, "columns": columns}
    if key:
        content["key"] = key
    return {
        "client": "bank",
        "files": files,
        "format": {"type": "csv"},
        "feeds": {feed: content},
    }


_EVENT = {"mode": "event", "lag": "2h"}
SOURCES = {
    "core": _source("core_history.csv", "transactions", _COLUMNS, _EVENT, ["transaction_id"]),
    "core_daily": _source(
        "core_20*.csv",
        "transactions",
        _COLUMNS,
        {"mode": "file_name", "pattern": r"core_(\d{8})", "format": "%Y%m%d", "lag": "1d"},
        ["transaction_id"],
    ),
    "customers": _source(
        "customers.csv",
        "customers",
        {
            "customer_id": "customer",
            "signed_up_on": {"column": "opened", "format": "%Y-%m-%d"},
            "birth_year": "born",
            "city": "city",
            "country": "country",
        },
        _EVENT,
    ),
    "accounts": _source(
        "accounts.csv",
        "accounts",
        {
            "account_id": "account",
            "customer_id": "customer",
            "type": "type",
            "currency": "currency",
            "opened_on": {"column": "opened", "format": "%Y-%m-%d"},
        },
        _EVENT,
    ),
    "app": _source(
        "logins.csv",
        "events",
        {
            "customer_id": "customer",
            "event_at": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
            "event_type": "type",
        },
        _EVENT,
    ),
}


def settings_for(home: Path) -> Settings:
    """An installation of its own, as `make demo` has one, with two threads and 4 GB."""
    settings = Settings(
        home=home,
        inbox=home / "inbox",
        sources=home / "sources",
        clients=home / "clients",
        token_key="benchmark",  # noqa: S106 - no secret
        threads=2,
        memory_limit="4GB",
        dbt_threads=None,
        min_free_share=0,
        _env_file=None,
    )
    for folder in (home / "inbox", settings.sources, settings.clients):
        folder.mkdir(parents=True, exist_ok=True)
    (settings.clients / "bank.yml").write_text(yaml.safe_dump(CLIENT))
    for name, content in SOURCES.items():
        (settings.sources / f"{name}.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return settings


def make_files(folder: Path, rows: int) -> None:
    """Write the bank's files: the history of about so many transactions, and `core_20260714.csv` after it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "making.duckdb").unlink(missing_ok=True)
    with duckdb.connect(folder / "making.duckdb") as connection:
        connection.execute("set threads = 2; set memory_limit = '4GB'")
        connection.execute("set temp_directory = ?", [str(folder / "spill")])
        customers = max(rows // ROWS_OF_A_CUSTOMER, 20)
        variables = {"rows": rows, "customers": customers, "first": FIRST, "days": (NIGHT - FIRST).days + 1}
        variables["brands"] = str(PROJECT / "dbt_project" / "seeds" / "brands.csv")
        for name, value in variables.items():
            connection.execute(f"set variable {name} = ?", [value])
        for statement in (Path(__file__).with_name("bank.sql")).read_text().split(";\n\n"):
            connection.execute(statement)
        for name in ("customers", "accounts", "logins"):
            connection.execute(f"copy {name} to '{folder / name}.csv' (header)")
        columns = "* exclude (n)"
        connection.execute(
            f"copy (select {columns} from transactions where booked::date <= $last order by booked, n)"  # noqa: S608
            f" to '{folder}/core_history.csv' (header, timestampformat '%Y-%m-%d %H:%M:%S')",
            {"last": LAST},
        )
        # One row in fifty of the day's file is late, of the week before.
        connection.execute(
            f"copy (select {columns} from transactions where booked::date = $night"  # noqa: S608
            " union all by name"
            f" select {columns} replace ('L' || id as id) from transactions"
            " where booked::date between $night::date - 7 and $night::date - 1 and n % 350 = 0"
            " order by booked, id)"
            f" to '{folder}/core_{NIGHT:%Y%m%d}.csv' (header, timestampformat '%Y-%m-%d %H:%M:%S')",
            {"night": NIGHT},
        )
    (folder / "making.duckdb").unlink()
