"""Ingestion against a bare `read_csv` of the same file, side by side in one run.

`make benchmark-ingestion [ROWS=10000000]`. Both make one table of the same columns from the same CSV file,
with the same threads. Ours does what a night does: every value cast and checked, persons tokenised, keys
made, true twins numbered, totals judged. Each runs in a process of its own, which reports
its time and its peak of resident memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import duckdb
import yaml

from nightledger import ingestion, warehouse
from nightledger.ingestion import landing
from nightledger.settings import Settings

FAR = datetime(9999, 1, 1)  # noqa: DTZ001 - the times of the warehouse have no zone
TYPES = {
    "booked": "timestamp",
    "customer": "varchar",
    "card": "varchar",
    "amount": "decimal(18,4)",
    "currency": "varchar",
    "description": "varchar",
    "merchant": "varchar",
    "mcc": "varchar",
    "category": "varchar",
    "mode": "varchar",
    "channel": "varchar",
    "city": "varchar",
    "country": "varchar",
    "balance": "decimal(18,4)",
}
CONTRACT = {
    "client": "bank",
    "files": "*.csv",
    "format": {"type": "csv"},
    "personal": ["card"],
    "feeds": {
        "transactions": {
            "key": "occurrence",
            "known_at": {"mode": "event", "lag": "1d"},
            "columns": {
                "event_at": {"column": "booked", "format": "%Y-%m-%d %H:%M:%S"},
                "customer_id": "customer",
                "account_id": "customer",
                "card_token": "card",
                "amount": "amount",
                "currency": "currency",
                "description": "description",
                "merchant_name": "merchant",
                "mcc": "mcc",
                "source_category": "category",
                "payment_mode": "mode",
                "channel": "channel",
                "city": "city",
                "country": "country",
                "balance_after": "balance",
            },
        }
    },
}


def make_file(path: Path, rows: int) -> None:
    """Write transactions of a customer for every 500 rows; about one line in a thousand is a true twin."""
    with duckdb.connect() as connection:
        connection.execute("set threads = 2; set preserve_insertion_order = true")
        literal = str(path).replace("'", "''")
        connection.execute(f"""
            copy (
                select
                    strftime(timestamp '2025-01-01' + to_seconds(i * 31536000 // {rows}), '%Y-%m-%d %H:%M:%S')
                        as booked,
                    'C' || lpad((h % ({rows} // 500 + 1))::varchar, 7, '0') as customer,
                    '4' || lpad((h % ({rows} // 500 + 1) * 7919)::varchar, 15, '0') as card,
                    cast(-(h >> 20) % 2000000 / 100.0 as decimal(18,2)) as amount,
                    'EUR' as currency,
                    'POS ' || (h >> 8) % 40000 || ' SHOP TOWN ' || (h >> 8) % 300 as description,
                    'Shop ' || (h >> 8) % 40000 as merchant,
                    lpad(((h >> 8) % 900)::varchar, 4, '5') as mcc,
                    'category ' || (h >> 8) % 40 as category,
                    'card' as mode,
                    if(h % 3 = 0, 'online', 'pos') as channel,
                    'Town ' || (h >> 8) % 300 as city,
                    'DE' as country,
                    cast((h >> 12) % 10000000 / 100.0 as decimal(18,2)) as balance
                from (
                    select i, (hash(i) >> 2)::bigint as h
                    from (select n - if(n % 1000 = 999, 1, 0) as i from range({rows}) as t(n))
                )
            ) to '{literal}' (header)
        """)  # noqa: S608 - a number and a path


def settings_for(home: Path) -> Settings:
    """An installation of its own with one contract."""
    (home / "sources").mkdir(exist_ok=True)
    (home / "clients").mkdir(exist_ok=True)
    (home / "builds").mkdir(exist_ok=True)
    (home / "sources" / "cards.yml").write_text(yaml.safe_dump(CONTRACT))
    client = {"name": "Bank", "timezone": "Europe/Berlin", "base_currency": "EUR"}
    (home / "clients" / "bank.yml").write_text(yaml.safe_dump(client))
    return Settings(
        home=home,
        inbox=home / "inbox",
        sources=home / "sources",
        clients=home / "clients",
        token_key="benchmark",  # noqa: S106 - no secret
        memory_limit="2650MB",
        _env_file=None,
    )


def run_bare(home: Path, file: Path) -> int:
    """A bare read_csv into a table of the same columns, as anybody would type it, on the same threads."""
    with duckdb.connect(home / "bare.duckdb") as connection:
        connection.execute(f"set threads = {Settings(home=home, _env_file=None).threads:d}")
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items())
        connection.execute(
            "create table bare as select * from"  # noqa: S608 - names and types from above
            f" read_csv($file, header = true, auto_detect = false, columns = {{{columns}}})",
            {"file": str(file)},
        )
        connection.execute("checkpoint")
        row = connection.execute("select count(*) from bare").fetchone()
    return int(row[0]) if row else 0


def run_ours(home: Path, file: Path) -> int:
    """The night's ingestion of the landed file."""
    settings = settings_for(home)
    contracts = ingestion.load_contracts(settings)
    with warehouse.connect(home / "builds", read_only=False, settings=settings) as connection:
        verdicts = ingestion.load(connection, settings, contracts, {"bank": FAR}, "benchmark")
        if [verdict.verdict for verdict in verdicts] != ["loaded"]:
            raise SystemExit(f"not loaded: {verdicts}")
        connection.execute("checkpoint")
        row = connection.execute("select count(*) from raw.transactions").fetchone()
    return int(row[0]) if row else 0


def measure(what: str, home: Path, file: Path) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", what, "--home", str(home), "--file", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own file
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def side(what: str, home: Path, file: Path) -> None:
    """One side, in this process; prints its figures as JSON."""
    started, cpu = time.monotonic(), time.process_time()
    rows = (run_bare if what == "bare" else run_ours)(home, file)
    figures = {
        "rows": rows,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def main() -> None:
    """Make the file, measure both sides in turn, print a line each and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--side", choices=("bare", "ours"))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    if given.side:
        side(given.side, given.home, given.file)
        return
    with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
        file = Path(folder) / "transactions.csv"
        make_file(file, given.rows)
        sys.stdout.write(f"{given.rows:,} rows, {file.stat().st_size / 1e9:.2f} GB of CSV\n")
        figures = {}
        for what in ("bare", "ours"):
            home = Path(folder) / what
            home.mkdir()
            if what == "ours":
                settings = settings_for(home)
                contract = ingestion.load_contracts(settings)[0]
                landing.land(settings, file, contract, datetime(2026, 1, 1))  # noqa: DTZ001
            figures[what] = measure(what, home, file)
            sys.stdout.write(
                f"{what:5} {figures[what]['seconds']:7.1f} s  {figures[what]['cpu_seconds']:7.1f} CPU-s  "
                f"peak {figures[what]['peak_gb']:.2f} GB  {figures[what]['rows']:,.0f} rows\n"
            )
        for measured in ("seconds", "cpu_seconds"):
            ratio = figures["ours"][measured] / figures["bare"][measured]
            sys.stdout.write(f"ratio of {measured}: {ratio:.2f}\n")


if __name__ == "__main__":
    main()
