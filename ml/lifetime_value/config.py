"""What the YAML of a model of lifetime value may say."""

from typing import Literal

from pydantic import Field, model_validator

from ml.config import Described, Lead, Section, Share


class Minimums(Section):
    """With fewer, nothing is fitted."""

    customers: int = Field(ge=1, description="who had a visit before the days that are held out")
    returning: int = Field(ge=1, description="of them, who had a second one and brought something")
    history_days: int = Field(ge=1, description="days of the client's visits before the held-out ones")


class Promotion(Section):
    """What a version must be better than, on the days held out."""

    metric: Literal["wape"] = "wape"
    over_baselines: dict[Literal["last_year", "client_mean"], Lead] = Field(min_length=1)
    over_champion: float = Field(description="what the lower bound of the error saved must exceed")


class Evaluation(Section):
    """How intervals are made."""

    bootstrap_draws: int = Field(ge=50)
    interval: Share


class LifetimeValue(Described):
    """Configuration of a model of lifetime value; one version a client, whose money it speaks of."""

    family: Literal["lifetime_value"]
    entity: Literal["customer"] = "customer"
    scope: Literal["client"] = "client"
    measure: Literal["revenue", "spend"] = Field(
        description="what a visit brings: see docs/metric-decisions.md"
    )
    without_revenue: Literal["refuse", "spend"] = Field(
        "refuse", description="what a client without any revenue gets: no model, or one of spend"
    )
    visit_days: int = Field(ge=1, le=31, description="transactions within so many days are one visit")
    horizon_months: int = Field(ge=1, le=120, description="how far ahead a lifetime is counted")
    discount_rate: float = Field(ge=0, lt=1, description="a year; money of a month counts at the month's end")
    holdout_days: int = Field(ge=28, description="the latest days, which are predicted and not fitted")
    max_silent_days: int = Field(
        14, ge=1, description="longest run of held-out days without any row of the client"
    )
    most_fitted: int = Field(
        100_000, ge=1000, description="customers that are fitted, evenly spaced; all are scored"
    )
    minimums: Minimums
    evaluation: Evaluation
    promotion: Promotion
    bands: dict[str, float] = Field(
        description="share of the client's customers that are below where a band begins"
    )

    @model_validator(mode="after")
    def _bands_ascend(self) -> "LifetimeValue":
        shares = list(self.bands.values())
        if not shares or shares[0] != 0 or shares != sorted(set(shares)) or shares[-1] >= 1:
            raise ValueError("bands must begin at 0 and ascend below 1")
        return self
