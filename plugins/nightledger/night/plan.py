"""What a night is about: its as-of dates with their cutoffs, the sources that are late, the pinned models."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import duckdb

from nightledger import actions, ingestion
from nightledger.clients import Client, RiskWeights, load_clients, uses
from nightledger.governance import ledger
from nightledger.ingestion import PullReport, SourceContract
from nightledger.night.lock import NightError
from nightledger.settings import Settings

SUNDAY = 6
_CLIENT = (
    *("client_id", "name", "base_currency", "timezone", "country", "interchange_rate"),
    *("alert_cost", "alerts_per_day", "alerts_without_reports", "anomalies_per_day"),
)
"""What the warehouse is told of a client's settings, beside the weights of the risk assessment."""


class RequiredSourceMissing(NightError):
    """A source that the contract requires has delivered nothing for the night's date."""


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of schema `ops` that a plan fills, where they are missing."""
    connection.execute("""
        create table if not exists ops.as_of_dates (
            client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean,
            primary key (client_id, as_of_date));
        create table if not exists ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
        create table if not exists ops.base_horizon (
            client_id varchar, as_of_date date, cutoff_at timestamp);
        create table if not exists ops.clients (
            client_id varchar, name varchar, base_currency varchar, timezone varchar, country varchar,
            interchange_rate decimal(9, 6));
        alter table ops.clients add column if not exists interchange_rate decimal(9, 6);
        alter table ops.clients add column if not exists alert_cost decimal(18, 4);
        alter table ops.clients add column if not exists alerts_per_day integer;
        alter table ops.clients add column if not exists alerts_without_reports boolean;
        alter table ops.clients add column if not exists anomalies_per_day integer;
        alter table ops.clients add column if not exists risk_weight_credit decimal(6, 4);
        alter table ops.clients add column if not exists risk_weight_fraud decimal(6, 4);
        alter table ops.clients add column if not exists risk_weight_anomaly decimal(6, 4);
        alter table ops.clients add column if not exists risk_weight_churn decimal(6, 4);
        create table if not exists ops.model_pins (
            model varchar, as_of_date date, model_version varchar, role varchar);
    """)
    actions.create_tables(connection)


def note_base(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Keep the horizon of the publication that the open build was copied from, before the night moves it.

    Returns:
        Its latest cutoff: what people and rules say from now on was not known before. None: the first night.
    """
    connection.execute("delete from ops.base_horizon; insert into ops.base_horizon from ops.horizon")
    row = connection.execute("select max(cutoff_at) from ops.base_horizon").fetchone()
    return row[0] if row else None


def dates_of_history(
    connection: duckdb.DuckDBPyConnection, last: date, since: date | None = None
) -> list[date]:
    """Every month-end from the first business date in raw, or `since`, up to `last`, and `last` itself."""
    there = ingestion.business_days(connection)
    first = since or (there[0] if there else last)
    days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return [day for day in days if day == last or _ends_month(day)]


def dates_of_night(night_of: date, published: date | None, *, month_ends: bool = False) -> list[date]:
    """Every date after the last published one up to the night's own; just its own when that is published.

    Args:
        night_of: the night's own date.
        published: the last published date, if any.
        month_ends: leave out the dates between them that end no month.
    """
    missing = (night_of - published).days if published else 1
    dates = [night_of - timedelta(days=ago) for ago in reversed(range(max(missing, 1)))]
    return [day for day in dates if day == night_of or not month_ends or _ends_month(day)]


def _ends_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def tests_are_full(kind: str, night_of: date, published: date | None) -> bool:
    """Whether a night's tests read whole tables: once a week, with the first night after Saturday's.

    On other nights they read the days and as-of dates that the night touches; what it does not touch was
    tested when it was built. A history has touched everything.
    """
    dates = dates_of_night(night_of, published)
    return kind == "history" or published is None or any(day.weekday() == SUNDAY for day in dates)


def write_dates(
    connection: duckdb.DuckDBPyConnection,
    cutoffs: Mapping[tuple[str, date], datetime],
    dates: Sequence[date],
    clients: Mapping[str, Client],
) -> dict[tuple[str, date], datetime]:
    """Write tonight's as-of dates and their cutoffs, for every client that has data.

    Args:
        connection: writable, on the open build.
        cutoffs: by client and date.
        dates: tonight's as-of dates.
        clients: all of them by id.

    Returns:
        The cutoffs that the night uses; they are to be fixed when its required sources are there.
    """
    served = [
        clients[client_id]
        for (client_id,) in connection.execute(
            "select distinct client_id from ops.loads order by 1"
        ).fetchall()
        if client_id in clients
    ]
    used = {(client.client_id, day): cutoffs[client.client_id, day] for client in served for day in dates}
    connection.execute("update ops.as_of_dates set is_tonight = false")
    connection.executemany(
        "insert or replace into ops.as_of_dates values (?, ?, ?, true)",
        [[client_id, day, at] for (client_id, day), at in used.items()],
    )
    connection.execute("""
        create or replace table ops.horizon as
        select client_id, max(as_of_date) as as_of_date, max(cutoff_at) as cutoff_at
        from ops.as_of_dates group by client_id
    """)
    connection.execute("delete from ops.clients")
    columns = (*_CLIENT, *(f"risk_weight_{factor}" for factor in RiskWeights.model_fields))
    connection.executemany(
        f"insert into ops.clients ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",  # noqa: S608
        [
            [*(getattr(client, name) for name in _CLIENT), *client.risk_weights.model_dump().values()]
            for client in served
        ],
    )
    actions.write(connection, served)
    return used


