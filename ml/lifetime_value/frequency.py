"""How often customers come back, and whether they still do: the BG/NBD model.

Fader, Hardie, Lee 2005, "'Counting Your Customers' the Easy Way: An Alternative to the Pareto/NBD Model",
Marketing Science 24(2), 275-284. While a customer is active, transactions come at a constant rate λ; after
each of them the customer leaves for good with probability p. λ differs between customers as a gamma(r, α), p
as a beta(a, b). Nobody says when a customer has left: silence says it.

A customer is three numbers: `x`, transactions after the first; `t_x`, time from the first to the last;
`age` (the paper's T), time from the first to the day of the question. All times have one unit, and so has α.
"""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1

Vector = NDArray[np.float64]

EDGE = 7.0
"""The logarithm of a parameter stays within ± this. Beyond it the likelihood is flat: all customers alike."""


@dataclass(frozen=True)
class Frequency:
    """Parameters of the model, all positive; `alpha` in units of time."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, x: Vector, t_x: Vector, age: Vector) -> Vector:
        """Of each customer: the logarithm of equation 6, whose two terms share all but the last factor."""
        r, alpha, a, b = astuple(self)
        shared = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
        active = -(r + x) * np.log(alpha + age)
        return np.asarray(shared + active + np.logaddexp(0, self._odds_of_having_left(x, t_x, age)))

    def alive(self, x: Vector, t_x: Vector, age: Vector) -> Vector:
        """Probability that each customer is still active.

        Fader, Hardie, Lee 2008, "Computing P(alive) using the BG/NBD model". Always 1 without a second
        transaction: the model lets nobody leave before it.
        """
        return np.asarray(expit(-self._odds_of_having_left(x, t_x, age)))

    def expected(self, x: Vector, t_x: Vector, age: Vector, ahead: float) -> Vector:
        """Transactions that each customer is expected to make in the next `ahead` units of time.

        Equation 10. Its ₂F₁(r+x, b+x; a+b+x-1; z) overflows for busy customers; Euler's transformation
        (Abramowitz & Stegun 15.3.3) gives (1-z)^(a-1-r-x) ₂F₁(a+b-1-r, a-1; a+b+x-1; z), whose first factor
        cancels against the rest of the equation.
        """
        r, alpha, a, b = astuple(self)
        # The limits at a = 1 and at a + b + x = 1 exist, the equation does not: stand a little beside them.
        a += 1e-6 if abs(a - 1) < 1e-6 else 0.0
        b += 1e-6 if abs(a + b - 1) < 1e-6 else 0.0
        z = ahead / (alpha + age + ahead)
        c = a + b + x - 1
        unmade = np.power(1 - z, a - 1) * hyp2f1(a + b - 1 - r, a - 1, c, z)
        return np.asarray(c / (a - 1) * (1 - unmade) * self.alive(x, t_x, age))

    def _odds_of_having_left(self, x: Vector, t_x: Vector, age: Vector) -> Vector:
        """Log-odds that the last transaction was the last one; minus infinity without a second one."""
        r, alpha, a, b = astuple(self)
        more = np.maximum(x, 1)
        odds = np.log(a / (b + more - 1)) + (r + x) * np.log((alpha + age) / (alpha + t_x))
        return np.asarray(np.where(x > 0, odds, -np.inf))


def fit_frequency(x: Vector, t_x: Vector, age: Vector) -> Frequency:
    """The parameters of the greatest likelihood.

    Args:
        x: transactions after the first.
        t_x: time from the first to the last.
        age: time from the first to the end of the observation.

    Raises:
        ValueError: there is nobody, or nobody came twice.
    """
    if not len(x) or not x.any():
        raise ValueError("nobody came twice: there is no frequency to learn")

    def loss(logarithms: Vector) -> float:
        return -float(Frequency(*map(float, np.exp(logarithms))).log_likelihood(x, t_x, age).mean())

    rate = x.sum() / age.sum()
    start = np.log([1.0, 1.0 / rate, 1.0, 2.0])
    found = minimize(
        loss,
        start,
        method="L-BFGS-B",
        bounds=[(-EDGE, EDGE), (start[1] - EDGE, start[1] + EDGE), (-EDGE, EDGE), (-EDGE, EDGE)],
        options={"ftol": 1e-13, "gtol": 1e-8, "maxiter": 1000},
    )
    return Frequency(*map(float, np.exp(found.x)))
