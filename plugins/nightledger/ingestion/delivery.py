"""How files come: what a file says of what was said before, for which day it is, and when it is due."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import holidays
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CALENDARS = (
    "daily, weekdays, business_days, weekly:<day> or monthly:<number>, such as weekly:monday or monthly:1"
)


def _moment(value: object) -> object:
    """`[<days>d ]HH:MM` after midnight of the business date, local; without days it is on the next day."""
    if isinstance(value, int):  # what YAML makes of 10:30 without quotes
        value = f"{value // 60:02d}:{value % 60:02d}"
    match = re.fullmatch(r"(?:(\d+)d )?([01]\d|2[0-3]):([0-5]\d)", str(value))
    if match is None:
        raise ValueError(f"{value!r} is no moment: write HH:MM of the next day, or days before it: 2d 06:00")
    days = int(match.group(1)) if match.group(1) else 1
    return timedelta(days=days, hours=int(match.group(2)), minutes=int(match.group(3)))


Moment = Annotated[timedelta, BeforeValidator(_moment)]


class FromName(BaseModel):
    """Dates that stand in a file's name; `pattern` has a group in brackets around each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str
    format: str = "%Y-%m-%d"

    @field_validator("pattern")
    @classmethod
    def _one_or_two(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if groups not in (1, 2):
            raise ValueError(f"needs one or two groups in brackets, around the dates; it has {groups}")
        return value

    def dates(self, file: str) -> list[date]:
        """The dates in a name; none when it has none that can be read."""
        match = re.search(self.pattern, file)
        try:
            return [datetime.strptime(text, self.format).date() for text in match.groups()] if match else []  # noqa: DTZ007
        except (TypeError, ValueError):
            return []


class Delivery(BaseModel):
    """How files of a source come.

    `append` adds. `upsert` gives known keys another content. `replace_period` speaks for a whole period: what
    was told before for a business date in it, and is not told again, holds no longer. Superseded versions
    stay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["append", "upsert", "replace_period"] = "append"
    period: Literal["content", "manifest"] | FromName = "content"
    calendar: str | None = None
    starts: date | None = None
    day: FromName | None = None
    due_by: Moment = Field(timedelta(days=1, hours=2), validate_default=False)
    deadline: Moment | None = None
    required: bool = False

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str | None) -> str | None:
        kind, _, detail = str(value).partition(":")
        is_known = value in (None, "daily", "weekdays", "business_days")
        is_known = is_known or (kind == "weekly" and detail in WEEKDAYS)
        is_known = is_known or (kind == "monthly" and detail.isdigit() and 1 <= int(detail) <= 28)
        if not is_known:
            raise ValueError(f"{value!r} is no calendar: write {CALENDARS}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.deadline is not None and not (self.required and self.calendar):
            raise ValueError("a deadline is for a required source with a calendar")
        if self.deadline is not None and self.deadline < self.due_by:
            raise ValueError("the deadline lies before due_by")
        return self

    def expects(self, day: date, country: str) -> bool:
        """Whether a file for a business date is expected.

        Args:
            day: the business date.
            country: ISO 3166 alpha-2, for the holidays of `business_days`; without one only weekends count.
        """
        if self.calendar is None or (self.starts and day < self.starts):
            return False
        kind, _, detail = self.calendar.partition(":")
        if kind == "weekly":
            return WEEKDAYS[day.weekday()] == detail
        if kind == "monthly":
            return day.day == int(detail)
        is_weekend = kind != "daily" and day.weekday() >= 5
        is_holiday = kind == "business_days" and bool(country) and day in holidays.country_holidays(country)
        return not is_weekend and not is_holiday

    def moment(self, day: date, offset: timedelta, zone: str) -> datetime:
        """A moment of a business date as UTC without a zone, such as that of `due_by`."""
        midnight = datetime.combine(day + timedelta(days=offset.days), time())
        local = midnight + timedelta(seconds=offset.seconds)
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)

    def day_of(self, file: str, manifest: dict[str, Any] | None) -> date | None:
        """Business date that a file is for, as its name or else its manifest says."""
        if self.day is not None:
            return next(iter(self.day.dates(file)), None)
        return _date((manifest or {}).get("business_date"))

    def period_of(self, file: str, manifest: dict[str, Any] | None) -> tuple[date, date] | None:
        """First and last business date that a file speaks for; None when it follows from its content.

        Raises:
            ValueError: the file's name or manifest should say it, and does not.
        """
        if self.period == "content":
            return None
        if self.period == "manifest":
            stated = [_date((manifest or {}).get(key)) for key in ("period_from", "period_to")]
            found = [day for day in stated if day is not None]
        else:
            found = self.period.dates(file)
        if not found or found[0] > found[-1] or (self.period == "manifest" and len(found) < 2):
            where = "manifest" if self.period == "manifest" else "name"
            raise ValueError(f"its {where} does not say which period it speaks for")
        return found[0], found[-1]


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None
