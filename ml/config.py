"""A use case: every number a reviewer may want to change, read from `models/<name>.yml`."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MODELS = Path(__file__).with_name("models")

Share = Annotated[float, Field(gt=0, lt=1)]


class ConfigError(ValueError):
    """A use case cannot be used; the message names file and key."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Section):
    """Who is judged, what the event is and when it is known. All numbers are days."""

    active_days: int = Field(ge=1, description="population: active in the D-active_days+1 .. D")
    horizon_days: int = Field(ge=1, description="event: judged on D+1 .. D+horizon_days")
    delay_days: int = Field(ge=0, description="judged as known at the cutoff of D+horizon_days+delay_days")
    max_silent_days: int = Field(
        ge=0, description="longest run of days of the outcome without any row of the client"
    )

    @property
    def matures_after(self) -> int:
        """Days from the as-of date until its labels are known."""
        return self.horizon_days + self.delay_days


class Dates(_Section):
    """Number of month-ends."""

    training: int = Field(ge=2, description="the latest of them stops and calibrates, the others are fitted")
    test: int = Field(ge=1)


class Minimums(_Section):
    """Fewest rows of each outcome in the fitted, the calibration and the out-of-time rows."""

    leavers: int = Field(ge=1)
    stayers: int = Field(ge=1)


class Evaluation(_Section):
    """How a ranking is judged."""

    budget_share: Share
    calibration_bins: int = Field(ge=2)
    bootstrap_draws: int = Field(ge=50)
    interval: Share


class Promotion(_Section):
    """What the lower bound of the paired difference of average precision must exceed.

    The difference itself must be positive everywhere.
    """

    over_baselines: dict[str, float]
    over_champion: float


class Confidence(_Section):
    """Range of the training rows that counts as known ground."""

    lower_quantile: float = Field(ge=0, lt=0.5)
    upper_quantile: float = Field(gt=0.5, le=1)


class ReasonText(_Section):
    """Words for one feature. `{value}` and `{typical}` are filled in, formatted by the feature's unit."""

    code: str
    text: str
    one: str | None = Field(None, description="instead of `text` when the value reads 1")
    missing: str | None = Field(None, description="instead of `text` when the value is missing")


class Reasons(_Section):
    """How contributions become words."""

    top: int = Field(ge=1)
    unknown: str
    default: str
    texts: dict[str, ReasonText]


class UseCase(_Section):
    """One model's configuration."""

    name: str
    description: str
    entity: Literal["customer"]
    features: str
    label: Label
    dates: Dates
    minimums: Minimums
    seed: int
    xgboost: dict[str, str | int | float]
    rounds: int = Field(ge=1)
    early_stopping_rounds: int = Field(ge=1)
    calibration: Literal["platt", "none"]
    baselines: dict[str, list[str] | Literal["all"]] = Field(min_length=1)
    evaluation: Evaluation
    promotion: Promotion
    bands: dict[str, float]
    confidence: Confidence
    reasons: Reasons

    @model_validator(mode="after")
    def _numbers_fit_together(self) -> "UseCase":
        thresholds = list(self.bands.values())
        if not thresholds or thresholds[0] != 0 or thresholds != sorted(set(thresholds)):
            raise ValueError("bands must begin at 0 and ascend")
        if set(self.promotion.over_baselines) != set(self.baselines):
            raise ValueError("promotion.over_baselines must name each of the baselines, and nothing else")
        if "scale_pos_weight" in self.xgboost:
            raise ValueError("xgboost.scale_pos_weight spoils the probabilities; plain log-loss needs none")
        return self


def load(model: str, folder: Path = MODELS) -> UseCase:
    """The use case `model`.

    Raises:
        ConfigError: there is none of that name, or its file is not valid.
    """
    known = sorted(path.stem for path in folder.glob("*.yml"))
    if model not in known:
        raise ConfigError(f"no model {model!r}; there are: {', '.join(known) or 'none'}")
    try:
        return UseCase(name=model, **yaml.safe_load((folder / f"{model}.yml").read_text()))
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"{model}.yml: {error}") from error
