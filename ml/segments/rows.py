"""The customers that are segmented: those active at an as-of date, with the features that it knew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.features import DatasetError
from ml.segments.config import Segments
from ml.segments.scaling import Matrix

ACTIVE = "transactions_90d > 0"
"""Active at D (docs/metric-decisions.md): a customer-initiated transaction in D-89 .. D, as D knew it."""


@dataclass(frozen=True)
class Rows:
    """Rows in the order of customers and dates."""

    table: pa.Table
    """client_id, customer_id, as_of_date and the columns of the model (FLOAT, null = missing)."""
    columns: tuple[str, ...]
    definition_hash: str

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def raw(self) -> Matrix:
        """Rows × columns; nan = missing."""
        return matrix(self.table, self.columns)

    @property
    def customers(self) -> NDArray[np.int64]:
        """A number for each row's customer, from 0 in their order."""
        return np.asarray(
            self.table["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64
        )

    def of(self, days: Sequence[date]) -> "Rows":
        """The rows of these dates."""
        wanted = pa.array(sorted(set(days)), pa.date32())
        table = self.table.filter(pc.is_in(self.table["as_of_date"], value_set=wanted))
        return Rows(table, self.columns, self.definition_hash)


def month_ends(connection: duckdb.DuckDBPyConnection, described: Segments, client_id: str) -> list[date]:
    """Month-ends that a client has features of, in order."""
    found = connection.execute(
        f'select distinct as_of_date from features."{described.features[0]}"'  # noqa: S608 - from the YAML
        " where client_id = ? and as_of_date = last_day(as_of_date) order by 1",
        [client_id],
    ).fetchall()
    return [day for (day,) in found]


def read(
    connection: duckdb.DuckDBPyConnection,
    described: Segments,
    client_id: str,
    days: Sequence[date],
    also: Sequence[str] = (),
) -> Rows:
    """Rows of the active customers of these dates, of at most `clusters.most_customers` of them.

    Args:
        connection: on a publication.
        described: the model.
        client_id: whose customers.
        days: as-of dates.
        also: columns that are read beside the model's own.

    Raises:
        DatasetError: the rows were made with several definitions.
    """
    others = sorted(set(also) - set(described.columns))
    chosen, values = statement(
        described.features[0], described.columns, described.scaling.kind, client_id, days, others
    )
    # Hashes say who is in the sample: the same customers on every date and in every training.
    table = connection.execute(
        f"""
        with chosen as ({chosen})
        select * from chosen
        where customer_id in (
            select customer_id from chosen group by customer_id
            order by md5(customer_id), customer_id limit $most
        )
        order by customer_id, as_of_date
        """,  # noqa: S608 - names are the YAML's, compared with the manifest
        values | {"most": described.clusters.most_customers},
    ).to_arrow_table()
    hashes = sorted(set(table["_definition_hash"].to_pylist()), key=str)
    if len(hashes) > 1:
        raise DatasetError(
            f"{described.features[0]} mixes rows of {len(hashes)} definitions "
            f"({', '.join(map(str, hashes))}); rebuild the table with a history night"
        )
    return Rows(table.drop_columns(["_definition_hash"]), described.columns, hashes[0] if hashes else "")


def statement(
    feature_table: str,
    columns: Sequence[str],
    kind: str,
    client_id: str,
    days: Sequence[date],
    others: Sequence[str] = (),
) -> tuple[str, dict[str, Any]]:
    """SQL of the rows that belong into segments, in the order of customers and dates, and its parameters.

    Who spent nothing has no mix of spend, and is in no segment of it.

    Args:
        feature_table: of the schema `features`.
        columns: features.
        kind: of the scaling: quantile or log_ratio.
        client_id: whose customers.
        days: as-of dates.
        others: columns that say nothing about who belongs.
    """
    names = ", ".join(f'"{column}"' for column in (*columns, *others))
    condition = ACTIVE
    if kind == "log_ratio":
        condition += " and (" + " or ".join(f'"{column}" > 0' for column in columns) + ")"
    return (
        f"select client_id, customer_id, as_of_date, {names}, _definition_hash"  # noqa: S608 - compared with the manifest
        f' from features."{feature_table}"'
        f" where client_id = $client_id and as_of_date in $days and {condition}"
        " order by customer_id, as_of_date",
        {"client_id": client_id, "days": sorted(set(days))},
    )


def matrix(table: pa.Table, columns: Sequence[str]) -> Matrix:
    """Columns of a table, rows × columns; nan = missing."""
    return np.column_stack([np.asarray(table[name].to_pandas(), dtype=np.float64) for name in columns])
