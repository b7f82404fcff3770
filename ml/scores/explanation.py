"""Why a score is what it is: which features pushed it, in words, and what it would be without each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.features import Feature
from ml.scores import adverse_action, deviations, reasons
from ml.scores.adverse_action import Catalogue
from ml.scores.boosted import BoostedTrees
from ml.scores.config import UseCase
from ml.scores.deviations import LEAST_PEERS, Deviations
from ml.scores.matrix import Matrix
from ml.scores.model import Model
from ml.scores.reasons import Causes

Why = Callable[[pa.Table, Matrix, int], Causes]
"""Causes of the rows of a table and matrix, with so many threads."""


MOST_PEERS = 200_000
"""Medians of more rows than about so many are taken over a fixed part of them, by the hash of their ids."""


@dataclass(frozen=True)
class Told:
    """Scores of a batch, and why.

    `row`, `rank`, `feature`, `contribution`, `code`, `text`, `typical` and `without` have one entry a reason,
    in the order of the rows and of their ranks; `row` is the place in the batch, `feature` that in the
    model's list.
    """

    scores: Matrix
    margins: NDArray[np.float64]
    bands: NDArray[np.object_]
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
            "feature": self._features(),
            "reason_code": self.code,
            "value": self._values(),
            "contribution": self.contribution,
            "text": self.text,
        }

    def what_ifs(self, common: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of `what_if`: the score after the feature of each reason is moved to its peers' median."""
        return {
            **self._common(common),
            "rank": pa.array(self.rank, pa.int32()),
            "feature": self._features(),
            "value": self._values(),
            "typical": pa.array(self.typical, pa.float32(), from_pandas=True),
            "score": self.scores[self.row],
            "score_without": pa.array(self.without, pa.float32(), from_pandas=True),
        }

    def _common(self, common: Mapping[str, Any]) -> dict[str, Any]:
        place = pa.array(self.row)
        return {name: column.take(place) for name, column in common.items()}

    def _features(self) -> pa.Array:
        return pa.array(self.names, pa.string()).take(pa.array(self.feature))

    def _values(self) -> pa.Array:
        return pa.array(self.matrix[self.row, self.feature], pa.float32(), from_pandas=True)


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
        peers: Mapping[tuple[str, str | None], Matrix] | None,
        catalogue: Catalogue | None = None,
        why: Why | None = None,
        group: str = "vertical",
        alert_costs: Mapping[str, float] | None = None,
    ) -> None:
        """With a model and the words for it.

        Args:
            use_case: bands and words.
            features: in the model's order.
            model: scores.
            peers: medians by client and group; None: no what-ifs are asked.
            catalogue: where the use case has one.
            why: says what speaks for scores; default: contributions of boosted trees, nothing for a forest
                without anything to compare with.
            group: the column that says who are peers.
            alert_costs: by client, from which expected loss on a row is explained whatever its band.
        """
        self._use_case = use_case
        self._alert_costs = alert_costs or {}
        self._model = model
        self._features = tuple(features)
        self._peers = peers
        self.catalogue = catalogue
        self._why = why or _why(use_case, self._features, model)
        self.group = group
        self._reference = np.array(
            [model.reference.get(name, 0.0) for name in model.features], dtype=np.float32
        )
        self._bands = np.array(list(use_case.bands), dtype=object)
        self._thresholds = list(use_case.bands.values())

    def __call__(self, table: pa.Table, matrix: Matrix, threads: int) -> Told:
        """Score the rows of a batch.

        Args:
            table: the features by name; for what-ifs also `client_id` and the group.
            matrix: the same features, rows × features in the model's order; missing is nan.
            threads: do not change the result.

        Raises:
            ArithmeticError: contributions do not add up to the margin.
        """
        model, wanted = self._model, self._use_case.reasons
        rows = np.arange(table.num_rows)
        causes = None
        if wanted.top and wanted.from_band is None:
            causes = self._why(table, matrix, threads)
        margins = causes.margins if causes else model.margins(matrix, threads)
        scores = model.probabilities(margins).astype(np.float32)
        bands = self._bands_of(table, scores)
        if causes is None:
            least = list(self._use_case.bands).index(wanted.from_band) if wanted.from_band else 0
            rows = np.flatnonzero(
                ((bands >= least) | self._is_worth_an_alert(table, scores)) & (wanted.top > 0)
            )
            causes = self._why(table.take(pa.array(rows)), matrix[rows], threads)
        given = self._given(causes, matrix[rows])
        row = rows[given.row]
        typical = np.full(len(row), np.nan, np.float32)
        if self._peers is not None and len(row):
            typical = self._typical(table, row, given.feature, self._peers)
        return Told(
            scores=scores,
            margins=margins,
            bands=self._bands[bands],
            matrix=matrix,
            names=model.features,
            row=row,
            rank=given.rank + 1,
            feature=given.feature,
            contribution=given.contribution,
            code=given.code,
            text=given.text,
            typical=typical,
            without=np.full(len(row), np.nan, np.float32)
            if self._peers is None or not len(row)
            else self._without(matrix, row, given.feature, typical, threads),
        )

    def _is_worth_an_alert(self, table: pa.Table, scores: Matrix) -> NDArray[np.bool_]:
        """Rows whose expected loss exceeds what an alert costs the client: people will look at them."""
        found = np.zeros(table.num_rows, dtype=bool)
        if self._alert_costs:
            exposure = np.nan_to_num(np.asarray(table["exposure"].to_pandas(), dtype=np.float64))
            for client, cost in self._alert_costs.items():
                of = pc.equal(table["client_id"], client).to_numpy()
                found |= of & (scores.astype(np.float64) * exposure > cost)
        return found

    def usual(self, table: pa.Table, told: Told) -> dict[str, Any] | None:
        """What rows with reasons were compared with, as `deviations.USUAL` says; None: with nothing."""
        if not isinstance(self._why, Deviations):
            return None
        return self._why.usual(table.take(pa.array(np.unique(told.row))))

    def _bands_of(self, table: pa.Table, scores: Matrix) -> NDArray[np.int64]:
        """Place of each row's band, by the thresholds of its client."""
        bands = np.searchsorted(self._thresholds, scores, side="right") - 1
        if self._use_case.client_bands and "client_id" in table.column_names:
            for client, own in self._use_case.client_bands.items():
                of = pc.equal(table["client_id"], client).to_numpy()
                bands[of] = np.searchsorted(list(own.values()), scores[of], side="right") - 1
        return np.asarray(bands, dtype=np.int64)

    def _given(self, causes: Causes, matrix: Matrix) -> "_Given":
        """The reasons of rows, whose values the matrix holds."""
        wanted, model = self._use_case.reasons, self._model
        if self.catalogue is not None:
            told = adverse_action.reasons(
                causes.contributions, model.features, model.reference, self.catalogue, wanted.top
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
        pushes = causes.contributions - self._reference
        if not wanted.of_missing:
            pushes = np.where(np.isnan(matrix), 0, pushes)
        row, rank, feature = self._top(np.abs(pushes) if causes.is_two_sided else pushes, wanted.top)
        words = [causes.words(*place) for place in zip(row.tolist(), feature.tolist(), strict=True)]
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
        """(row, rank from 0, feature) of the strongest of each row; only above 0."""
        order = np.argsort(-pushes, axis=1, kind="stable")[:, :most]
        row, rank = np.nonzero(np.take_along_axis(pushes, order, axis=1) > 0)
        return row, rank, order[row, rank]

    def _typical(
        self,
        table: pa.Table,
        rows: NDArray[np.int64],
        features: NDArray[np.int64],
        peers: Mapping[tuple[str, str | None], Matrix],
    ) -> Matrix:
        """Median of a feature among the peers of a row, for each pair of the two."""
        clients, groups = (table[name].combine_chunks() for name in ("client_id", self.group))
        whose = clients.dictionary_encode(), groups.dictionary_encode("encode")
        codes = [np.asarray(of.indices, dtype=np.int64) for of in whose]
        names = [of.dictionary.to_pylist() for of in whose]
        together, place = np.unique(codes[0] * len(names[1]) + codes[1], return_inverse=True)
        keys = [(names[0][both // len(names[1])], names[1][both % len(names[1])]) for both in together]
        medians = np.stack([peers.get(key, peers[key[0], None]) for key in keys])
        return np.asarray(medians[place[rows], features])

    def _without(
        self,
        matrix: Matrix,
        row: NDArray[np.int64],
        feature: NDArray[np.int64],
        typical: Matrix,
        threads: int,
    ) -> Matrix:
        """Score of each reason's row after its feature was moved to the typical value."""
        moved = matrix[row]
        moved[np.arange(len(row)), feature] = typical
        return self._model.scores(moved, threads).astype(np.float32)


def _why(use_case: UseCase, features: Sequence[Feature], model: Model) -> Why:
    """What an estimator says by itself."""
    trees = model.estimator
    if not isinstance(trees, BoostedTrees):
        return Deviations(use_case, features, model, {}, {}, "vertical")

    sentences = [reasons.sentences(use_case, feature, model.medians[feature.name]) for feature in features]

    def contributions(table: pa.Table, matrix: Matrix, threads: int) -> Causes:
        del table
        parts, margins = (
            trees.contributions(matrix, threads)
            if len(matrix)
            else (np.zeros((0, len(features)), np.float32), np.zeros(0))
        )
        return Causes(parts, margins, lambda row, feature: sentences[feature](float(matrix[row, feature])))

    return contributions


def of(
    connection: duckdb.DuckDBPyConnection, use_case: UseCase, features: Sequence[Feature], model: Model
) -> Explainer:
    """The explainer of the rows in the temporary relation `_rows`.

    Peers are the rows of a client that share `peers`, where the use case's `POPULATION` or segments
    give it, else those of a vertical. Nobody is compared with anybody where no reasons are asked.
    """
    columns = [column for column, *_ in connection.execute("describe _rows").fetchall()]
    group = "peers" if "peers" in columns else "vertical"
    catalogue = Catalogue.from_build(connection) if use_case.reasons.catalogue else None
    if not use_case.reasons.top:
        return Explainer(use_case, features, model, None, catalogue, group=group)
    (rows,) = connection.execute("select count(*) from _rows").fetchone() or (0,)
    medians = ", ".join(f'median("{name}") as "{name}"' for name in model.features)
    found = connection.execute(
        f"""
        select client_id, "{group}", grouping("{group}") as is_whole, count(*) as n, {medians}
        from _rows where hash(entity_id) % $step = 0
        group by grouping sets ((client_id, "{group}"), (client_id))
        """,  # noqa: S608 - names were compared with the manifest
        {"step": max(1, rows // MOST_PEERS)},
    ).fetchall()
    peers: dict[tuple[str, str | None], Matrix] = {}
    for client, name, is_whole, n, *middle in found:
        values = np.array([np.nan if value is None else value for value in middle], dtype=np.float32)
        if is_whole:
            peers[client, None] = values
        elif name is not None and n >= LEAST_PEERS:
            peers[client, name] = values
    why = (
        None
        if isinstance(model.estimator, BoostedTrees)
        else deviations.of(connection, use_case, features, model, group)
    )
    return Explainer(
        use_case, features, model, peers, catalogue, why, group, _alert_costs(connection, use_case)
    )


def _alert_costs(connection: duckdb.DuckDBPyConnection, use_case: UseCase) -> dict[str, float]:
    """What an alert costs each client; nothing where a row's loss is not told."""
    if use_case.evaluation is None or use_case.evaluation.loss_share is None:
        return {}
    rows = connection.execute("select client_id, alert_cost from ops.clients where alert_cost is not null")
    return {client: float(cost) for client, cost in rows.fetchall()}
