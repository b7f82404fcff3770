"""Clients (tenants): one `clients/<client_id>.yml` each."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nightledger.settings import Settings


class ClientError(ValueError):
    """A client's settings cannot be used; the message names file and key."""


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
    for path in sorted(settings.clients.glob("*.yml")):
        values = yaml.safe_load(path.read_text()) or {}
        try:
            client = Client(client_id=path.stem, **values)
        except (ValidationError, TypeError, KeyError) as error:
            raise ClientError(f"{path.name}: {error}") from error
        clients[client.client_id] = client
    return clients
