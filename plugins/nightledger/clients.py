"""Clients (tenants): one `clients/<client_id>.yml` each."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nightledger.actions import NextBestAction
from nightledger.settings import Settings


class ClientError(ValueError):
    """A client's settings cannot be used; the message names file and key."""


class Approval(BaseModel):
    """Which models score only what a person has approved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Literal["all"] | list[str] = []

    def asks_for(self, model: str) -> bool:
        """Whether a version of this model, as the registry calls it, needs a person."""
        return self.models == "all" or model.partition(".")[0] in self.models


class LossLimit(BaseModel):
    """What a model may miss before it is taken back; see docs/metric-decisions.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(gt=0, lt=1, description="of the exposure, over the last matured days")


Weight = Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)]


class RiskWeights(BaseModel):
    """How much each factor counts in the risk assessment; see docs/metric-decisions.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    credit: Weight = Decimal("0.4")
    fraud: Weight = Decimal("0.3")
    anomaly: Weight = Decimal("0.1")
    churn: Weight = Decimal("0.2")

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        total = self.credit + self.fraud + self.anomaly + self.churn
        if total != 1:
            raise ValueError(f"credit, fraud, anomaly and churn add up to {total}; they must add up to 1")
        return self


class Client(BaseModel):
    """Settings of one client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str
    name: str
    timezone: str = Field("UTC", description="IANA zone of the client's business day")
    base_currency: str = Field(pattern="^[A-Z]{3}$")
    country: str = Field("", description="ISO 3166 alpha-2")
    cutoff: time = Field(time(2, 0), description="local time of D+1 until which a fact counts as known on D")
    interchange_rate: Decimal = Field(
        Decimal(0),
        ge=0,
        le=Decimal("0.05"),
        max_digits=9,
        decimal_places=6,
        description="share of a card purchase that the client earns; 0: none is counted",
    )
    alert_cost: Decimal = Field(
        Decimal(5),
        ge=0,
        max_digits=18,
        decimal_places=4,
        description="what looking into one fraud alert costs, in base currency; less is not worth an alert",
    )
    alerts_per_day: int = Field(50, ge=0, description="fraud alerts that people can look into in a day")
    anomalies_per_day: int = Field(
        20, ge=0, description="unusual customers, and as many transactions, that people can look at in a day"
    )
    risk_weights: RiskWeights = RiskWeights()

    bands: dict[str, dict[str, float]] = Field(
        {}, description="by model, where its bands begin for this client: {churn: {medium: 0.05, high: 0.2}}"
    )
    approval: Approval = Approval()
    loss_limits: dict[str, LossLimit] = Field({}, description="by model; none: no limit")
    next_best_action: NextBestAction = NextBestAction()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        ZoneInfo(value)
        return value

    def cutoff_at(self, as_of: date) -> datetime:
        """First instant (UTC, no zone attached, as in the warehouse) that is too late for `as_of`."""
        local = datetime.combine(as_of + timedelta(days=1), self.cutoff, ZoneInfo(self.timezone))
        return local.astimezone(UTC).replace(tzinfo=None)


def load_clients(settings: Settings) -> dict[str, Client]:
    """All clients of the installation by id.

    Raises:
        ClientError: a file is not valid; names the file, the key and what is wrong.
    """
    clients = {}
    folders = (settings.project / "ml" / "models", *settings.model_folders)
    models = {file.stem: file for folder in folders for file in folder.glob("*.yml")}
    for path in sorted(settings.clients.glob("*.yml")):
        values = yaml.safe_load(path.read_text()) or {}
        try:
            client = Client(client_id=path.stem, **values)
        except (ValidationError, TypeError, KeyError) as error:
            raise ClientError(f"{path.name}: {error}") from error
        try:
            client.next_best_action.refuse_vain(models)
        except ValueError as error:
            raise ClientError(f"{path.name}: next_best_action: {error}") from error
        clients[client.client_id] = client
    return clients
