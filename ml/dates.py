"""Which days a model learns from, and when each of them was over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import pyarrow as pa

from ml import attributes
from ml.features import DatasetError
from ml.scores.config import UseCase
from ml.statements import module_sql, parameters
from nightledger.clients import load_clients
from nightledger.settings import Settings


@dataclass(frozen=True)
class Split:
    """Days by purpose; between any training day and the first test day lies one matured label."""

    fit: tuple[date, ...]
    calibration: tuple[date, ...]
    test: tuple[date, ...]

    @property
    def training(self) -> tuple[date, ...]:
        """Fitted and calibration days."""
        return (*self.fit, *self.calibration)


def matured_days(
    connection: duckdb.DuckDBPyConnection, settings: Settings, use_case: UseCase
) -> list[tuple[str, date]]:
    """(client, day) pairs whose labels are known and whose outcome is covered by data, in order.

    Where a client's feed stopped, paused or came too late to be judged by, everybody would seem to be gone.

    Raises:
        DatasetError: a client has no settings.
    """
    every_day = use_case.dates.every == "day"
    candidates = module_sql(use_case, "DAYS", optional=not every_day)
    if candidates:
        register_dates(connection, settings, use_case, as_of_dates(connection, use_case))
    else:
        candidates = f"select client_id, as_of_date as day from ({_as_of_dates_sql(use_case)})"  # noqa: S608
    if not every_day:
        candidates = f"select client_id, day from ({candidates}) where day = last_day(day)"  # noqa: S608
    ended = connection.execute(
        f"""
        select distinct candidates.client_id, candidates.day
        from ({candidates}) as candidates
        inner join ops.horizon as horizon using (client_id)
        where candidates.day + $_after::integer <= horizon.as_of_date
        order by candidates.day, candidates.client_id
        """,  # noqa: S608 - the use case's own SQL
        {"_after": use_case.matures_after, **parameters(use_case, candidates)},
    ).fetchall()
    return covered(connection, settings, use_case, ended)


def covered(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    use_case: UseCase,
    pairs: Iterable[tuple[str, date]],
) -> list[tuple[str, date]]:
    """Those of (client, day) pairs during whose outcome the client's feed did not fall silent, in order.

    Raises:
        DatasetError: a client has no settings.
    """
    ended = list(pairs)
    label = use_case.label
    if label is None or label.max_silent_days is None or not ended:
        return ended
    register_dates(connection, settings, use_case, ended)
    return connection.execute(
        """
        with days as (
            select client_id, business_date, min(known_at) as known_at
            from intermediate.int_transactions group by client_id, business_date
        ),
        covered as (
            select client_id, as_of_date, unnest([as_of_date, as_of_date + $horizon_days::integer + 1]) as day
            from dates
            union all
            select dates.client_id, dates.as_of_date, days.business_date
            from dates
            inner join cutoffs as judged
                on judged.client_id = dates.client_id
                and judged.day = dates.as_of_date + $matures_after::integer
            inner join days
                on days.client_id = dates.client_id
                and days.business_date > dates.as_of_date
                and days.business_date <= dates.as_of_date + $horizon_days::integer
                and days.known_at < judged.cutoff_at
        ),
        silences as (
            select client_id, as_of_date,
                lead(day) over (partition by client_id, as_of_date order by day) - day - 1 as silent_days
            from covered
        )
        select client_id, as_of_date from silences
        group by client_id, as_of_date
        having max(silent_days) <= $max_silent_days::integer
        order by as_of_date, client_id
        """,
        {
            "horizon_days": label.horizon_days,
            "matures_after": label.matures_after,
            "max_silent_days": label.max_silent_days,
        },
    ).fetchall()


def split(days: Sequence[date], use_case: UseCase) -> Split | None:
    """Latest days for the test, and the latest whose labels were known before the first of them.

    Returns:
        None when there are too few.
    """
    ordered = sorted(set(days))
    numbers = use_case.dates
    test = ordered[-numbers.test :]
    if len(test) < numbers.test:
        return None
    gap = timedelta(days=use_case.matures_after)
    training = [day for day in ordered if day + gap < test[0]][-numbers.training :]
    if len(training) < numbers.least:
        return None
    edge = len(training) - numbers.calibration
    return Split(fit=tuple(training[:edge]), calibration=tuple(training[edge:]), test=tuple(test))


def register_dates(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    use_case: UseCase,
    pairs: Iterable[tuple[str, date]],
    judged_at: datetime | None = None,
) -> None:
    """Make the relations `dates` and `cutoffs`: as the nights fixed them, else by the client's settings.

    Args:
        connection: on a build or publication.
        settings: of the installation.
        use_case: the model.
        pairs: (client, as-of date).
        judged_at: stands for every cutoff by which an outcome is judged (UTC); default: the day's own.

    Raises:
        DatasetError: a client has no settings.
    """
    fixed: dict[tuple[str, date], datetime] = {
        (client_id, day): at
        for client_id, day, at in connection.execute(
            "select client_id, as_of_date, cutoff_at from ops.as_of_dates"
        ).fetchall()
    }
    clients = load_clients(settings)

    def cutoff(client_id: str, day: date) -> datetime:
        if (client_id, day) in fixed:
            return fixed[client_id, day]
        if client_id not in clients:
            raise DatasetError(f"client {client_id} has data but no settings; add clients/{client_id}.yml")
        return clients[client_id].cutoff_at(day)

    wanted = list(pairs)
    dates = [(client, day, cutoff(client, day)) for client, day in wanted]
    connection.register("dates", _table(dates, ("client_id", "as_of_date", "cutoff_at")))
    calendar = []
    for client in sorted({client for client, _ in wanted}):
        days = [day for of, day in wanted if of == client]
        # Rows that are events lie before the as-of date that saw them, at most a month of a history load.
        first = min(days) - timedelta(days=366 if use_case.dates.every == "day" else 0)
        last = max(days) + timedelta(days=use_case.matures_after)
        span = (first + timedelta(days=n) for n in range((last - first).days + 1))
        calendar += [(client, day, judged_at or cutoff(client, day)) for day in span]
    connection.register("cutoffs", _table(calendar, ("client_id", "day", "cutoff_at")))


def as_of_dates(connection: duckdb.DuckDBPyConnection, use_case: UseCase) -> list[tuple[str, date]]:
    """(client, as-of date) pairs that the first feature table has rows of."""
    return connection.execute(f"{_as_of_dates_sql(use_case)} order by all").fetchall()


def _as_of_dates_sql(use_case: UseCase) -> str:
    table = use_case.features[0]
    if attributes.source_of(table) is not None:
        return attributes.as_of_dates_sql(table)
    return f'select distinct client_id, as_of_date from features."{table}"'  # noqa: S608 - from the YAML


def _table(rows: list[tuple[str, date, datetime]], names: tuple[str, str, str]) -> pa.Table:
    types = (pa.string(), pa.date32(), pa.timestamp("us"))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table(
        {name: pa.array(column, kind) for name, column, kind in zip(names, columns, types, strict=True)}
    )
