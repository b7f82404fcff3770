"""What the YAML of a model that gives scores may say: every number that a reviewer may want to change."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ml.config import ConfigError, Described, Lead, Number, Section, Share


class Label(Section):
    """What the event is and when it is known. All numbers are days."""

    event: str = Field(description="one word for a row with the event: leaver, fraud, defaulter")
    other: str = Field(description="one word for a row without it")
    horizon_days: int = Field(
        ge=0, description="judged on D+1 .. D+horizon_days; 0: the row itself is judged"
    )
    delay_days: int = Field(ge=0, description="judged as known at the cutoff of D+horizon_days+delay_days")
    max_silent_days: int | None = Field(
        None, ge=0, description="longest run of days of the outcome without any row of the client"
    )

    @property
    def matures_after(self) -> int:
        """Days from the day of a row until its label is known."""
        return self.horizon_days + self.delay_days


class Dates(Section):
    """Number of month-ends, or of days where each row has a day of its own."""

    every: Literal["month_end", "day"] = "month_end"
    training: int = Field(
        ge=2, description="the calibration dates are the latest of them, the others are fitted"
    )
    least_training: int | None = Field(
        None, ge=2, description="with fewer there is no training; default: `training`"
    )
    calibration: int = Field(1, ge=1, description="stop and calibrate; never fitted")
    test: int = Field(ge=1)

    @model_validator(mode="after")
    def _something_is_fitted(self) -> "Dates":
        if self.calibration >= self.least:
            raise ValueError("dates.calibration must leave at least one training date to fit on")
        if self.least > self.training:
            raise ValueError("dates.least_training must not exceed dates.training")
        return self

    @property
    def unit(self) -> str:
        """What they are called."""
        return "month-ends" if self.every == "month_end" else "days"

    def count(self, dates: int) -> str:
        """So many of them in words."""
        return f"{dates:,} {self.unit if dates != 1 else self.unit.removesuffix('s')}"

    @property
    def least(self) -> int:
        """Fewest training dates."""
        return self.least_training or self.training


class Minimums(Section):
    """Fewest rows of each outcome in the fitted, the calibration and the out-of-time rows."""

    events: int = Field(ge=1)
    others: int = Field(ge=1)


class Range(Section):
    """Where the search looks for a number: between two ends, evenly or by ratio."""

    low: float
    high: float
    log: bool = False
    whole: bool = Field(False, description="whole numbers only")


class Search(Section):
    """A bounded search with a fixed seed: the same rows give the same numbers."""

    trials: int = Field(ge=1, le=200)
    space: dict[str, Range] = Field(min_length=1)


class Boosted(Section):
    """Gradient-boosted trees."""

    kind: Literal["xgboost"] = "xgboost"
    params: dict[str, Number]
    rounds: int = Field(ge=1)
    early_stopping_rounds: int = Field(ge=1)
    monotone: dict[str, Literal[-1, 1]] = Field({}, description="1: the risk rises with the feature")
    keep_others: float = Field(
        1.0, gt=0, le=1, description="share of the rows without the event that is fitted"
    )
    calibration: Literal["platt", "none"] = "platt"
    search: Search | None = None

    @model_validator(mode="after")
    def _plain_log_loss(self) -> "Boosted":
        if "scale_pos_weight" in self.params:
            raise ValueError(
                "params.scale_pos_weight spoils the probabilities; use keep_others, which puts the prior back"
            )
        return self


class Forest(Section):
    """Isolation forest: how few random cuts set a row apart from the others."""

    kind: Literal["isolation_forest"]
    trees: int = Field(ge=10)
    sample: int = Field(ge=64, description="rows that each tree sees")
    quota: Share = Field(description="share of the training rows that is unusual: where that band begins")
    least_stability: float = Field(ge=0, le=1, description="of the ranks under another seed, to be promoted")
    most_score_psi: float = Field(
        0.25, gt=0, description="of the latest rows' scores against the training rows'"
    )
    past: int = Field(description="days of the entity's own past to compare with")


class Baseline(Section):
    """Something simpler that the model must beat, or a model that it is compared with."""

    kind: Literal["logistic", "scorecard", "xgboost", "rule"]
    features: list[str] | Literal["all"] = "all"
    params: dict[str, Number] = Field({})
    rounds: int = 100
    early_stopping_rounds: int = 10


class Evaluation(Section):
    """How a ranking is judged."""

    budget_share: Share
    daily_budget: Literal["alerts_per_day"] | Annotated[int, Field(ge=1)] | None = Field(
        None, description="alerts a day: each client's setting of that name, as nights have it, or a number"
    )
    loss_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the exposure that a missed event loses; an alert costs the client's alert_cost",
    )
    calibration_bins: int = Field(ge=2)
    bootstrap_draws: int = Field(ge=50)
    interval: Share


class Fairness(Section):
    """What a model may not do to groups. They are never features."""

    groups: list[Literal["age_band", "region", "gender"]]
    min_rows: int = Field(ge=1, description="smaller groups are shown and never flagged")
    least_impact_ratio: Share = 0.8
    outcome: Literal["approved", "selected"]
    band: str = Field(description="from it on, a row is not approved, or is selected")
    blocks: bool = Field(description="whether a flag keeps a version from being promoted, or is only shown")


class Guardrails(Section):
    """What a new champion must keep, however much better it ranks."""

    calibration_error: float = Field(ge=0, description="most that it may exceed the champion's")
    most_calibration_error: float = Field(
        gt=0, lt=1, description="of any version, also of a first one: more is refused where it is certain"
    )
    score_psi: float = Field(
        gt=0, description="population stability index of the scores against the champion's"
    )
    fairness: Fairness | None = None


class Promotion(Section):
    """What a version must be better than, by the paired difference in the metric."""

    metric: str = "average_precision"
    over_baselines: dict[str, Lead]
    over_champion: float = Field(
        description="what the lower bound of the difference must exceed; the difference itself is positive"
    )
    guardrails: Guardrails


class Confidence(Section):
    """Range of the training rows that counts as known ground."""

    lower_quantile: float = Field(0.01, ge=0, lt=0.5)
    upper_quantile: float = Field(0.99, gt=0.5, le=1)
    ages: dict[str, Literal["up", "down"]] = Field(
        {}, description="features that time alone moves, and whither: on that side nothing is out of range"
    )


class ReasonText(Section):
    """Words for one feature. `{value}` and `{typical}` are filled in, formatted by the feature's unit."""

    code: str
    text: str
    one: str | None = Field(None, description="instead of `text` when the value reads 1")
    missing: str | None = Field(None, description="instead of `text` when the value is missing")


