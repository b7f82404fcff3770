"""Clients (tenants): one `clients/<client_id>.yml` each."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nightledger.actions import NextBestAction
from nightledger.model_files import ModelFile, ModelFileError, model_files
from nightledger.settings import Settings

SEGMENT = "segment_"
"""How the name of a segment's own version begins, after the client: `churn.demo_bank.segment_3`."""


class ClientError(ValueError):
    """A client's settings cannot be used; the message names file and key."""


class Approval(BaseModel):
    """Which models score only what a person has approved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Literal["all"] | list[str] = []

    def asks_for(self, model: str) -> bool:
        """Whether a version of this model, as the registry calls it, needs a person."""
        return self.models == "all" or model.partition(".")[0] in self.models


class ModelUse(BaseModel):
    """Whether a client uses a model, and for how many of its customers a version is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="false: not trained on, not pinned, not scored, no action")
    scope: Literal["client", "vertical", "segment"] | None = Field(
        None,
        description="a version for the client, or for each of its verticals or segments of segments_rfm;"
        " whom none serves is scored by the model of the file. None: as the model's file says",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.scope and not self.enabled:
            raise ValueError("`scope` is of a model that is used; leave it out, or `enabled: false`")
        return self


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
    alerts_without_reports: bool = Field(
        False,
        description="people look into them although the client's feed has never told a fraud, so that no"
        " model has learnt of its payments",
    )
    anomalies_per_day: int = Field(
        20, ge=0, description="unusual customers, and as many transactions, that people can look at in a day"
    )
    risk_weights: RiskWeights = RiskWeights()

    models: dict[str, ModelUse] = Field(
        {}, description="by model; those that are not named are used as their files say"
    )
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

    @property
    def switched_off(self) -> frozenset[str]:
        """Models that this client does not use."""
        return frozenset(name for name, use in self.models.items() if not use.enabled)

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
    models = _models(settings)
    for path in sorted(settings.clients.glob("*.yml")):
        values = yaml.safe_load(path.read_text()) or {}
        try:
            client = Client(client_id=path.stem, **values)
        except (ValidationError, TypeError, KeyError) as error:
            raise ClientError(f"{path.name}: {error}") from error
        try:
            client.next_best_action.refuse_vain(models, client.switched_off)
        except ValueError as error:
            raise ClientError(f"{path.name}: next_best_action: {error}") from error
        _refuse_unusable(client, models)
        clients[client.client_id] = client
    return clients


def uses(settings: Settings, clients: Mapping[str, Client], model: str) -> bool:
    """Whether nights from now on score with a model, as the registry calls it (`churn`, `churn.demo_bank`).

    A version that a client had made for itself is used as long as its `scope` says so.
    """
    name, _, member = model.partition(".")
    owner, _, part = member.partition(".")
    if owner not in clients:
        return any(name not in client.switched_off for client in clients.values())
    said = clients[owner].models.get(name, ModelUse())
    asked = "segment" if part.startswith(SEGMENT) else "vertical" if part else "client"
    file = _models(settings).get(name)
    written = _said(file) if file else {}
    # Families other than scores are made for one client each, whether their YAML says so or not.
    own = written.get("scope", "global" if written.get("family", "scores") == "scores" else "client")
    return said.enabled and asked in (said.scope, own)


def _models(settings: Settings) -> dict[str, ModelFile]:
    try:
        return model_files(settings.folders_of_models)
    except ModelFileError as error:
        raise ClientError(str(error)) from error


def _said(file: ModelFile) -> dict[str, Any]:
    try:
        return file.said()
    except ModelFileError as error:
        raise ClientError(str(error)) from error


def _refuse_unusable(client: Client, files: Mapping[str, ModelFile]) -> None:
    """Refuse a slip in `models`: it would leave a model on, or without the versions that were asked for."""
    if unknown := sorted(set(client.models) - set(files)):
        raise ClientError(
            f"{client.client_id}.yml: models: there is no {', '.join(unknown)}; known are "
            f"{', '.join(sorted(files))}"
        )
    for name, use in client.models.items():
        if use.scope and _said(files[name]).get("family", "scores") != "scores":
            raise ClientError(
                f"{client.client_id}.yml: models.{name}.scope: it gives no scores; its versions are of one "
                "client each already"
            )
