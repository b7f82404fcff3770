"""A fitted version: what a customer's visits and money say of what they will still bring in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ml.artefacts import ModelError
from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.customers import Customers
from ml.lifetime_value.frequency import Frequency, Vector, fit_frequency
from ml.lifetime_value.spend import Spend, fit_spend

FILE = "model.json"
DAYS_A_MONTH = 365.25 / 12
LEAST = 0.0001
"""The smallest amount of money that is not nothing."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of each customer, in their order."""

    alive: Vector
    """Probability of still being a customer who comes."""
    visits: Vector
    """Expected within the horizon."""
    each: Vector
    """What a visit is expected to bring, in base currency."""
    value: Vector
    """Discounted sum of what the visits of the horizon are expected to bring."""


@dataclass(frozen=True)
class ValueModel:
    """Parameters and the numbers that they hold for; times are counted in stretches of `visit_days`."""

    frequency: Frequency
    spend: Spend
    measure: str
    visit_days: int
    horizon_months: int
    discount_rate: float
    bands: Mapping[str, float]
    """From which value on (base currency) each band is, in ascending order."""

    def forecast(self, who: Customers) -> Forecast:
        """What is expected of customers within the horizon.

        The visits of a month bring their money at its end: value = each · Σ (E(m) - E(m-1)) / (1 + d)^(m/12).
        E(m) are the visits expected within m months, d is the rate of a year.
        """
        before, value = np.zeros(len(who)), np.zeros(len(who))
        for month in range(1, self.horizon_months + 1):
            until = self.visits(who, month * DAYS_A_MONTH)
            value += (until - before) / (1 + self.discount_rate) ** (month / 12)
            before = until
        each = self.each(who)
        alive = self.frequency.alive(*who.shape)
        return Forecast(alive=alive, visits=before, each=each, value=value * each)

    def visits(self, who: Customers, days: float) -> Vector:
        """Visits expected of each customer in the next days."""
        return self.frequency.expected(*who.shape, days / self.visit_days)

    def each(self, who: Customers) -> Vector:
        """What a visit of each customer is expected to bring, in base currency."""
        return self.spend.expected(who.visits, who.each)

    def bands_of(self, values: Vector) -> NDArray[np.str_]:
        """The band of each value."""
        names, begins = np.array(list(self.bands)), np.array(list(self.bands.values()))
        return np.asarray(names[np.searchsorted(begins, np.round(values, 4), side="right") - 1])

    def files(self) -> dict[str, bytes]:
        """The artefact: one file, the same for the same numbers."""
        return {FILE: json.dumps({"family": "lifetime_value", **asdict(self)}, indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "ValueModel":
        """What `files` made.

        Raises:
            ModelError: the file is missing, or is that of another family.
        """
        try:
            told = json.loads(files[FILE])
            if told.pop("family") != "lifetime_value":
                raise ModelError("the artefact is no model of lifetime value")
            frequency, spend = Frequency(**told.pop("frequency")), Spend(**told.pop("spend"))
            return cls(frequency=frequency, spend=spend, **told)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ModelError(f"the artefact cannot be read: {error!r}") from error


def fit(described: LifetimeValue, who: Customers, measure: str) -> ValueModel:
    """Fit both models on customers as a date knew them, closed ones too: they say how customers leave.

    The bands are shares of the customers who are none of the closed ones.

    Args:
        described: numbers of the YAML.
        who: at least one of them came twice and brought something.
        measure: of `who.each`.
    """
    step = max(1, -(-len(who) // described.most_fitted))
    x, t_x, age, each = (values[::step] for values in (who.visits, who.last_visit, who.age, who.each))
    brought = (x > 0) & (each > 0)
    model = ValueModel(
        frequency=fit_frequency(x, t_x, age),
        spend=fit_spend(x[brought], each[brought]),
        measure=measure,
        visit_days=described.visit_days,
        horizon_months=described.horizon_months,
        discount_rate=described.discount_rate,
        bands={name: 0.0 for name in described.bands},
    )
    values = model.forecast(who).value[~who.is_closed]
    # Only who is worth nothing is in the lowest band for certain, however many there are of them.
    begins = {
        name: max(round(float(np.quantile(values, share)), 4), LEAST) if share and len(values) else 0.0
        for name, share in described.bands.items()
    }
    return replace(model, bands=begins)
