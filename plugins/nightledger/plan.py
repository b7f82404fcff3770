"""What a night is about: its as-of dates with their cutoffs, the sources that are late, the pinned models."""

from collections.abc import Iterable
from datetime import date, timedelta

import duckdb

from nightledger import operations
from nightledger.clients import Client
from nightledger.ingestion import PullReport, SourceContract
from nightledger.lock import NightError
from nightledger.settings import Settings


class RequiredSourceMissing(NightError):
    """A source that the contract requires has delivered nothing for the night's date."""


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of schema `ops` that a plan fills, where they are missing."""
    connection.execute("""
        create table if not exists ops.as_of_dates (
            client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean,
            primary key (client_id, as_of_date));
        create table if not exists ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
        create table if not exists ops.clients (
            client_id varchar, name varchar, base_currency varchar, timezone varchar, country varchar);
        create table if not exists ops.model_pins (
            model varchar, as_of_date date, model_version varchar, role varchar);
    """)


def dates_of_history(connection: duckdb.DuckDBPyConnection, last: date) -> list[date]:
    """Every month-end from the first business date in raw up to `last`, and `last` itself."""
    row = connection.execute("select min(business_date) from raw.transactions").fetchone()
    first = row[0] if row and row[0] else last
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return [day for day in days if day == last or (day + timedelta(days=1)).day == 1]


def dates_of_night(night_of: date, published: date | None) -> list[date]:
    """Every date after the last published one up to the night's own; just its own when that is published."""
    missing = (night_of - published).days if published else 1
    return [night_of - timedelta(days=ago) for ago in reversed(range(max(missing, 1)))]


def write_dates(
    connection: duckdb.DuckDBPyConnection, settings: Settings, dates: list[date], clients: dict[str, Client]
) -> None:
    """Write tonight's as-of dates and their cutoffs, fixed on first use, for every client that has data."""
    served = [
        clients[client_id]
        for (client_id,) in connection.execute(
            "select distinct client_id from ops.loads order by 1"
        ).fetchall()
        if client_id in clients
    ]
    cutoffs = operations.fix_cutoffs(
        settings, {(client.client_id, day): client.cutoff_at(day) for client in served for day in dates}
    )
    connection.execute("update ops.as_of_dates set is_tonight = false")
    connection.executemany(
        "insert or replace into ops.as_of_dates values (?, ?, ?, true)",
        [[client_id, day, at] for (client_id, day), at in cutoffs.items()],
    )
    connection.execute("""
        create or replace table ops.horizon as
        select client_id, max(as_of_date) as as_of_date, max(cutoff_at) as cutoff_at
        from ops.as_of_dates group by client_id
    """)
    connection.execute("delete from ops.clients")
    connection.executemany(
        "insert into ops.clients values (?, ?, ?, ?, ?)",
        [[c.client_id, c.name, c.base_currency, c.timezone, c.country] for c in served],
    )


def late_sources(
    connection: duckdb.DuckDBPyConnection, contracts: Iterable[SourceContract], night_of: date
) -> list[str]:
    """Sources of transactions, of clients that have data, without a row for the night's date.

    Raises:
        RequiredSourceMissing: one of them is required.
    """
    served = {row[0] for row in connection.execute("select distinct client_id from ops.loads").fetchall()}
    arrived = set(
        connection.execute(
            "select distinct client_id, source from raw.transactions where business_date = ?", [night_of]
        ).fetchall()
    )
    late = [
        contract
        for contract in contracts
        if contract.client in served
        and "transactions" in contract.feeds
        and (contract.client, contract.source) not in arrived
    ]
    required = [f"{contract.client}/{contract.source}" for contract in late if contract.delivery.required]
    if required:
        raise RequiredSourceMissing(
            f"required source {', '.join(required)} has delivered nothing for {night_of}. Nothing is "
            "published without it; readers keep the last publication. Put the file into the inbox and run "
            "the night again."
        )
    return sorted({f"{contract.client}/{contract.source}" for contract in late})


def require_pulled(reports: Iterable[PullReport], night_of: date) -> None:
    """Stop a night whose date has not been pulled whole from a required source.

    Raises:
        RequiredSourceMissing: names source and reason.
    """
    missing = [report for report in reports if report.is_late and report.contract.delivery.required]
    if missing:
        raise RequiredSourceMissing(
            f"required source {', '.join(report.name for report in missing)} could not be pulled for "
            f"{night_of}. Nothing is published without it; readers keep the last publication. "
            + "; ".join(report.message for report in missing)
        )


def pin_models(connection: duckdb.DuckDBPyConnection, settings: Settings) -> int:
    """Fix which version scores which of tonight's dates.

    A date keeps the version that was recorded for it first, whatever was rolled back or promoted since. A
    version applies from the first as-of date after the one it was trained on, so that no score uses a model
    that was not known.

    Returns:
        Number of (model, as-of date) pairs that will be scored.
    """
    # What the warehouse has pinned counts before today's champion: it was copied from a publication.
    wanted = connection.execute("""
        with tonight as (select distinct as_of_date from ops.as_of_dates where is_tonight),
        candidates as (
            select p.model, p.as_of_date, p.model_version, null as decided
            from ops.model_pins as p semi join tonight using (as_of_date)
            union all
            select d.model, t.as_of_date, d.version, d.id
            from tonight as t
            join operations.model_decisions as d
                on d.decision = 'promoted' and d.trained_on_as_of < t.as_of_date
        )
        select model, as_of_date, model_version from candidates
        qualify row_number() over (partition by model, as_of_date order by decided desc nulls first) = 1
    """).fetchall()
    pins = operations.fix_pins(settings, {(model, day): version for model, day, version in wanted})
    for (model, day), version in pins.items():
        connection.execute("delete from ops.model_pins where model = ? and as_of_date = ?", [model, day])
        connection.execute("insert into ops.model_pins values (?, ?, ?, 'champion')", [model, day, version])
    return len(pins)
