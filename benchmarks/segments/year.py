"""Five quarterly fits over a year, each carrying the names of the one before, and the months in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np

from ml.families import TooLittle
from ml.features import Feature
from ml.segments import choice, fitting, past, scaling
from ml.segments.config import Segments
from ml.segments.fitting import Fitted
from ml.segments.model import NEW, Segmentation
from ml.segments.past import QUARTER
from ml.segments.rows import Rows, month_ends, read

QUARTERS = 5


@dataclass(frozen=True)
class Refit:
    """One fit and how it compares with the one before, on the rows of its own last month-end."""

    day: date
    fitted: Fitted
    same_name: float
    same_number: float
    """The share that would be the same if clusters were numbered as they come; nan of the first."""
    agreement: float


def refits(
    connection: duckdb.DuckDBPyConnection, described: Segments, features: Sequence[Feature], client: str
) -> list[Refit]:
    """Fit at the end of each of the last quarters, with what was known then; the first where that succeeds.

    Raises:
        ml.families.TooLittle: a later fit was refused, or the last one.
    """
    days = month_ends(connection, described, client)
    found: list[Refit] = []
    for day in days[-1 - QUARTER * (QUARTERS - 1) :: QUARTER]:
        before = found[-1].fitted.segmentation if found else None
        try:
            fitted = past.fit_at(connection, described, features, client, day, before)
        except TooLittle:
            if found or day == days[-1]:
                raise
            continue  # the history begins within the year
        found.append(_compared(day, fitted, before, read(connection, described, client, [day])))
    return found


def _compared(day: date, fitted: Fitted, before: Segmentation | None, rows: Rows) -> Refit:
    if before is None:
        return Refit(day, fitted, float("nan"), float("nan"), float("nan"))
    own = fitted.segmentation
    (now, _), (was, _) = own.assign(rows.raw), before.assign(rows.raw)
    return Refit(
        day,
        fitted,
        fitting.same_name(own, now, before, was),
        float((now == was).mean()),
        choice.agreement(now, was),
    )


def stayed(
    connection: duckdb.DuckDBPyConnection, found: Sequence[Refit], described: Segments, client: str
) -> float:
    """Share of customers who have the name of a month before, over all month-ends of the year."""
    days = [day for day in month_ends(connection, described, client) if day >= found[0].day]
    same = both = 0
    was: dict[str, int] = {}
    for day in days:
        own = [one for one in found if one.day <= day][-1].fitted.segmentation
        rows = read(connection, described, client, [day])
        ids = np.array([segment.id for segment in own.segments])[own.assign(rows.raw)[0]]
        now = dict(zip(rows.table["customer_id"].to_pylist(), ids.tolist(), strict=True))
        common = now.keys() & was.keys()
        both += len(common)
        same += sum(now[one] == was[one] for one in common)
        was = now
    return same / both


def lines(found: Sequence[Refit], stay: float) -> list[str]:
    """The part of the page about one model."""
    rows: list[tuple[Any, ...]] = [
        (
            "fitted as of",
            "segments",
            "kept",
            "new",
            "retired",
            "same name",
            "same number",
            "agreement (ARI)",
            "stability",
        )
    ]
    for one in found:
        own, chosen = one.fitted.segmentation, one.fitted.chosen
        new = sum(segment.state == NEW for segment in own.segments)
        rows.append(
            (
                one.day,
                chosen.k,
                chosen.k - new,
                new,
                len(own.retired),
                *(
                    "–" if np.isnan(value) else f"{value:.3f}"
                    for value in (one.same_name, one.same_number, one.agreement)
                ),
                f"{chosen.mean_agreement:.3f} ({chosen.least_agreement:.3f})",
            )
        )
    last = found[-1].fitted.segmentation
    return [
        *_table(rows),
        "",
        f"From month-end to month-end, refits included, {stay:.1%} of the customers kept their name.",
        "",
        *_table(
            [
                ("id", "name", "since", "share"),
                *(
                    (segment.id, segment.name, segment.since, f"{last.shares[at]:.1%}")
                    for at, segment in enumerate(last.segments)
                ),
                *((segment.id, segment.name, segment.since, "retired") for segment in last.retired),
            ]
        ),
    ]


def _table(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    head, *others = rows
    return ["| " + " | ".join(map(str, line)) + " |" for line in (head, ["---"] * len(head), *others)]


def scaled_rows(connection: duckdb.DuckDBPyConnection, described: Segments, client: str, most: int) -> Any:
    """Scaled rows of the last year and their customers, of so many rows at most."""
    days = month_ends(connection, described, client)[-described.dates.training :]
    rows = read(connection, described, client, days)
    own = scaling.fit(described.scaling, rows.raw, described.seed)
    kept = rows.customers < np.searchsorted(np.cumsum(np.bincount(rows.customers)), most)
    return own(rows.raw)[kept], rows.customers[kept]
