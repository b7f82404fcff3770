"""The key `pull` of a source contract: where a bank's paged JSON is asked for, and how."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def _duration(value: object) -> object:
    """A number and a unit, such as 3d or 30s."""
    match = re.fullmatch(r"(\d{1,6})\s*([dhms])", str(value))
    if match is None:
        raise ValueError(f"{value!r} is no duration: write a number and d, h, m or s, such as 3d or 30s")
    return timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CursorPaging(_Strict):
    """Each page names the next one: the value at `path` goes into `parameter`.

    A page without such a value is the last; so is one whose `more_path` leads to `false`.
    """

    parameter: str
    path: str
    more_path: str | None = None


class OffsetPaging(_Strict):
    """Pages are asked for by the number of records before them, until one is empty or all are there."""

    parameter: str
    size: int = Field(500, ge=1, le=100_000)
    size_parameter: str = "limit"
    total_path: str | None = None


class Since(_Strict):
    """The first day that is asked for: the day of the last whole pull, less `overlap`.

    The overlap brings what the bank has corrected or posted late; keys count it once. The first pull asks
    from `first` on, or for everything.
    """

    parameter: str
    format: str = "%Y-%m-%d"
    overlap: Duration = timedelta(days=1)
    first: date | None = None

    @field_validator("overlap")
    @classmethod
    def _whole_days(cls, value: timedelta) -> timedelta:
        if value % timedelta(days=1):
            raise ValueError("overlap is a number of whole days, such as 3d")
        return value

    def text(self, day: date) -> str:
        """A day as the server wants it; `unix` is its first second in UTC."""
        if self.format == "unix":
            return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))
        return day.strftime(self.format)


class PullToken(_Strict):
    """The header that carries the token of the settings."""

    header: str = "Authorization"
    prefix: str = "Bearer "


class Pull(_Strict):
    """One list of JSON objects behind one address, in pages."""

    url: str
    cursor: CursorPaging | None = None
    offset: OffsetPaging | None = None
    since: Since | None = None
    parameters: dict[str, str] = {}
    token: PullToken | None = None
    timeout: Duration = timedelta(seconds=30)
    """For one page, from the first byte sent to the last one received."""
    attempts: int = Field(5, ge=1, le=20)
    max_pages: int = Field(1000, ge=1, le=99_999)
    max_page_bytes: int = Field(32 << 20, ge=1, le=512 << 20)

    @field_validator("token", mode="before")
    @classmethod
    def _bearer(cls, value: object) -> object:
        return {} if value == "bearer" else value

    @field_validator("url")
    @classmethod
    def _safe_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("write a whole address, such as https://api.bank.example/v1/transactions")
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise ValueError("http is for this machine only; a bank's data and tokens travel by https")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError(
                "the address carries no query, user or password; use `parameters`, and `token` with "
                "NIGHTLEDGER_PULL_TOKENS"
            )
        return value

    @model_validator(mode="after")
    def _one_paging(self) -> Self:
        if (self.cursor is None) == (self.offset is None):
            raise ValueError("give exactly one of cursor and offset")
        made = [*self.parameters]
        made += [self.cursor.parameter] if self.cursor else []
        made += [self.offset.parameter, self.offset.size_parameter] if self.offset else []
        made += [self.since.parameter] if self.since else []
        for name in made:
            if made.count(name) > 1:
                raise ValueError(f"the parameter {name} has two meanings")
        return self

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        return _is_this_machine(str(urlsplit(self.url).hostname))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def at(document: object, path: str | None) -> object:
    """What stands at a dotted path of a JSON document; None when nothing does. No path means all of it."""
    for name in path.split(".") if path else ():
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
