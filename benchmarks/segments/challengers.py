"""K-Means beside a density method and an autoencoder, on the same scaled rows.

Stability is the agreement (ARI) of the segments of all rows with those found without a fifth of the
customers; a bootstrap with replacement would be unfair to densities, which take a row that is drawn twice for
a cluster.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ml.segments import choice
from ml.segments.model import nearest
from ml.segments.scaling import Matrix

Places = NDArray[np.int64]
DRAWS = 10
Assign = Callable[[Matrix], Places]


@dataclass(frozen=True)
class Result:
    """How a method did."""

    method: str
    segments: int
    mean_agreement: float
    least_agreement: float
    silhouette: float
    """In the scaled space, the same for all."""
    smallest: float
    unassigned: float
    """Share that the method itself puts nowhere; they went to the nearest assigned row."""
    seconds: float
    """Of one fit, on one thread."""


def kmeans(scaled: Matrix, k: int, seed: int) -> tuple[Assign, float]:
    """The champion's way."""
    centres = choice.fit(scaled, k, 10, seed)
    return lambda rows: nearest(rows, centres)[0], 0.0


def autoencoder(scaled: Matrix, k: int, seed: int) -> tuple[Assign, float]:
    """K-Means in the two numbers that a neural network squeezes each row through."""
    from sklearn.neural_network import MLPRegressor

    mean, spread = scaled.mean(axis=0), scaled.std(axis=0) + 1e-9
    network = MLPRegressor(
        hidden_layer_sizes=(16, 2, 16),
        activation="tanh",
        max_iter=1000,
        early_stopping=True,
        random_state=seed,
    )
    network.fit((scaled - mean) / spread, (scaled - mean) / spread)

    def code(rows: Matrix) -> Matrix:
        layer = (rows - mean) / spread
        for weights, bias in zip(network.coefs_[:2], network.intercepts_[:2], strict=True):
            layer = np.tanh(layer @ weights + bias)
        return np.asarray(layer)

    centres = choice.fit(code(scaled), k, 10, seed)
    return lambda rows: nearest(code(rows), centres)[0], 0.0


def hdbscan(scaled: Matrix, k: int, seed: int) -> tuple[Assign, float]:
    """Dense regions of a twentieth of the rows or more (Campello et al. 2013); finds its own number."""
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import KNeighborsClassifier

    del k, seed
    found = HDBSCAN(min_cluster_size=max(2, len(scaled) // 20), copy=True).fit_predict(scaled)
    dense = found >= 0
    if not dense.any():
        return lambda rows: np.zeros(len(rows), dtype=np.int64), 1.0
    near = KNeighborsClassifier(1).fit(scaled[dense], found[dense])
    return lambda rows: np.asarray(near.predict(rows), dtype=np.int64), float((~dense).mean())


METHODS = {"K-Means": kmeans, "HDBSCAN": hdbscan, "autoencoder + K-Means": autoencoder}


def compare(scaled: Matrix, customers: Places, k: int, seed: int) -> list[Result]:
    """Every method on the same rows and the same draws.

    Args:
        scaled: rows × dimensions.
        customers: number of each row's customer.
        k: segments, of the methods that are told.
        seed: of draws and starts.
    """
    rng = np.random.default_rng(seed)
    kept = [rng.random(customers.max() + 1)[customers] > 0.2 for _ in range(DRAWS)]
    results = []
    with threadpool_limits(1):
        for name, method in METHODS.items():
            started = time.process_time()
            assign, unassigned = method(scaled, k, seed)
            seconds = time.process_time() - started
            places = assign(scaled)
            agreements = [choice.agreement(places, method(scaled[part], k, seed)[0](scaled)) for part in kept]
            counts = np.bincount(places)
            results.append(
                Result(
                    name,
                    len(counts),
                    float(np.mean(agreements)),
                    float(min(agreements)),
                    choice.silhouette(scaled, places),
                    float(counts.min() / len(places)),
                    unassigned,
                    seconds,
                )
            )
    return results


def winner(results: list[Result], mean: float, least: float, smallest: float) -> tuple[str, str]:
    """Who won and by what: the rules of the YAML first, then silhouette.

    Args:
        results: as `compare` gives them.
        mean: agreement needed on average.
        least: in each draw.
        smallest: share needed of each segment.
    """
    able = [
        one
        for one in results
        if one.segments >= 3
        and one.mean_agreement >= mean
        and one.least_agreement >= least
        and one.smallest >= smallest
    ]
    if not able:
        return "nobody", "none keeps the rules on these rows"
    best = max(able, key=lambda one: one.silhouette)
    others = [one for one in able if one is not best]
    if not others:
        return best.method, "it alone has three segments or more and keeps the rules of stability and size"
    rival = max(others, key=lambda one: one.silhouette)
    return best.method, (
        f"silhouette {best.silhouette:.3f} beside {rival.silhouette:.3f} of {rival.method}, which keeps the "
        "rules too"
    )
