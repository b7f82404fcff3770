"""What a report compares: two tables of numbers without a name or an identifier, and what they are."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import duckdb
import pandas as pd

from ml.config import Described
from ml.datasets import Publication
from ml.partitions import Pin
from ml.registry import Registry
from nightledger.settings import Settings

MOST_ROWS = 50_000
"""Rows of a report, those that it is compared with among them."""
LEAST_ROWS = 20
"""With fewer rows on a side, a comparison says nothing."""

Kind = Literal["data", "output", "classification", "ranking", "regression"]
TITLES: dict[str, str] = {
    "data": "Data drift and quality",
    "output": "Drift of what it says",
    "classification": "Performance: classification",
    "ranking": "Performance: ranking",
    "regression": "Performance: regression",
}


@dataclass(frozen=True)
class Comparison:
    """One report.

    Attributes:
        kind: which.
        current: the rows that the report is about. Columns of `classification`: label (0 or 1), score; of
            `ranking`: list, row, label, score; of `regression`: actual, predicted, and groups.
        reference: the rows that they are compared with, of the same columns.
        told: what both are, in words.
        categories: columns that are no numbers.
        cut: of `classification`, the score from which a row counts as foretold.
        length: of `ranking`, how many rows of a list are looked at.
    """

    kind: Kind
    current: pd.DataFrame
    reference: pd.DataFrame
    told: str
    categories: tuple[str, ...] = ()
    cut: float = 0.5
    length: int = 0

    @property
    def empty(self) -> tuple[str, ...]:
        """Columns without a single value on a side."""
        sides = (self.current, self.reference)
        return tuple(
            name for name in self.current.columns if any(not bool(side[name].notna().any()) for side in sides)
        )

    @property
    def too_few(self) -> str:
        """Why the rows say nothing; empty when they do."""
        sizes = {"compared": len(self.current), "to compare with": len(self.reference)}
        short = [f"{size} rows {which}" for which, size in sizes.items() if size < LEAST_ROWS]
        if short:
            return f"Too few rows: {' and '.join(short)}; {LEAST_ROWS} are needed."
        return "No column has a value on both sides." if len(self.empty) == self.current.shape[1] else ""


@dataclass(frozen=True)
class Absent:
    """A report that there is not, and why."""

    kind: Kind
    why: str


@dataclass(frozen=True)
class Subject:
    """A champion and where its rows are found."""

    settings: Settings
    connection: duckdb.DuckDBPyConnection
    """On the publication."""
    publication: Publication
    registry: Registry
    pin: Pin
    """The champion and the last date that it worked on that night."""
    described: Described
    versions_first: date
    """First date that the version worked on."""
    most: int = MOST_ROWS

    @property
    def half(self) -> int:
        """Rows of a side at most."""
        return self.most // 2

    def lake(self, kind: str) -> str | None:
        """`read_parquet(…)` of what the pin wrote that night; None: nothing."""
        path = self.settings.archive / self.publication.id
        path = path / kind / f"model={self.pin.model}" / f"version={self.pin.version}"
        file = path / f"as_of={self.pin.as_of_date}" / "part.parquet"
        if not file.exists():
            return None
        return "read_parquet('{}', hive_partitioning = false)".format(str(file).replace("'", "''"))

    def heldout(self) -> str:
        """`read_parquet(…)` of the version's predictions of rows that it was not fitted on."""
        file = self.registry.predictions(self.pin.model, self.pin.version)
        return "read_parquet('{}', hive_partitioning = false)".format(str(file).replace("'", "''"))
