"""Segments of dates on which no version assigned anybody yet.

A version is fitted at the end of each quarter on what was known then, carries over the names of the one
before, and assigns the customers of the dates after it, as nights would have done.
"""

from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa

from ml.families import TooLittle
from ml.features import Feature
from ml.segments import fitting
from ml.segments.config import Segments
from ml.segments.fitting import Fitted
from ml.segments.model import Segmentation
from ml.segments.rows import matrix, month_ends, read, statement

QUARTER = 3
"""Month-ends."""


def fit_at(
    connection: duckdb.DuckDBPyConnection,
    described: Segments,
    features: Sequence[Feature],
    client: str,
    day: date,
    before: Segmentation | None,
) -> Fitted:
    """What a training at a month-end would have found.

    Args:
        connection: on a publication.
        described: the model.
        features: that it may use.
        client: whose customers.
        day: the month-end, which is the last one that is fitted.
        before: whose names are carried over; None: names begin here.

    Raises:
        ml.families.TooLittle: too few customers, or no number of segments keeps the rules.
    """
    days = [one for one in month_ends(connection, described, client) if one <= day]
    rows = read(connection, described, client, days[-described.dates.training :])
    predecessor = before.as_of.isoformat() if before else ""
    return fitting.fit(described, features, rows, day, before, predecessor)


def of_quarters(
    connection: duckdb.DuckDBPyConnection,
    described: Segments,
    features: Sequence[Feature],
    client: str,
    last: date,
) -> list[Segmentation]:
    """A version for the end of each quarter, counted back from the latest month-end up to `last`.

    A quarter in which no number of segments keeps the rules has none: the version before goes on.
    """
    days = [day for day in month_ends(connection, described, client) if day <= last]
    found: list[Segmentation] = []
    for day in sorted(days[::-QUARTER]):
        before = found[-1] if found else None
        try:
            found.append(fit_at(connection, described, features, client, day, before).segmentation)
        except TooLittle:
            continue
    return found


def assigned_at(
    connection: duckdb.DuckDBPyConnection,
    described: Segments,
    versions: Sequence[Segmentation],
    client: str,
    day: date,
) -> pa.Table | None:
    """Who was where on a date, by the latest version that was fitted before it; None: there was none.

    Args:
        connection: on a build or publication.
        described: the model.
        versions: by the day on which they were fitted.
        client: whose customers.
        day: as-of date.

    Returns:
        See `Segmentation.assigned`.
    """
    earlier = [one for one in versions if one.as_of < day]
    if not earlier:
        return None
    own = earlier[-1]
    chosen, values = statement(described.features[0], own.scaling.columns, own.scaling.kind, client, [day])
    table = connection.execute(chosen, values).to_arrow_table()
    return own.assigned(table, matrix(table, own.scaling.columns))
