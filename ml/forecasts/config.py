"""What the YAML of a forecast may say."""

from typing import Literal

from pydantic import Field

from ml.config import Described, Section, Share

Level = Literal["client", "category", "region", "segment", "segment_category", "customer"]


class Prophet(Section):
    """Prophet (Taylor & Letham 2018) on daily sums, added up to months."""

    most_series: int = Field(ge=0, description="the largest series; the others are left to the cheap methods")
    least_gain: Share = Field(description="kept only where its MASE is below this share of the best other's")
    least_days: int = Field(ge=100, description="shorter ones are fitted by Newton's method, in minutes")
    yearly_from_days: int = Field(
        ge=730,
        description="a yearly term where the first origin knew so much; with less it ruins the forecast",
    )
    monthly_order: int = Field(ge=0, description="Fourier terms of the month; 0: none")
    changepoint_prior_scale: float = Field(gt=0)
    mode: Literal["additive", "multiplicative"]


class Customers(Section):
    """How customers are forecast, all of them in one statement."""

    active_months: int = Field(ge=1, description="population: a movement in so many months up to the origin")
    smoothing: Share = Field(description="weight of the latest month in the level, of logarithms")
    sample: int = Field(ge=100, description="customers that the backtest looks at; forecasts are of all")
    challenged: int = Field(ge=0, description="of them, how many statsforecast's methods are tried on")
    least_residuals: int = Field(ge=20, description="a group with fewer has the interval of all groups")


class Promotion(Section):
    """What a version must keep."""

    over_floor: float = Field(gt=0, description="most of MASE ÷ the floor's, of all series together")
    over_champion: float = Field(gt=0, description="most of MASE ÷ the champion's")
    coverage: Share = Field(description="most that a measured coverage may differ from its name")


class Forecast(Described):
    """Configuration of one measure's forecasts; a version is of one client."""

    family: Literal["forecasts"]
    entity: Literal["customer"] = "customer"
    scope: Literal["client"] = "client"
    measure: Literal["spend", "revenue"]
    levels: list[Level] = Field(min_length=1)
    segments: str = Field("segments_rfm", description="model whose segments are meant")
    horizon_months: int = Field(ge=1, le=12)
    history_months: int = Field(ge=13, le=60, description="what is older is not read")
    origins: int = Field(ge=3, le=12, description="of the backtest; the last months that have all targets")
    least_origins: int = Field(ge=3)
    least_months: int = Field(ge=3, description="history before the first origin")
    least_residuals: int = Field(ge=10, description="a level with fewer has the interval of all levels")
    prophet: Prophet
    customers: Customers
    promotion: Promotion
