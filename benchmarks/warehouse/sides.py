"""Each side of each comparison: runs in a process of its own, which reports its time and memory.

Every side gets the directory of one size: `files` as the bank sends them, `home` with its publications,
`plans` with the SQL that dbt sends, `frames` as pandas reads them, and `build`, which it may write to.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.warehouse import frames, nights, replay
from benchmarks.warehouse.bank import LAST, settings_for
from nightledger import warehouse
from nightledger.settings import PROJECT, Settings

SMALL = 87_617
"""Transactions of the smallest comparison."""
SEEDS = PROJECT / "dbt_project" / "seeds"


def _build(work: Path, *keep: str) -> tuple[Settings, Path]:
    settings = settings_for(work / "home")
    return settings, replay.copy_of(settings, nights.first_publication(settings), work / "build", keep=keep)


def _one_date(settings: Settings, build: Path, rows: int | None = None) -> None:
    with replay.open_build(settings, build) as connection:
        replay.only_the_last_date(connection)
        if rows:
            connection.execute(
                "delete from raw.transactions where _record not in ("
                "select _record from raw.transactions order by business_date desc, _record limit $rows)",
                {"rows": rows},
            )
            connection.execute("checkpoint")


def record(work: Path) -> dict[str, Any]:
    """Write down the SQL of three selections; on a small bank, because it is the same for every size."""
    plans = work / "plans"
    plans.mkdir(exist_ok=True)
    settings, build = _build(work)
    counts = {"build": replay.record(settings, build, plans / "build.json", "build", *replay.MODELS)}
    settings, build = _build(work)
    _one_date(settings, build)
    arguments = ("build", *replay.FEATURES, *replay.MODELS)
    counts["features"] = replay.record(settings, build, plans / "features.json", *arguments)
    arguments = ("build", *replay.FEATURES_OF_TRANSACTIONS, *replay.MODELS, "--full-refresh")
    counts["of_transactions"] = replay.record(settings, build, plans / "of_transactions.json", *arguments)
    return counts


def prepare(work: Path, *keep: str, one_date: bool = False, rows: int | None = None) -> None:
    """Make the build that the next side works on; not measured."""
    settings, build = _build(work, *keep)
    if one_date:
        _one_date(settings, build, rows)


def dbt_build(work: Path) -> dict[str, Any]:
    """The whole project by dbt, without tests, as it is in a fresh process."""
    settings = settings_for(work / "home")
    replay.run_dbt(settings, work / "build", "build", *replay.MODELS)
    return {}


def bare(work: Path, plan: str) -> dict[str, Any]:
    """The same SQL by bare DuckDB."""
    settings = settings_for(work / "home")
    with replay.open_build(settings, work / "build") as connection:
        taken = replay.replay(connection, work / "plans" / f"{plan}.json")
        slowest = sorted(taken, reverse=True)[:12]
    return {
        "sql_seconds": sum(seconds for seconds, _ in taken),
        "slowest": slowest,
    }


def export(work: Path) -> None:
    """Frames for pandas; not measured."""
    settings = settings_for(work / "home")
    with warehouse.connect(nights.first_publication(settings), settings=settings) as connection:
        frames.export(connection, work / "frames")


def in_pandas(work: Path) -> dict[str, Any]:
    """The 65 features of one date."""
    from benchmarks.warehouse import in_pandas as theirs

    started = time.monotonic()
    read = theirs.read(work / "frames")
    ready = time.monotonic()
    found = theirs.features(read, LAST)
    done = time.monotonic()
    found.reset_index().to_parquet(work / "frames" / "pandas.parquet")
    return {"reading": ready - started, "computing": done - ready, "features": found.shape[1]}


def in_polars(work: Path) -> dict[str, Any]:
    """From the raw file to the 65 features of one date."""
    from benchmarks.warehouse import in_polars as theirs

    found = theirs.features(work / "files", SEEDS, LAST)
    found.write_parquet(work / "frames" / "polars.parquet")
    return {"features": found.width - 1, "customers": found.height}


def from_file(work: Path) -> dict[str, Any]:
    """Our SQL from the raw file to the 65 features of one date, read by a bare `read_csv`.

    What ingestion adds and Polars has no counterpart for is cheap here: the bank's number stands for the
    record's, a plain hash for the content's.
    """
    settings = settings_for(work / "home")
    with replay.open_build(settings, work / "build") as connection:
        started = time.monotonic()
        connection.execute("create table raw.told as from raw.transactions limit 0")
        connection.execute("drop table raw.transactions; alter table raw.told rename to transactions")
        connection.execute(
            """
            insert into raw.transactions by name
            select 'bank' as client_id, 'core' as source, 'bank/core/' || id as transaction_key,
                   hash(booked, amount, description, status)::varchar as _content_hash,
                   account as account_id, customer as customer_id, booked as event_at, amount, currency,
                   booked::date as business_date, description, id as transaction_id, mcc,
                   category as source_category, mode as payment_mode, channel, city, country, status,
                   original as original_transaction_id, balance as balance_after,
                   booked + interval 2 hour as known_at, 'load' as _load_id, substr(id, 2)::bigint as _record
            from read_csv($file, header = true, types = {
                'id': 'varchar', 'mcc': 'varchar', 'amount': 'decimal(18,4)', 'balance': 'decimal(18,4)',
                'original': 'varchar'})
            """,
            {"file": str(work / "files" / "core_history.csv")},
        )
        read = time.monotonic() - started
        taken = replay.replay(connection, work / "plans" / "features.json")
    return {"reading": read, "slowest": sorted(taken, reverse=True)[:12]}


ROLLING = """
    create temp table rolling as
    select
        customer_id, event_at, base_amount,
        {% for days in [1, 7, 30] %}
        count(*) over last_{{ days }} as count_{{ days }}d,
        sum(base_amount) over last_{{ days }} as sum_{{ days }}d,
        {% endfor %}
    from (
        select customer_id, event_at, base_amount, epoch_us(event_at) as moment
        from intermediate.int_transactions
        where superseded_at is null and has_base_amount
    )
    window {% for days in [1, 7, 30] %}
        last_{{ days }} as (partition by customer_id order by moment
            range between {{ days * 86_400_000_000 }} preceding and current row exclude group)
        {{ ',' if not loop.last }}{% endfor %}
