"""What customers bring each time they come: the Gamma-Gamma model.

Fader, Hardie 2013, "The Gamma-Gamma Model of Monetary Value" (brucehardie.com/notes/025). What a customer
brings varies around a mean of their own as a gamma(p, ν); ν differs between customers as a gamma(q, γ). How
much they bring is taken to be independent of how often they come.

A customer is two numbers: `x`, how often they came; `mean`, what they brought each time, in base currency.
"""

from dataclasses import astuple, dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from ml.lifetime_value.frequency import EDGE, Vector


@dataclass(frozen=True)
class Spend:
    """Parameters of the model, all positive; `gamma` in base currency."""

    p: float
    q: float
    gamma: float

    def log_likelihood(self, x: Vector, mean: Vector) -> Vector:
        """Of each customer: the logarithm of equation 1a. Both must be positive."""
        p, q, gamma = astuple(self)
        return np.asarray(
            gammaln(p * x + q)
            - gammaln(p * x)
            - gammaln(q)
            + q * np.log(gamma)
            + (p * x - 1) * np.log(mean)
            + p * x * np.log(x)
            - (p * x + q) * np.log(gamma + x * mean)
        )

    def expected(self, x: Vector, mean: Vector) -> Vector:
        """What each customer is expected to bring each time they come (equation 5).

        A weighted mean of their own and of everybody's, `population`; their own counts the more the oftener
        they came. The equation holds its sense for a mean of 0: somebody who has come often and brought
        nothing is expected to bring next to nothing.
        """
        p, q, gamma = astuple(self)
        return np.asarray(p * (gamma + x * mean) / (p * x + q - 1))

    @property
    def population(self) -> float:
        """What somebody is expected to bring of whom nothing is known."""
        return self.p * self.gamma / (self.q - 1)


def fit_spend(x: Vector, mean: Vector) -> Spend:
    """The parameters of the greatest likelihood; q stays above 1, or the population would have no mean.

    Args:
        x: how often each customer came, at least once.
        mean: what they brought each time; positive.

    Raises:
        ValueError: there is nobody.
    """
    if not len(x):
        raise ValueError("nobody brought anything: there is no spend to learn")
    scale = float(np.median(mean))

    def of(logarithms: Vector) -> Spend:
        p, above_one, gamma = map(float, np.exp(logarithms))
        return Spend(p, 1 + above_one, gamma)

    def loss(logarithms: Vector) -> float:
        return -float(of(logarithms).log_likelihood(x, mean / scale).mean())

    found = minimize(
        loss,
        np.log([2.0, 1.0, 1.0]),
        method="L-BFGS-B",
        bounds=[(-EDGE, EDGE)] * 3,
        options={"ftol": 1e-13, "gtol": 1e-8, "maxiter": 1000},
    )
    p, q, gamma = astuple(of(found.x))
    return Spend(p, q, gamma * scale)
