"""A probability of default as points: the same model on a scale on which people compare credit.

Points rise as the risk falls. `points to double the odds` (PDO) is how many more points stand for twice the
odds of being paid; the scale is exact, so that the points of the features and the base add up to the score
(Siddiqi 2017, "Intelligent Credit Scoring", chapter 6).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scale:
    """A scale of points."""

    anchor: float = 600.0
    """Points at the anchor's odds."""
    odds: float = 50.0
    """Payers for each defaulter at the anchor."""
    double_odds: float = 20.0
    """Points to double the odds."""

    @property
    def factor(self) -> float:
        """Points of one unit of log-odds."""
        return self.double_odds / math.log(2)

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.anchor - self.factor * math.log(self.odds)

    def score(self, margin: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of each row.

        Args:
            margin: calibrated log-odds of default, higher = riskier.
        """
        return np.asarray(self.offset - self.factor * margin, dtype=np.float64)

    def parts(
        self,
        contributions: NDArray[np.floating],
        margins: NDArray[np.float64],
        calibration: tuple[float, float] = (1.0, 0.0),
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a score is made of: (base, points), which add up to `score` of the calibrated margin.

        Args:
            contributions: rows × features, in units of the margin before calibration; positive = riskier.
            margins: the margin of each row before calibration.
            calibration: (a, b) of the calibrated margin a · margin + b.

        Returns:
            base: points of a row without any contribution, one a row (all the same but for rounding).
            points: rows × features; negative = costs points.
        """
        a, b = calibration
        points = -self.factor * a * np.asarray(contributions, dtype=np.float64)
        bias = margins - np.sum(contributions, axis=1, dtype=np.float64)
        return self.score(a * bias + b), points