class Reasons(Section):
    """How contributions become words."""

    top: int = Field(ge=0, description="reasons that a row has at most; 0: scores only")
    unknown: str = "unknown"
    of_missing: bool = Field(True, description="whether a missing value may be a reason")
    default: str = "{label}: {value} (typical: {typical})"
    relative_to: Literal["average", "approved"] = Field(
        "average",
        description="what contributions are counted from; approved: the mean below the highest band",
    )
    catalogue: Literal["adverse_action_reasons"] | None = Field(
        None, description="seed that says which features may be given, under which code; one reason a code"
    )
    from_band: str | None = Field(None, description="rows of lower bands are not explained; default: all are")
    texts: dict[str, ReasonText] = Field({})


class UseCase(Described):
    """Configuration of a model that gives each row a score from 0 to 1."""

    family: Literal["scores"] = "scores"
    features: list[str] = Field(
        min_length=1, description="models of dbt schema `features`, or attributes.<source>"
    )
    module: str | None = Field(
        None,
        description="file of `ml/models` with the SQL, such as `labelled`; default: the model's own name",
    )
    estimator: Annotated[Boosted | Forest, Field(discriminator="kind")]
    parameters: dict[str, int | float | str | list[str]] = Field({}, description="of the SQL in the module")
    label: Label | None = None
    dates: Dates
    minimums: Minimums
    baselines: dict[str, Baseline] = Field({})
    evaluation: Evaluation | None = None
    promotion: Promotion | None = None
    bands: dict[str, float]
    client_bands: dict[str, dict[str, float]] = Field(
        {}, description="thresholds of clients that have their own; from clients/<client>.yml, not from here"
    )
    confidence: Confidence = Confidence()
    reasons: Reasons

    @model_validator(mode="before")
    @classmethod
    def _bands_follow_from_the_quota(cls, values: Any) -> Any:
        """A forest's quota says where its upper band begins; the YAML says it once."""
        estimator = values.get("estimator")
        quota = estimator.get("quota") if isinstance(estimator, dict) else None
        if isinstance(quota, float):
            values = {"bands": {"usual": 0.0, "unusual": round(1 - quota, 9)}} | values
        return values

    @model_validator(mode="after")
    def _numbers_fit_together(self) -> "UseCase":
        thresholds = list(self.bands.values())
        if not thresholds or thresholds[0] != 0 or thresholds != sorted(set(thresholds)):
            raise ValueError("bands must begin at 0 and ascend")
        fairness = self.fairness
        if fairness is not None and fairness.band not in self.bands:
            raise ValueError("promotion.guardrails.fairness.band must be one of the bands")
        if self.attributes.groups and not any(of.startswith("attributes.") for of in self.features):
            raise ValueError("attributes.groups needs a table attributes.<source> among the features")
        if self.reasons.relative_to == "approved" and (fairness is None or fairness.outcome != "approved"):
            raise ValueError("reasons.relative_to: approved needs fairness with outcome: approved")
        if self.reasons.from_band is not None and self.reasons.from_band not in self.bands:
            raise ValueError("reasons.from_band must be one of the bands")
        if isinstance(self.estimator, Forest):
            if list(self.bands.values())[1:] != [round(1 - self.estimator.quota, 9)]:
                raise ValueError("the bands of a forest follow from estimator.quota; leave them out")
            if self.reasons.from_band != list(self.bands)[-1]:
                raise ValueError("reasons.from_band of a forest must be unusual: nobody else is compared")
            return self
        if self.label is None or self.evaluation is None or self.promotion is None:
            raise ValueError("a model that learns from labels needs label, evaluation and promotion")
        if not self.baselines or set(self.promotion.over_baselines) > set(self.baselines):
            raise ValueError("promotion.over_baselines must name some of the baselines, and nothing else")
        return self

    def with_bands_of(self, own: Mapping[str, Mapping[str, float]]) -> "UseCase":
        """The same with the thresholds that clients have set for themselves.

        Args:
            own: by client, the bands that begin elsewhere for it.

        Raises:
            ConfigError: a band is not one of this model, or the thresholds do not ascend.
        """
        found = {}
        for client, changed in own.items():
            bands = {**self.bands, **changed}
            if isinstance(self.estimator, Forest):
                raise ConfigError(
                    f"clients/{client}.yml: bands.{self.name}: they follow from the model's quota"
                )
            if unknown := sorted(set(changed) - set(self.bands)):
                raise ConfigError(
                    f"clients/{client}.yml: bands.{self.name} names {', '.join(unknown)}; "
                    f"the model has {', '.join(self.bands)}"
                )
            values = list(bands.values())
            if values[0] != 0 or values != sorted(set(values)):
                raise ConfigError(f"clients/{client}.yml: bands.{self.name} must begin at 0 and ascend")
            found[client] = bands
        return self.model_copy(update={"client_bands": found})

    @property
    def fairness(self) -> Fairness | None:
        """How groups are compared, if they are."""
        return self.promotion.guardrails.fairness if self.promotion else None

    @property
    def boosted(self) -> Boosted:
        """The estimator of a model that learns from labels."""
        assert isinstance(self.estimator, Boosted)  # noqa: S101 - narrows the type
        return self.estimator

    @property
    def matures_after(self) -> int:
        """Days from the day of a row until it can be learnt from."""
        return self.label.matures_after if self.label else 0
