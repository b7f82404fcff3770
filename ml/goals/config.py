"""What the YAML of a model that ranks life events may say."""

from typing import Literal

from pydantic import Field

from ml.config import Described, Number, Section, Share


class Ranker(Section):
    """Gradient-boosted trees that rank the events of a customer."""

    params: dict[str, Number]
    rounds: int = Field(ge=1)


class Evaluation(Section):
    """How intervals are made."""

    bootstrap_draws: int = Field(ge=50)
    interval: Share


class Promotion(Section):
    """What the lower end of the lead must be above for a ranker to rank."""

    over_lists: dict[Literal["popularity", "rules"], float] = Field(min_length=1)
    over_champion: float


class Goals(Described):
    """Configuration of a model that ranks a customer's likely life events; one version a client."""

    family: Literal["goals"]
    entity: Literal["customer"]
    scope: Literal["client"]
    segments: str = Field(description="model whose segments popularity goes by")
    positive: list[str] = Field(min_length=1, description="values of a label that say that it happened")
    before_days: int = Field(ge=0, description="an event is right on a date at most so many days after it")
    after_days: int = Field(ge=0, description="or before it")
    delay_days: int = Field(ge=0, description="until what happened is told")
    test_share: Share = Field(description="of the dates, the latest, that are judged")
    least_cases: int = Field(ge=1, description="with an event, to learn from and to judge by")
    list_length: int = Field(ge=1, description="events that somebody looks at")
    prior: float = Field(ge=0, description="rows that an event's frequency everywhere weighs as")
    ranker: Ranker
    evaluation: Evaluation
    promotion: Promotion

    @property
    def metrics(self) -> tuple[str, str]:
        """Names of the two: how high the right event stands, and whether it is in the list."""
        return f"ndcg_at_{self.list_length}", f"hit_at_{self.list_length}"
