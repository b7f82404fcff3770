"""The only reader of the warehouse for training: features and labels of the rows of days.

Features come from the published feature tables, as each as-of date knew them; labels from what was known when
the outcome matured.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.dates import as_of_dates, register_dates
from ml.features import DatasetError, Feature
from ml.sampling import sampled_sql
from ml.scores.config import UseCase
from ml.statements import module_sql, rows_sql
from nightledger import warehouse
from nightledger.settings import Settings

KEY = ("client_id", "entity_id", "as_of_date")
GROUPS = ("age_band", "region", "gender")
"""What fairness is measured by; never features."""


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
class Rows:
    """Rows in key order.

    `table` has KEY, `day`, `customer_id`, `card` (of payments), GROUPS, `scope`, `exposure` (FLOAT, base
    currency; null = unknown), `label` (INTEGER; 1 = the event) where there is one, and the features (FLOAT,
    null = missing) in model order.
    """

    table: pa.Table
    features: tuple[str, ...]
    definition_hash: str
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each text: the values that have a code, which is their place from 1; see `ml.attributes`."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def of(self, days: Iterable[date]) -> "Rows":
        """The rows of these days."""
        wanted = pa.array(sorted(set(days)), pa.date32())
        return self.where(pc.is_in(self.table["day"], value_set=wanted))

    def where(self, mask: Any) -> "Rows":
        """The rows of a mask."""
        return replace(self, table=self.table.filter(mask))

    def matrix(self) -> pa.Table:
        """Only the features."""
        return self.table.select(list(self.features))

    def labels(self) -> NDArray[np.float64]:
        """1.0 = the event."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.float64)

    def exposures(self) -> NDArray[np.float64]:
        """Money that the event would cost, in base currency; unknown is 0."""
        return np.nan_to_num(np.asarray(self.table["exposure"].to_pandas(), dtype=np.float64))

    def customers(self) -> NDArray[np.int64]:
        """A number for each row's customer, for resampling by customer; rows without one stand alone."""
        return _numbers(self._owners())

    def cards(self) -> NDArray[np.int64]:
        """A number for each row's card or account of a customer; of the customer where neither is known."""
        if "card" not in self.table.column_names:
            return self.customers()
        cards = self.table["card"].to_pylist()
        return _numbers((*owner, card or "") for owner, card in zip(self._owners(), cards, strict=True))

    def _owners(self) -> Iterator[tuple[str, ...]]:
        clients = self.table["client_id"].to_pylist()
        owners = self.table["customer_id"].to_pylist()
        entities = self.table["entity_id"].to_pylist()
        return (
            (client, "customer", owner) if owner is not None else (client, "entity", entity)
            for client, owner, entity in zip(clients, owners, entities, strict=True)
        )


def _numbers(keys: Iterable[tuple[str, ...]]) -> NDArray[np.int64]:
    """A number for each different key, in the order in which they come."""
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


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


def read_rows(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    use_case: UseCase,
    features: Sequence[Feature],
    pairs: Iterable[tuple[str, date]],
    judged_at: datetime | None = None,
    most: int | None = None,
) -> Rows:
    """Rows of these (client, day) pairs, labelled where the use case has labels.

    Args:
        connection: on a publication.
        settings: of the installation.
        use_case: the model.
        features: its columns; texts stay texts until they have codes.
        pairs: which days of which clients.
        judged_at: when outcomes are looked at (UTC); default: at the cutoff of the day on which they mature.
        most: take a sample of so many rows at most, in which clients and outcomes keep their shares.

    Raises:
        DatasetError: the rows were made with different definitions, or a client has no settings.
    """
    wanted = list(pairs)
    if use_case.dates.every == "day":
        first = min((day for _, day in wanted), default=date.max)
        as_of = [pair for pair in as_of_dates(connection, use_case) if pair[1] >= first]
    else:
        as_of = wanted
    register_dates(connection, settings, use_case, as_of, judged_at)
    connection.register(
        "wanted",
        pa.table(
            {"client_id": [c for c, _ in wanted], "day": [d for _, d in wanted]},
            schema=pa.schema([("client_id", pa.string()), ("day", pa.date32())]),
        ),
    )
    statement = module_sql(use_case, "LABEL" if use_case.label else "POPULATION")
    population = f"select * from ({statement}) semi join wanted using (client_id, day)"  # noqa: S608
    if most is not None:
        population = sampled_sql(population, ["client_id", *(["label"] if use_case.label else [])], KEY, most)
    statement, values = rows_sql(connection, use_case, features, population)
    table = connection.execute(statement, values).to_arrow_table()
    # A row that only some of the tables have says nothing of how the others were made.
    of_rows = [found.split(" ") for found in pc.unique(table["_definition_hash"]).to_pylist()]
    of_tables = [sorted({*hashes} - {""}) for hashes in zip(*of_rows, strict=True)]
    for name, hashes in zip(use_case.features, of_tables, strict=False):
        if len(hashes) > 1:
            raise DatasetError(
                f"{name} mixes rows of {len(hashes)} definitions ({', '.join(hashes)}); rebuild the table "
                "with a history night"
            )
    names = tuple(feature.name for feature in features)
    definition = " ".join(one for hashes in of_tables for one in hashes)
    return Rows(table.drop_columns(["_definition_hash"]), names, definition)
