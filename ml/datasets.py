"""The only reader of the warehouse for training: dates, features, labels.

Features come from the published feature table, as each month-end knew them; labels from the versions of
transactions that were known when the outcome matured.
"""

import hashlib
import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.config import UseCase
from nightledger import warehouse
from nightledger.clients import load_clients
from nightledger.settings import Settings

KEY = ("client_id", "customer_id", "as_of_date")
DATES = pa.schema(
    [
        ("client_id", pa.string()),
        ("as_of_date", pa.date32()),
        ("cutoff_at", pa.timestamp("us")),
        ("judged_at", pa.timestamp("us")),
    ]
)
"""The relation `dates` that a use case's SQL reads."""


class DatasetError(RuntimeError):
    """The warehouse cannot be read for a use case; the message says what is missing."""


@dataclass(frozen=True)
class Feature:
    """One column of the feature table as its manifest defines it."""

    name: str
    label: str
    unit: str
    definition: str
    """Hash of name, type and meta."""


@dataclass(frozen=True)
class Publication:
    """What a model is trained on."""

    path: Path
    id: str
    content_hash: str
    code_revision: str
    as_of_date: date
    known_at: datetime
    """Cutoff of the last as-of date: in data time, when all of it was known (UTC)."""


@dataclass(frozen=True)
class Split:
    """Month-ends by purpose; between any training date and the first test date lies one matured label."""

    fit: tuple[date, ...]
    calibration: date
    test: tuple[date, ...]

    @property
    def training(self) -> tuple[date, ...]:
        """Fitted dates and the calibration date."""
        return (*self.fit, self.calibration)


@dataclass(frozen=True)
class Rows:
    """Labelled rows in key order.

    `table` has KEY, `label` (INTEGER; 1 = the event) and the features (FLOAT, null = missing) in model order.
    """

    table: pa.Table
    features: tuple[str, ...]
    definition_hash: str

    def of(self, dates: Iterable[date]) -> "Rows":
        """The rows of these as-of dates."""
        wanted = pa.array(sorted(set(dates)), pa.date32())
        mask = pc.is_in(self.table["as_of_date"], value_set=wanted)
        return Rows(self.table.filter(mask), self.features, self.definition_hash)

    def matrix(self) -> pa.Table:
        """Only the features."""
        return self.table.select(list(self.features))

    def labels(self) -> NDArray[np.float64]:
        """1.0 = the event."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.float64)

    def customers(self) -> NDArray[np.int64]:
        """A number for each row's customer, for resampling by customer."""
        pairs = zip(self.table["client_id"].to_pylist(), self.table["customer_id"].to_pylist(), strict=True)
        numbers: dict[tuple[str, str], int] = {}
        return np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.int64)


def read_publication(settings: Settings, publication: str | None = None) -> Publication:
    """A publication by its id; default: the current one.

    Raises:
        DatasetError: nothing has been published yet, or the publication is gone.
    """
    path = settings.builds / publication if publication else warehouse.publication_path(settings)
    if path is not None and not path.is_dir():
        raise DatasetError(f"publication {publication} is gone; train on the current one")
    if path is None:
        raise DatasetError("nothing has been published yet; load the history first")
    description = json.loads((path / "publication.json").read_text())
    with warehouse.connect(path, settings=settings) as connection:
        horizon = connection.execute("select max(as_of_date), max(cutoff_at) from ops.horizon").fetchone()
    if horizon is None or horizon[0] is None:
        raise DatasetError(f"publication {description['id']} has no as-of date")
    return Publication(
        path=path,
        id=description["id"],
        content_hash=description["content_hash"],
        code_revision=description["code_revision"],
        as_of_date=horizon[0],
        known_at=horizon[1],
    )


def read_features(build: Path, use_case: UseCase) -> tuple[Feature, ...]:
    """The features that the use case may use, in the table's order, by the build's dbt manifest.

    Args:
        build: a publication, or an open build, whose manifest still lies in dbt's target directory.
        use_case: names the feature table; a column's `allowed_in` names the use cases.

    Raises:
        DatasetError: the manifest has no such model, or no column of it is allowed.
    """
    open_manifest = build / "target" / "manifest.json"
    manifest = open_manifest if open_manifest.exists() else build / "manifest.json"
    nodes = json.loads(manifest.read_text())["nodes"].values()
    table = next(
        (node for node in nodes if node["resource_type"] == "model" and node["name"] == use_case.features),
        None,
    )
    if table is None:
        raise DatasetError(f"the dbt manifest has no model {use_case.features}")
    features = []
    for column in table["columns"].values():
        meta = column.get("config", {}).get("meta") or column.get("meta") or {}
        if use_case.name in meta.get("allowed_in", ()):
            definition = json.dumps([column["name"], column.get("data_type"), meta], sort_keys=True)
            features.append(
                Feature(
                    name=column["name"],
                    label=meta["label"],
                    unit=meta["unit"],
                    definition=hashlib.sha256(definition.encode()).hexdigest(),
                )
            )
    if not features:
        raise DatasetError(f"no column of {use_case.features} is allowed in {use_case.name}")
    return tuple(features)