def add_filled_gaps(connection: duckdb.DuckDBPyConnection) -> list[date]:
    """Take up the past as-of dates for which tonight's files, or files set aside, change what was known then.

    Their cutoffs and pinned versions stay what they were. A row that came to be known after a date's cutoff
    changes nothing that was decided on it.

    Returns:
        The dates, oldest first.
    """
    rows = connection.execute("""
        update ops.as_of_dates set is_tonight = true
        where not is_tonight and exists (
            select 1 from ops.changed_facts as c
            where c.client_id = as_of_dates.client_id and c.known_at < as_of_dates.cutoff_at
              and (c.business_date is null or c.business_date <= as_of_dates.as_of_date))
        returning as_of_date
    """).fetchall()
    return sorted({day for (day,) in rows})


def late_sources(
    connection: duckdb.DuckDBPyConnection, contracts: Iterable[SourceContract], dates: Sequence[date]
) -> list[str]:
    """Sources, of clients that have data, without what was expected of them for tonight's dates.

    A source with a calendar is asked for every date on which it has one; another one, if it brings
    transactions, for the last date only.

    Args:
        connection: on the open build, with this night's coverage.
        contracts: all of them.
        dates: tonight's as-of dates, oldest first.

    Raises:
        RequiredSourceMissing: one of them is required; names source and dates.
    """
    countries = dict(connection.execute("select client_id, country from ops.clients").fetchall())
    late: dict[str, list[date]] = {}
    required: dict[str, list[date]] = {}
    for contract in contracts:
        if contract.client not in countries:
            continue
        delivery = contract.delivery
        if delivery.calendar:
            expected = [day for day in dates if delivery.expects(day, countries[contract.client] or "")]
        else:
            expected = list(dates[-1:]) if "transactions" in contract.feeds else []
        there = _days_there(connection, contract)
        if missing := [day for day in expected if day not in there]:
            name = f"{contract.client}/{contract.source}"
            late.setdefault(name, []).extend(missing)
            if delivery.required:
                required.setdefault(name, []).extend(missing)
    if required:
        named = "; ".join(f"{name} for {', '.join(map(str, days))}" for name, days in required.items())
        raise RequiredSourceMissing(
            f"a required source has delivered nothing: {named}. Nothing is published without it; readers "
            "keep the last publication. Put the file into the inbox and run the night again."
        )
    return sorted(late)


def _days_there(connection: duckdb.DuckDBPyConnection, contract: SourceContract) -> set[date]:
    """Business dates that are there, as tonight's coverage says; what is held was delivered."""
    feed = "transactions" if "transactions" in contract.feeds else next(iter(contract.feeds))
    days = connection.execute(
        "select business_date from ops.coverage"
        " where client_id = $client and source = $source and feed = $feed and arrived"
        " union select business_date from ops.held_days where client_id = $client and source = $source",
        {"client": contract.client, "source": contract.source, "feed": feed},
    ).fetchall()
    return {day for (day,) in days}


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
    """Fix which versions score which of tonight's dates: the champion, and the challenger in its shadow.

    A date keeps the versions that were recorded for it first, whatever was rolled back or decided since. A
    decision applies from the first as-of date after the one it was based on, so that no score uses a model
    that was not known, and what was published stays as it is. A model that clients do not use any more is not
    pinned to further dates.

    Returns:
        Number of (model, as-of date, role) that will be scored.
    """
    tonight = [
        day
        for (day,) in connection.execute(
            "select distinct as_of_date from ops.as_of_dates where is_tonight order by 1"
        ).fetchall()
    ]
    pinned: dict[tuple[str, date], dict[str, str]] = {}
    # What the warehouse has pinned counts before today's champion: it was copied from a publication.
    for model, day, role, version in connection.execute(
        "select model, as_of_date, role, model_version from ops.model_pins"
    ).fetchall():
        if day in tonight:
            pinned.setdefault((model, day), {})[role] = version
    clients = load_clients(settings)
    actions.note_switched_off(connection, clients.values())
    for (model, day), versions in _decided(connection, tonight).items():
        if uses(settings, clients, model):
            pinned.setdefault((model, day), versions)
    pins = ledger.fix_pins(settings, pinned)
    for (model, day), versions in pins.items():
        connection.execute("delete from ops.model_pins where model = ? and as_of_date = ?", [model, day])
        connection.executemany(
            "insert into ops.model_pins (model, as_of_date, model_version, role) values (?, ?, ?, ?)",
            [[model, day, version, role] for role, version in sorted(versions.items())],
        )
    return sum(len(versions) for versions in pins.values())


def _decided(
    connection: duckdb.DuckDBPyConnection, days: Iterable[date]
) -> dict[tuple[str, date], dict[str, str]]:
    """By model and date, the versions that the decisions known to the night give to each role."""
    rows = connection.execute(
        "select model, version, decision, champion_after, applies_after from operations.model_decisions"
        " order by id"
    ).fetchall()
    names = ("model", "version", "decision", "champion_after", "applies_after")
    decisions = [dict(zip(names, row, strict=True)) for row in rows]
    found = {}
    for model in sorted({row["model"] for row in decisions}):
        about = [row for row in decisions if row["model"] == model]
        for day in days:
            standing = ledger.standing([row for row in about if row["applies_after"] < day])
            roles = {
                ledger.CHAMPION: standing.champion,
                ledger.CHALLENGER: standing.challenger,
            }
            if versions := {role: version for role, version in roles.items() if version}:
                found[model, day] = versions
    return found
