"""How many segments: K-Means for each number, judged by what a bootstrap over customers makes of it.

A number is taken only if the same customers are put together whoever happens to be in the data (mean and
least adjusted Rand index with the segments of the draws; Hubert and Arabie 1985; Hennig 2007, "Cluster-wise
assessment of cluster stability") and no segment is small. Silhouette (Rousseeuw 1987) decides among those
that are left, and never alone: on raw money it is highest for a single rich customer against all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ml.segments.config import Clusters
from ml.segments.model import nearest
from ml.segments.scaling import Matrix

Places = NDArray[np.int64]
DECIMALS = 6
"""Of centres: what other processors make of the last digits must not make another version."""


@dataclass(frozen=True)
class Candidate:
    """One number of segments, and how it did."""

    k: int
    centres: Matrix
    mean_agreement: float
    least_agreement: float
    smallest_share: float
    silhouette: float
    broken: tuple[str, ...]
    """Rules that it breaks, in words; empty: it may be taken."""

    @property
    def words(self) -> str:
        """Its figures."""
        return (
            f"{self.k} segments: agreement {self.mean_agreement:.3f} on average and "
            f"{self.least_agreement:.3f} at least, smallest {self.smallest_share:.1%}, "
            f"silhouette {self.silhouette:.3f}"
        )


def candidates(rules: Clusters, scaled: Matrix, customers: Places, seed: int) -> list[Candidate]:
    """Fit and judge every number of segments there may be. The same rows give the same numbers.

    Args:
        rules: numbers of the YAML.
        scaled: rows × dimensions, in key order.
        customers: number of each row's customer, from 0; draws take customers with all their rows.
        seed: of starts, draws and the rows that the silhouette is taken of.
    """
    draws = _draws(customers, rules.draws, seed)
    sample = np.random.default_rng(seed).permutation(len(scaled))[: rules.silhouette_rows]
    different = len(np.unique(scaled, axis=0))
    # One thread: with several, sums are added up in the order in which they finish.
    with threadpool_limits(1):
        return [
            _judged(rules, k, scaled, draws, np.sort(sample), seed)
            for k in range(rules.least, rules.most + 1)
            if different > k
        ]


def choose(rules: Clusters, found: Sequence[Candidate], before: int | None = None) -> Candidate | None:
    """The number that is taken; None: none keeps the rules.

    What people are used to stays: the champion's number is taken again where it keeps the rules. Otherwise
    the highest silhouette decides; but the fewest segments say least, and are taken only when no other number
    may be. Only a silhouette that is better by `clearly_better` overrules either.

    Args:
        rules: numbers of the YAML.
        found: as `candidates` gives them.
        before: number of the champion's segments.
    """
    able = sorted((one for one in found if not one.broken), key=lambda one: (-one.silhouette, one.k))
    if not able:
        return None
    best = able[0]
    same = next((one for one in able if one.k == before), None)
    if same is not None:
        return best if best.silhouette >= same.silhouette + rules.clearly_better else same
    rival = next((one for one in able if one.k > rules.least), best)
    return best if best.silhouette >= rival.silhouette + rules.clearly_better else rival


def fit(scaled: Matrix, k: int, starts: int, seed: int, also: Matrix | None = None) -> Matrix:
    """Centres of K-Means, k × dimensions, in the order of their coordinates.

    Args:
        scaled: rows × dimensions.
        k: number of centres.
        starts: random ones (k-means++), of which the best is taken.
        seed: of the starts.
        also: centres to start from besides: what few random starts overlook is no other solution.
    """
    from sklearn.cluster import KMeans

    found = KMeans(n_clusters=k, n_init=starts, random_state=seed).fit(scaled)
    if also is not None:
        other = KMeans(n_clusters=k, init=also, n_init=1).fit(scaled)
        found = other if other.inertia_ < found.inertia_ else found
    rounded = np.round(found.cluster_centers_, DECIMALS) + 0.0
    return np.asarray(rounded[np.lexsort(rounded.T[::-1])])


def agreement(one: Places, other: Places) -> float:
    """Adjusted Rand index of two assignments of the same rows: 1 the same, about 0 by chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(one, other))


def silhouette(scaled: Matrix, places: Places) -> float:
    """Mean silhouette, -1 to 1; nan when all rows are in one segment."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(places)) < len(places):
        return float("nan")
    return float(silhouette_score(scaled, places))


def _draws(customers: Places, draws: int, seed: int) -> list[Places]:
    """Rows of each draw of as many customers as there are, with replacement."""
    order = np.argsort(customers, kind="stable")
    starts = np.flatnonzero(np.diff(customers[order], prepend=-1))
    rows = np.split(order, starts[1:])
    rng = np.random.default_rng(seed)
    return [np.concatenate([rows[at] for at in rng.integers(0, len(rows), len(rows))]) for _ in range(draws)]


def _judged(
    rules: Clusters, k: int, scaled: Matrix, draws: Sequence[Places], sample: Places, seed: int
) -> Candidate:
    centres = fit(scaled, k, rules.starts, seed)
    places, _ = nearest(scaled, centres)
    agreements = [
        agreement(places, nearest(scaled, fit(scaled[draw], k, rules.draw_starts, seed, centres))[0])
        for draw in draws
    ]
    mean, least = float(np.mean(agreements)), float(min(agreements))
    smallest = float(np.bincount(places, minlength=k).min() / len(scaled))
    broken = [
        f"{name} {value:.3f}, below {needed:g}"
        for name, value, needed in (
            ("mean agreement", mean, rules.mean_agreement),
            ("least agreement", least, rules.least_agreement),
            ("smallest share", smallest, rules.smallest_share),
        )
        if value < needed
    ]
    return Candidate(
        k, centres, mean, least, smallest, silhouette(scaled[sample], places[sample]), tuple(broken)
    )
