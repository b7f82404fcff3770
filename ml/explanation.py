"""Why a score is what it is: which features pushed it, in words, and what it would be without each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml import adverse_action, reasons
from ml.adverse_action import Catalogue
from ml.boosted import BoostedTrees
from ml.config import UseCase
from ml.features import Feature
from ml.model import Model

Matrix = NDArray[np.float32]
LEAST_PEERS = 20
"""With fewer rows of its client and vertical, a row is compared with all of its client."""


@dataclass(frozen=True)
class Told:
    """Scores of a batch, and why.

    `row`, `rank`, `feature`, `contribution`, `code`, `text`, `typical` and `without` have one entry a reason,
    in the order of the rows and of their ranks; `row` is the place in the batch, `feature` that in the
    model's list.
    """

    scores: Matrix
    margins: NDArray[np.float64]
    bands: list[str]
    matrix: Matrix
    names: tuple[str, ...]
    row: NDArray[np.int64]
    rank: NDArray[np.int64]
    feature: NDArray[np.int64]
    contribution: Matrix
    code: list[str]
    text: list[str]
    typical: Matrix
    """What the feature is moved to: the median of the row's peers."""
    without: Matrix
    """The score after that; nan where no what-if is asked."""

    def reasons(self, common: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of `reasons`; `common` holds those that every row of the batch has."""
        return {
            **self._common(common),
            "rank": pa.array(self.rank, pa.int32()),
            "feature": [self.names[at] for at in self.feature],
            "reason_code": self.code,
            "value": pa.array(self.matrix[self.row, self.feature], pa.float32(), from_pandas=True),
            "contribution": self.contribution,
            "text": self.text,
        }

    def what_ifs(self, common: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of `what_if`: the score after the feature of each reason is moved to its peers' median."""
        return {
            **self._common(common),
            "rank": pa.array(self.rank, pa.int32()),
            "feature": [self.names[at] for at in self.feature],
            "value": pa.array(self.matrix[self.row, self.feature], pa.float32(), from_pandas=True),
            "typical": pa.array(self.typical, pa.float32(), from_pandas=True),
            "score": self.scores[self.row],
            "score_without": pa.array(self.without, pa.float32(), from_pandas=True),
        }

    def _common(self, common: Mapping[str, Any]) -> dict[str, Any]:
        place = pa.array(self.row)
        return {
            name: pa.array(column).take(place) if isinstance(column, list) else column.take(place)
            for name, column in common.items()
        }


@dataclass(frozen=True)
class _Given:
    """Reasons of rows, one entry each; ranks from 0."""

    row: NDArray[np.int64]
    rank: NDArray[np.int64]
    feature: NDArray[np.int64]
    contribution: Matrix
    code: list[str]
    text: list[str]


class Explainer:
    """Scores batches of rows with one model and says why."""

    def __init__(
        self,
        use_case: UseCase,
        features: Sequence[Feature],
        model: Model,
        peers: Mapping[tuple[str, str | None], Matrix],
        catalogue: Catalogue | None = None,
    ) -> None:
        self._use_case = use_case
        self._model = model
        self._features = tuple(features)
        self._peers = peers
        self._catalogue = catalogue
        self._reference = np.array(
            [model.reference.get(name, 0.0) for name in model.features], dtype=np.float32
        )
        self._bands, self._thresholds = list(use_case.bands), list(use_case.bands.values())

    def __call__(self, table: pa.Table, matrix: Matrix, threads: int) -> Told:
        """Score the rows of a batch.

        Args:
            table: the features by name, `client_id`, `vertical`.
            matrix: the same features, rows × features in the model's order; missing is nan.
            threads: do not change the result.

        Raises:
            ArithmeticError: contributions do not add up to the margin.
        """
        model, wanted = self._model, self._use_case.reasons
        everything = wanted.from_band is None
        contributions = np.zeros((0, len(model.features)), dtype=np.float32)
        if everything and isinstance(model.estimator, BoostedTrees):
            contributions, margins = model.estimator.contributions(table, threads)
        else:
            margins = model.margins(table, threads)
        scores = model.probabilities(margins).astype(np.float32)
        bands = np.searchsorted(self._thresholds, scores, side="right") - 1
        rows = np.arange(len(scores))
        if not everything:
            rows = np.flatnonzero(bands >= self._bands.index(wanted.from_band or ""))
            if isinstance(model.estimator, BoostedTrees) and len(rows):
                contributions = model.estimator.contributions(table.take(pa.array(rows)), threads)[0]
        given = self._given(contributions, matrix[rows])
        row = rows[given.row]
        typical = (
            self._typical(table, row)[np.arange(len(row)), given.feature]
            if len(row)
            else np.zeros(0, np.float32)
        )
        return Told(
            scores=scores,
            margins=margins,
            bands=[self._bands[at] for at in bands],
            matrix=matrix,
            names=model.features,
            row=row,
            rank=given.rank + 1,
            feature=given.feature,
            contribution=given.contribution,
            code=given.code,
            text=given.text,
            typical=typical,
            without=self._without(matrix, row, given.feature, typical, threads),
        )

    def _given(self, contributions: Matrix, matrix: Matrix) -> "_Given":
        """The reasons of rows, by their contributions (rows × features)."""
        wanted, model = self._use_case.reasons, self._model
        if self._catalogue is not None:
            told = adverse_action.reasons(
                contributions, model.features, model.reference, self._catalogue, wanted.top
            )
            flat = [(row, rank, reason) for row, of in enumerate(told) for rank, reason in enumerate(of)]
            places = {name: at for at, name in enumerate(model.features)}
            return _Given(
                row=np.array([row for row, _, _ in flat], dtype=np.int64),
                rank=np.array([rank for _, rank, _ in flat], dtype=np.int64),
                feature=np.array([places[reason.feature] for _, _, reason in flat], dtype=np.int64),
                contribution=np.array([reason.weight for _, _, reason in flat], dtype=np.float32),
                code=[reason.code for _, _, reason in flat],
                text=[reason.sentence for _, _, reason in flat],
            )
        pushes = contributions - self._reference
        row, rank, feature = self._top(pushes, wanted.top)
        words = [
            reasons.words(self._use_case, self._features[at], float(value), model.medians[model.features[at]])
            for at, value in zip(feature, matrix[row, feature], strict=True)
        ]
        return _Given(
            row=row,
            rank=rank,
            feature=feature,
            contribution=pushes[row, feature],
            code=[code for code, _ in words],
            text=[text for _, text in words],
        )

    @staticmethod
    def _top(pushes: Matrix, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(row, rank from 0, feature) of the largest positive contributions of each row."""
        order = np.argsort(-pushes, axis=1, kind="stable")[:, :most]
        row, rank = np.nonzero(np.take_along_axis(pushes, order, axis=1) > 0)
        return row, rank, order[row, rank]

    def _typical(self, table: pa.Table, rows: NDArray[np.int64]) -> Matrix:
        """Medians of the peers of these rows, rows × features."""
        chosen = table.select(["client_id", "vertical"]).take(pa.array(rows)).to_pydict()
        keys = list(zip(chosen["client_id"], chosen["vertical"], strict=True))
        return np.stack([self._peers.get(key, self._peers[key[0], None]) for key in keys])

    def _without(
        self,
        matrix: Matrix,
        row: NDArray[np.int64],
        feature: NDArray[np.int64],
        typical: Matrix,
        threads: int,
    ) -> Matrix:
        """Score of each reason's row after its feature was moved to the typical value."""
        if not len(row):
            return np.zeros(0, np.float32)
        moved = matrix[row]
        moved[np.arange(len(row)), feature] = typical
        table = pa.table(
            {name: pa.array(moved[:, at], from_pandas=True) for at, name in enumerate(self._model.features)}
        )
        return self._model.scores(table, threads).astype(np.float32)


def of(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, features: Sequence[Feature], model: Model
) -> Explainer:
    """The explainer of the rows in the temporary table `_rows`."""
    medians = ", ".join(f'median("{name}") as "{name}"' for name in model.features)
    found = connection.execute(
        f"""
        select client_id, vertical, grouping(vertical) as is_whole, count(*) as peers, {medians}
        from _rows group by grouping sets ((client_id, vertical), (client_id))
        """  # noqa: S608 - names were compared with the manifest
    ).fetchall()
    peers: dict[tuple[str, str | None], Matrix] = {}
    for client, vertical, is_whole, n, *middle in found:
        values = np.array([np.nan if value is None else value for value in middle], dtype=np.float32)
        if is_whole:
            peers[client, None] = values
        elif vertical is not None and n >= LEAST_PEERS:
            peers[client, vertical] = values
    catalogue = Catalogue.from_build(connection) if use_case.reasons.catalogue else None
    return Explainer(use_case, features, model, peers, catalogue)