def matured_month_ends(
    connection: duckdb.DuckDBPyConnection, settings: Settings, use_case: UseCase
) -> list[tuple[str, date]]:
    """(client, month-end) pairs whose labels are known and whose outcome is covered by data, in order.

    Where a client's feed stopped, paused or came too late to be judged by, everybody would be a leaver.

    Raises:
        DatasetError: a client has no settings.
    """
    ended = connection.execute(
        f"""
        select distinct features.client_id, features.as_of_date
        from features."{use_case.features}" as features
        inner join ops.horizon as horizon using (client_id)
        where features.as_of_date = last_day(features.as_of_date)
            and features.as_of_date + $matures_after::integer <= horizon.as_of_date
        order by features.as_of_date, features.client_id
        """,  # noqa: S608 - the table's name is from the use case and was found in the manifest
        {"matures_after": use_case.label.matures_after},
    ).fetchall()
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
            inner join days
                on days.client_id = dates.client_id
                and days.business_date > dates.as_of_date
                and days.business_date <= dates.as_of_date + $horizon_days::integer
                and days.known_at < dates.judged_at
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
            "horizon_days": use_case.label.horizon_days,
            "max_silent_days": use_case.label.max_silent_days,
        },
    ).fetchall()


def split(month_ends: Sequence[date], use_case: UseCase) -> Split | None:
    """Latest month-ends for the test, and the latest whose labels were known at the first of them.

    Returns:
        None when there are too few.
    """
    ordered = sorted(set(month_ends))
    test = ordered[-use_case.dates.test :]
    if len(test) < use_case.dates.test:
        return None
    gap = timedelta(days=use_case.label.matures_after)
    training = [day for day in ordered if day + gap <= test[0]][-use_case.dates.training :]
    if len(training) < use_case.dates.training:
        return None
    return Split(fit=tuple(training[:-1]), calibration=training[-1], test=tuple(test))


def read_rows(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    use_case: UseCase,
    features: Sequence[Feature],
    pairs: Iterable[tuple[str, date]],
) -> Rows:
    """Labelled rows of these (client, as-of date) pairs.

    Raises:
        DatasetError: the rows were made with different definitions, or a client has no settings.
    """
    register_dates(connection, settings, use_case, pairs)
    names = [feature.name for feature in features]
    columns = ", ".join(f'features."{name}"::float as "{name}"' for name in names)
    table = connection.execute(
        f"""
        select features.client_id, features.customer_id, features.as_of_date, labelled.label,
            {columns}, features._definition_hash
        from features."{use_case.features}" as features
        inner join ({_sql(use_case, "LABEL")}) as labelled using (client_id, customer_id, as_of_date)
        order by features.client_id, features.customer_id, features.as_of_date
        """,  # noqa: S608 - names are columns of the manifest
        {"active_days": use_case.label.active_days, "horizon_days": use_case.label.horizon_days},
    ).to_arrow_table()
    hashes = sorted(set(table["_definition_hash"].to_pylist()), key=str)
    if len(hashes) > 1:
        raise DatasetError(
            f"{use_case.features} mixes rows of {len(hashes)} definitions ({', '.join(map(str, hashes))}); "
            "rebuild the table with a history night"
        )
    return Rows(table.drop_columns(["_definition_hash"]), tuple(names), hashes[0] if hashes else "")


def register_dates(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    use_case: UseCase,
    pairs: Iterable[tuple[str, date]],
) -> None:
    """Make the relation `dates`: cutoffs as the nights fixed them, else by the client's settings.

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

    matures = timedelta(days=use_case.label.matures_after)
    rows = [
        {
            "client_id": client_id,
            "as_of_date": day,
            "cutoff_at": cutoff(client_id, day),
            "judged_at": cutoff(client_id, day + matures),
        }
        for client_id, day in pairs
    ]
    connection.register("dates", pa.Table.from_pylist(rows, schema=DATES))


def population_sql(use_case: UseCase) -> str:
    """SQL of the model's population; reads `dates`, takes `active_days`."""
    return _sql(use_case, "POPULATION")


def _sql(use_case: UseCase, name: str) -> str:
    module: Any = importlib.import_module(f"ml.models.{use_case.name}")
    return str(getattr(module, name))
