"""Frozen scaling: raw features to the space that segments lie in, the same today as when it was fitted.

Both forms are numbers in JSON. Nothing is pickled, and scoring needs no scikit-learn.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.segments.config import LogRatios, Quantiles

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Fitted scaling of `columns` to `dimensions`."""

    kind: str
    columns: tuple[str, ...]
    """Raw features, in order."""
    dimensions: tuple[str, ...]
    medians: tuple[float, ...]
    """Of the fitted rows, by column: what stands for a missing value. Of shares: 0."""
    quantiles: tuple[tuple[float, ...], ...] = ()
    """Of quantile scaling, by column: ascending, evenly spaced from the least to the greatest value."""
    weights: tuple[float, ...] = ()
    """Of quantile scaling, by column: how much its differences count."""
    parts: tuple[int, ...] = ()
    """Of log-ratios, by column: number of its dimension."""
    pseudo_share: float = 0.0

    def __call__(self, raw: Matrix) -> Matrix:
        """Scale rows.

        Args:
            raw: rows × columns; nan = missing.

        Returns:
            rows × dimensions: shares of the fitted rows below (0 to 1) times weights, or centred log-ratios
            (each row adds up to 0).
        """
        if self.kind == "quantile":
            filled = np.where(np.isnan(raw), np.asarray(self.medians), raw)
            return np.column_stack(
                [
                    _share_below(filled[:, at], np.asarray(own)) * weight
                    for at, (own, weight) in enumerate(zip(self.quantiles, self.weights, strict=True))
                ]
            )
        return self._log_ratios(self.readable(raw))

    def readable(self, raw: Matrix) -> Matrix:
        """What people read of rows, rows × dimensions: the columns, or each part's share of all parts."""
        if self.kind == "quantile":
            return raw
        shares = np.where(np.isnan(raw), np.asarray(self.medians), raw)
        summed = np.zeros((len(shares), len(self.dimensions)))
        for column, part in enumerate(self.parts):
            # Refunds can outweigh what was spent on a category: that is none of it, not less than none.
            summed[:, part] += np.maximum(shares[:, column], 0)
        whole = summed.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(summed, whole, out=np.zeros_like(summed), where=whole > 0))

    def _log_ratios(self, shares: Matrix) -> Matrix:
        """ln of each part's share less the mean of these logarithms; all get the pseudo-share alike.

        Aitchison 1986, "The Statistical Analysis of Compositional Data", section 4.6.
        """
        logarithms = np.log(shares + self.pseudo_share)
        return np.asarray(logarithms - logarithms.mean(axis=1, keepdims=True))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> "Scaling":
        """What `as_dict` gave, after JSON."""
        return cls(
            **{
                **told,
                **{
                    name: tuple(told[name])
                    for name in ("columns", "dimensions", "medians", "weights", "parts")
                },
                "quantiles": tuple(map(tuple, told["quantiles"])),
            }
        )


def fit(described: Quantiles | LogRatios, raw: Matrix, seed: int) -> Scaling:
    """Fit a scaling.

    Args:
        described: how.
        raw: rows × columns; nan = missing.
        seed: of the sample that quantiles of very many rows are taken from.
    """
    if isinstance(described, LogRatios):
        names = list(described.parts)
        columns = [(name, column) for name in names for column in described.parts[name]]
        return Scaling(
            kind=described.kind,
            columns=tuple(column for _, column in columns),
            dimensions=tuple(names),
            medians=(0.0,) * len(columns),
            parts=tuple(names.index(name) for name, _ in columns),
            pseudo_share=described.pseudo_share,
        )
    from sklearn.preprocessing import QuantileTransformer

    # A column that nobody has a value of sets nobody apart.
    medians = np.array([np.median(known) if len(known := own[~np.isnan(own)]) else 0.0 for own in raw.T])
    fitted = QuantileTransformer(
        n_quantiles=min(described.quantiles, len(raw)), output_distribution="uniform", random_state=seed
    ).fit(np.where(np.isnan(raw), medians, raw))
    return Scaling(
        kind=described.kind,
        columns=tuple(described.columns),
        dimensions=tuple(described.columns),
        medians=tuple(medians.tolist()),
        quantiles=tuple(tuple(own.tolist()) for own in fitted.quantiles_.T),
        weights=tuple(described.weights.get(column, 1.0) for column in described.columns),
    )


def _share_below(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """As QuantileTransformer says it: the middle of the shares of equal values, and 0 or 1 at the ends."""
    shares = np.linspace(0, 1, len(quantiles))
    up = np.interp(values, quantiles, shares)
    down = np.interp(-values, -quantiles[::-1], -shares[::-1])
    found = (up - down) / 2
    found[values >= quantiles[-1]] = 1
    found[values <= quantiles[0]] = 0
    return np.asarray(found)
