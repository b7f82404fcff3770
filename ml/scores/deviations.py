"""Why rows are unusual: how far their features lie from the entity's own past and from its peers.

An isolation forest has no contributions that a person could read. What is told instead is a robust z-score of
each feature, (value - median) / (1.4826 * MAD) (Iglewicz and Hoaglin 1993, "How to detect and handle
outliers"), against two groups; the greater of the two, either way round, is the feature's:

- the own past: the rows that the module's `PAST` names, all from before the row, at least `LEAST_PAST` of
  them with a value;
- the peers: tonight's rows of the same client and group (`peers` of the `POPULATION`, else the vertical); all
  of the client where there are fewer than `LEAST_PEERS`. The row itself is one of them.

Where about half of a group have the same value, as of shares that many have nothing of, the MAD is next to
nothing: a scale is at least 0.7413 times the distance between the quartiles, which is as much for a normal
distribution. Where that is 0 too it is the standard deviation. A past that hardly ever varied would make
everything a sensation, so its scale is never less than a quarter of the peers' scale; where both are 0
nothing can be said.

Of each group of features only the farthest off is told: spend of 30 days, of 90 and of a year are one fact.
Codes have no distance and are never told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.features import Feature
from ml.scores import reasons
from ml.scores.config import Forest, UseCase
from ml.scores.model import Model
from ml.scores.reasons import Causes
from ml.statements import module_sql, parameters, vectors_sql

Matrix = NDArray[np.float32]
Entity = tuple[str, str, date]
Group = tuple[str, str | None]

LEAST_PEERS = 20
"""With fewer rows in its group, a row is compared with all of its client."""
LEAST_PAST = 4
"""With fewer values of its own, a feature is compared with the peers only."""
LEAST_DEVIATIONS = 2.0
"""Less is told of nobody: nearly every twentieth value of a usual row lies so far out."""
LEAST_OF_PEERS = 0.25
"""Share of the peers' scale that the own past's scale has at least."""
MOST_SHOWN = 99.0
"""Farther out, the text says "more than"."""
MOST_COMPARED = 100_000
"""Rows compared with their own past, the most unusual first: memory stays bounded when all seem so."""
_BATCH = 50_000
USUAL = pa.schema(
    [
        ("client_id", pa.string()),
        ("entity_id", pa.string()),
        ("as_of_date", pa.date32()),
        *(
            (f"{of}_{what}", pa.list_(pa.float32()))
            for of in ("past", "peers")
            for what in ("median", "scale")
        ),
    ]
)
"""What unusual rows were compared with, features in the model's order; archived, so that reasons can be
replayed."""


@dataclass(frozen=True)
class Spread:
    """Median and scale of each feature in a group; nan where nothing is known."""

    median: Matrix
    scale: Matrix


class Deviations:
    """Says why rows are unusual."""

    def __init__(
        self,
        use_case: UseCase,
        features: Sequence[Feature],
        model: Model,
        past: Mapping[Entity, Spread],
        peers: Mapping[Group, Spread],
        group: str,
    ) -> None:
        self._use_case = use_case
        self._features = tuple(features)
        self._model = model
        self._past, self._peers, self._group = past, peers, group
        self._told = np.array([feature.unit != "code" for feature in features])
        groups = [feature.group or feature.name for feature in features]
        self._groups = [np.flatnonzero([of == name for of in groups]) for name in dict.fromkeys(groups)]
        nothing = np.full(len(self._features), np.nan, dtype=np.float32)
        self._nothing = Spread(nothing, nothing)

    def __call__(self, table: pa.Table, matrix: Matrix, threads: int) -> Causes:
        """Deviations of rows, rows × features; positive: above what is usual, negative: below, 0: not told.

        Args:
            table: client_id, entity_id, as_of_date, the column of the group, and the features by name.
            matrix: the same features in the model's order; missing is nan.
            threads: do not change the result.
        """
        if not self._peers or not table.num_rows:
            nothing = np.zeros((table.num_rows, len(self._features)), dtype=np.float32)
            margins = self._model.margins(table, threads) if table.num_rows else np.zeros(0)
            return Causes(nothing, margins, lambda _row, _feature: ("", ""), is_two_sided=True)
        past, peers = self._compared_with(table)
        # nan is less than nothing here: fmax keeps the other.
        scale = np.fmax(past.scale, LEAST_OF_PEERS * peers.scale)
        own, others = _deviations(matrix, past.median, scale), _deviations(matrix, peers.median, peers.scale)
        is_own = np.abs(own) >= np.abs(others)
        found = np.where(is_own, own, others)
        found[:, ~self._told] = 0
        found[np.abs(found) < LEAST_DEVIATIONS] = 0
        for columns in self._groups:
            first = np.abs(found[:, columns]).argmax(axis=1)
            found[:, columns] *= np.arange(len(columns)) == first[:, None]
        typical = np.where(is_own, past.median, peers.median)

        def words(row: int, feature: int) -> tuple[str, str]:
            times = abs(float(found[row, feature]))
            return reasons.words(
                self._use_case,
                self._features[feature],
                float(matrix[row, feature]),
                float(typical[row, feature]),
                deviations=f"{times:.1f}" if times <= MOST_SHOWN else f"more than {MOST_SHOWN:.0f}",
                side="above" if found[row, feature] > 0 else "below",
                basis="the own past" if is_own[row, feature] else "the peers",
            )

        return Causes(found, self._model.margins(table, threads), words, is_two_sided=True)

    def usual(self, table: pa.Table) -> dict[str, Any]:
        """What rows of `__call__` are compared with: columns of `USUAL`, which `kept` reads again."""
        past, peers = self._compared_with(table)
        return {
            **{name: table[name] for name in USUAL.names[:3]},
            "past_median": list(past.median),
            "past_scale": list(past.scale),
            "peers_median": list(peers.median),
            "peers_scale": list(peers.scale),
        }

    @classmethod
    def kept(
        cls, use_case: UseCase, features: Sequence[Feature], model: Model, usual: pa.Table
    ) -> "Deviations":
        """Compares the row of `usual` with what it was compared with when it was scored."""
        past: dict[Entity, Spread] = {}
        peers: dict[Group, Spread] = {}
        for row in usual.to_pylist():
            own, others = (
                Spread(*(np.array(row[f"{of}_{what}"], dtype=np.float32) for what in ("median", "scale")))
                for of in ("past", "peers")
            )
            past[row["client_id"], row["entity_id"], row["as_of_date"]] = own
            peers[row["client_id"], row["entity_id"]] = others
        return cls(use_case, features, model, past, peers, "entity_id")

    def _compared_with(self, table: pa.Table) -> tuple[Spread, Spread]:
        """The own past and the peers of rows."""
        keys = [table[n].to_pylist() for n in ("client_id", "entity_id", "as_of_date", self._group)]
        of = list(zip(*keys, strict=True))
        past = [self._past.get((client, entity, day), self._nothing) for client, entity, day, _ in of]
        peers = [self.peers_of(client, group) for client, _, _, group in of]
        return self._stack(past), self._stack(peers)

    def _stack(self, spreads: Sequence[Spread]) -> Spread:
        # A batch may well have no unusual row.
        shape = (len(spreads), len(self._features))
        medians, scales = ([spread.median for spread in spreads], [spread.scale for spread in spreads])
        return Spread(*(np.array(of, dtype=np.float32).reshape(shape) for of in (medians, scales)))

    def peers_of(self, client: str, group: str | None) -> Spread:
        """What is usual among the peers of a row."""
        return self._peers.get((client, group)) or self._peers.get((client, None), self._nothing)


def of(
    connection: duckdb.DuckDBPyConnection,
    use_case: UseCase,
    features: Sequence[Feature],
    model: Model,
    group: str,
) -> Deviations:
    """What the rows of the temporary table `_rows` are compared with.

    Args:
        connection: with `_rows` and the relation `dates`.
        use_case: its module's `PAST` gives client_id, entity_id, as_of_date, past_id, past_date of the rows
            of the relation `unusual` (client_id, entity_id, as_of_date, day, customer_id), `$past` days back.
        features: columns of the model.
        model: which rows are unusual.
        group: column of `_rows` by which rows are peers.
    """
    unusual = _unusual(connection, use_case, model)
    past: dict[Entity, Spread] = {}
    peers: dict[Group, Spread] = {}
    if len(unusual):
        past = _past(connection, use_case, features, model, unusual)
        peers = _peers(connection, model, group)
    return Deviations(use_case, features, model, past, peers, group)


def _unusual(connection: duckdb.DuckDBPyConnection, use_case: UseCase, model: Model) -> pa.Table:
    """Keys of the rows that are to be explained, the most unusual first."""
    keys = ["client_id", "entity_id", "as_of_date", "day", "customer_id"]
    threshold = np.float32(use_case.bands[use_case.reasons.from_band or "usual"])
    found = [
        connection.execute("select * from _rows limit 0")
        .to_arrow_table()
        .select(keys)
        .append_column("margin", pa.array([], pa.float64()))
    ]
    for batch in connection.execute("from _rows order by client_id, entity_id").to_arrow_reader(_BATCH):
        table = pa.Table.from_batches([batch])
        margins = model.margins(table, 1)
        is_unusual = pa.array(model.probabilities(margins).astype(np.float32) >= threshold)
        chosen = table.select(keys).append_column("margin", pa.array(margins))
        found.append(chosen.filter(is_unusual))
    ordered = [("margin", "descending"), ("client_id", "ascending"), ("entity_id", "ascending")]
    return pa.concat_tables(found).sort_by(ordered).slice(0, MOST_COMPARED).drop_columns(["margin"])


def _past(
    connection: duckdb.DuckDBPyConnection,
    use_case: UseCase,
    features: Sequence[Feature],
    model: Model,
    unusual: pa.Table,
) -> dict[Entity, Spread]:
    """What was usual of each row before, by the row."""
    assert isinstance(use_case.estimator, Forest)  # noqa: S101 - the kind that is compared so
    connection.register("unusual", unusual)
    statement = module_sql(use_case, "PAST")
    found = connection.execute(
        f"""
        select past.client_id, past.entity_id, past.as_of_date, {_spreads(model, LEAST_PAST)}
        from ({statement}) as past
        inner join ({vectors_sql(use_case, features)}) as vectors
            on vectors.client_id = past.client_id
            and vectors.entity_id = past.past_id
            and vectors.as_of_date = past.past_date
        -- Values of another definition are another feature's.
        where vectors._definition_hash = $_definition
        group by past.client_id, past.entity_id, past.as_of_date
        """,  # noqa: S608 - the use case's own SQL
        {
            **parameters(use_case, statement),
            "past": use_case.estimator.past,
            "_definition": model.definition_hash,
        },
    ).fetchall()
    connection.unregister("unusual")
    return {(client, entity, day): _spread(values) for client, entity, day, *values in found}


def _peers(connection: duckdb.DuckDBPyConnection, model: Model, group: str) -> dict[Group, Spread]:
    found = connection.execute(
        f"""
        select client_id, "{group}", grouping("{group}") as is_whole, count(*) as peers, {_spreads(model, 1)}
        from _rows as vectors group by grouping sets ((client_id, "{group}"), (client_id))
        """  # noqa: S608 - names were compared with the manifest
    ).fetchall()
    whole = {(client, None): _spread(values) for client, _, is_whole, _, *values in found if is_whole}
    parts = {
        (client, name): _spread(values)
        for client, name, is_whole, n, *values in found
        if not is_whole and name is not None and n >= LEAST_PEERS
    }
    return {**whole, **parts}


def _spreads(model: Model, least: int) -> str:
    """Median and scale of each feature of `vectors`: the medians first."""
    medians, scales = [], []
    for name in model.features:
        column = f'vectors."{name}"'
        # Sums of decimals do not depend on the order of rows. What exceeds 1e10 is cut: squares must fit.
        value = f"greatest(least({column}::double, 1e10), -1e10)"
        mean = f"sum(({value})::decimal(38, 9)) / count({column})"
        square = f"sum(({value} * {value})::decimal(38, 9)) / count({column})"
        enough = f"when count({column}) < {least} then null"
        medians.append(f"case {enough} else median({column}) end")
        quartiles = f"quantile_cont({column}, 0.75) - quantile_cont({column}, 0.25)"
        robust = f"greatest(1.4826 * mad({column}), 0.7413 * ({quartiles}))"
        scales.append(
            f"case {enough} when {robust} > 0 then {robust}"
            f" else sqrt(greatest(({square})::double - power(({mean})::double, 2), 0)) end"
        )
    return ", ".join(medians + scales)


def _spread(values: Sequence[Any]) -> Spread:
    both = np.array([np.nan if value is None else value for value in values], dtype=np.float32)
    return Spread(both[: len(both) // 2], both[len(both) // 2 :])


def _deviations(matrix: Matrix, median: Matrix, scale: Matrix) -> Matrix:
    """(value - median) / scale; 0 where one of them is missing or the scale is 0."""
    known = (scale > 0) & np.isfinite(matrix) & np.isfinite(median)
    apart = np.zeros_like(matrix)
    np.divide(matrix - median, scale, out=apart, where=known)
    return apart