"""


def rolling(work: Path) -> dict[str, Any]:
    """Count and sum of each transaction's 1, 7 and 30 days before it, by RANGE windows over microseconds.

    The result stays in memory, as those of pandas and Polars do.
    """
    from jinja2 import Template

    settings = settings_for(work / "home")
    with replay.open_build(settings, work / "build") as connection:
        connection.execute(Template(ROLLING).render())
    return {}


def rolling_in_pandas(work: Path) -> dict[str, Any]:
    """The same in pandas."""
    from benchmarks.warehouse import in_pandas as theirs

    found = theirs.rolling(theirs.read(work / "frames"))
    return {"rows": len(found)}


def rolling_in_polars(work: Path) -> dict[str, Any]:
    """The same in Polars."""
    import polars as pl

    t = pl.scan_parquet(work / "frames" / "transactions.parquet").select("customer_id", "local_at", "amount")
    t = t.sort("customer_id", "local_at")
    windows = [
        t.rolling("local_at", period=f"{days}d", closed="left", group_by="customer_id").agg(
            pl.len().alias(f"count_{days}d"), pl.col("amount").sum().alias(f"sum_{days}d")
        )
        for days in (1, 7, 30)
    ]
    return {"rows": pl.collect_all(windows)[0].height}


SIDES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "history": nights.history,
    "one_date": nights.one_date,
    "published_features": nights.published_features,
    "nightly": nights.nightly,
    "record": record,
    "dbt_build": dbt_build,
    "bare_build": partial(bare, plan="build"),
    "features": partial(bare, plan="of_transactions"),
    "small": partial(bare, plan="features"),
    "in_pandas": in_pandas,
    "in_polars": in_polars,
    "from_file": from_file,
    "rolling": rolling,
    "rolling_in_pandas": rolling_in_pandas,
    "rolling_in_polars": rolling_in_polars,
}
