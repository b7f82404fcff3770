"""Isolation forest: how few random cuts set a row apart from the others (Liu, Ting, Zhou 2008).

Its cuts lie within the range of the rows it was grown on, so by itself it takes a value a hundred times as
large as any of them for the largest. What lies outside the range is therefore set apart by fewer cuts still,
by one for each doubling of the distance (a penalty of the kind that Liu, Ting, Zhou 2010, "On detecting
clustered anomalies using SCiForest", give to values outside a node's range).
"""

import io
import json
import math
import re
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.datasets import Rows
from ml.scores import config
from ml.scores.matrix import Matrix, matrix_of

Vector = NDArray[np.float64]
_STEPS = 1000
"""Quantiles of the training rows' margins that a rank is read from."""
_MOST_CUTS = 5.0
"""That a single feature saves at most: what is 31 ranges away need not be told from what is farther."""
_TRUSTED = [
    "sklearn.ensemble._iforest.IsolationForest",
    "sklearn.tree._classes.ExtraTreeRegressor",
    "sklearn.tree._tree.Tree",
]
"""Types that a file may hold, and no others."""


@dataclass(frozen=True)
class Forest:
    """A fitted isolation forest."""

    trees: Any
    features: tuple[str, ...]
    medians: tuple[float, ...]
    """What stands for a missing value: it cannot set a row apart."""
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    """Range of each feature in the training rows."""
    quantiles: tuple[float, ...]
    """Of the margins of the training rows, from the least to the most unusual."""

    def margins(self, rows: pa.Table | Matrix, threads: int) -> Vector:
        """Anomaly score of each row, 0 to 1; about 0.5 is usual, near 1 is set apart at once.

        Args:
            rows: the features as columns in any order, which are taken by name; or rows × features in the
                model's order, missing as nan.
            threads: of boosted trees; not used here.
        """
        # One thread: with several, scikit-learn adds the trees up in the order in which they finish.
        del threads
        matrix = self._known(rows)
        # A score is 2 ** (-cuts / expected cuts).
        score = -self.trees.score_samples(matrix) * 2.0 ** (self._saved(matrix) / self._expected())
        return np.asarray(np.minimum(score, 1.0), dtype=np.float64)

    def ranks(self, margins: Vector) -> Vector:
        """Share of the training rows that were less unusual, 0 to 1."""
        return np.interp(margins, self.quantiles, np.linspace(0, 1, len(self.quantiles)))

    def file(self) -> bytes:
        """As a skops archive, which holds data and no code."""
        import skops.io

        beside = {name: list(getattr(self, name)) for name in _BESIDE}
        return _canonical(bytes(skops.io.dumps({"trees": self.trees, "beside": json.dumps(beside)})))

    @classmethod
    def from_file(cls, content: bytes, features: tuple[str, ...]) -> "Forest":
        """Read what `file` gave.

        Raises:
            skops.io.exceptions.UntrustedTypesFoundException: the file holds other types than a forest's.
        """
        import skops.io

        found = skops.io.loads(content, trusted=_TRUSTED)
        beside = json.loads(found["beside"])
        return cls(found["trees"], features, *(tuple(beside[name]) for name in _BESIDE))

    def _saved(self, matrix: NDArray[np.float32]) -> Vector:
        """Cuts that each row needs less because values of it lie outside the training rows' range."""
        low, high = np.asarray(self.lows), np.asarray(self.highs)
        width = high - low
        beyond = np.maximum(matrix - high, low - matrix)
        ranges = np.divide(beyond, width, out=np.zeros_like(beyond), where=(beyond > 0) & (width > 0))
        return np.asarray(np.minimum(np.log2(1 + ranges), _MOST_CUTS).sum(axis=1), dtype=np.float64)

    def _expected(self) -> float:
        """Cuts that an unsuccessful search needs in a tree of so many rows (Liu et al. 2008, equation 1)."""
        n = int(self.trees.max_samples_)
        return 2 * (math.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n

    def _known(self, rows: pa.Table | Matrix) -> Matrix:
        matrix = rows if isinstance(rows, np.ndarray) else matrix_of(rows, self.features)
        return np.where(np.isnan(matrix), np.asarray(self.medians, dtype=np.float32), matrix)


_BESIDE = ("medians", "lows", "highs", "quantiles")
"""What a file holds beside the trees."""


def _canonical(archive: bytes) -> bytes:
    """The same skops archive without what differs from process to process: addresses and times."""
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    schema = contents.pop("schema.json").decode()
    addresses = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
    numbers = {address: str(number) for number, address in enumerate(addresses, start=1)}
    names = {
        name: f"{number}.npy" for number, name in enumerate(re.findall(r'"file": "([^"]+)"', schema), start=1)
    }
    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {numbers[found[1]]}', schema)
    schema = re.sub(r'"file": "([^"]+)"', lambda found: f'"file": "{names[found[1]]}"', schema)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in [("schema.json", schema.encode()), *((names[n], contents[n]) for n in names)]:
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return written.getvalue()


def fit(settings: config.Forest, rows: Rows, seed: int) -> Forest:
    """Grow a forest; the same rows in the same order and the same seed give the same one.

    Args:
        settings: number of trees and rows a tree.
        rows: of the training days; a feature that is always missing counts as 0.
        seed: of the draws.
    """
    from sklearn.ensemble import IsolationForest

    known = [rows.table[name].drop_null().to_numpy() for name in rows.features]
    medians, lows, highs = (
        tuple(float(of(values)) if len(values) else 0.0 for values in known)
        for of in (np.median, np.min, np.max)
    )
    trees = IsolationForest(
        n_estimators=settings.trees,
        max_samples=min(settings.sample, len(rows)),
        random_state=seed,
    )
    forest = Forest(trees, rows.features, medians, lows, highs, ())
    trees.fit(forest._known(rows.table))
    quantiles = np.quantile(forest.margins(rows.table, 1), np.linspace(0, 1, _STEPS + 1))
    return replace(forest, quantiles=tuple(map(float, quantiles)))
