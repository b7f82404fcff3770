"""What a client's next best actions may be (`next_best_action` of its file), and how dbt gets to know."""

import csv
from collections.abc import Iterable, Mapping, Set
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal, Self

import duckdb
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nightledger.model_files import ModelFile
from nightledger.settings import PROJECT

if TYPE_CHECKING:
    from nightledger.clients import Client

Share = Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)]
Money = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
SEGMENTS, LIFETIME_VALUE = "segments_rfm", "lifetime_value"
"""Models whose segments and lifetime values actions ask for."""
_DIGITS = 8
"""Hexadecimal digits that decide between treatment and control."""


@cache
def _known(seed: str, column: str) -> tuple[str, ...]:
    with (PROJECT / "dbt_project" / "seeds" / f"{seed}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(dict.fromkeys(row[column] for row in csv.DictReader(file)))


def _refuse_unknown(key: str, names: Iterable[str], seed: str, column: str) -> None:
    known = _known(seed, column)
    for name in names:
        if name and name not in known:
            raise ValueError(f"`{key}`: there is no {name}; known are {', '.join(known)}")


def _as_an_entry(value: str) -> str:
    """As SQL looks it up among a customer's consents: in lower case, without blanks."""
    entry = "".join(value.lower().split())
    if set(entry) & set(";,%"):
        raise ValueError(f"{value!r} must be one entry of the consents, without `;`, `,` and `%`")
    return entry


_Entry = Annotated[str, AfterValidator(_as_an_entry)]


class Action(BaseModel):
    """One thing that can be done for a customer: for whom, what it costs, what it is hoped to bring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("", description="whose champion's score of the customer is asked for")
    bands: list[str] = Field([], description="of the model; none: any")
    least_score: float | None = Field(None, ge=0, le=1)
    greatest_score: float | None = Field(None, ge=0, le=1)
    event: str = Field("", description="life event of the seed `life_events`")
    least_strength: float = Field(0, ge=0, le=1, description="of the event's evidence")
    segments: list[str] = Field([], description="names of segments of model segments_rfm; none: any")
    least_lifetime_value: Money | None = None

    value: Literal["amount", "at_risk", "lifetime_value"] = Field(
        "amount",
        description="what a customer who does as hoped is worth: `amount`, the score's exposure, or theirs",
    )
    amount: Money | None = None
    response: Share = Field(
        description="assumed: of what is at stake, the share that does as hoped because of the contact;"
        " at stake are all contacted, with `value: at_risk` only those who would leave, as the score says"
    )
    cost: Money = Field(description="of one contact")
    budget: Money | None = Field(None, description="for contacts in a calendar month; none: no limit")
    control: Annotated[Decimal, Field(ge=Decimal("0.05"), le=Decimal("0.5"), decimal_places=4)] = Decimal(
        "0.2"
    )

    outcome: Literal["active", "category"] = Field(
        "active",
        description="what is hoped for: a transaction that the customer starts, or one of a category",
    )
    outcome_category: str = ""
    window_days: int = Field(30, ge=1, le=365, description="days after the assignment in which it counts")
    first_day: date | None = Field(None, description="as-of date from which customers are assigned")
    last_day: date | None = Field(None, description="last one")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not (self.model or self.event or self.segments):
            raise ValueError("say for whom: `model`, `event` or `segments`")
        bounds = (self.least_score, self.greatest_score)
        if not self.model and (self.bands or bounds != (None, None) or self.value == "at_risk"):
            raise ValueError(
                "`bands`, `least_score`, `greatest_score` and `value: at_risk` are of a score:"
                " name its `model`"
            )
        if (self.value == "amount") != (self.amount is not None):
            raise ValueError("`amount` is the worth of a customer where `value` is `amount`, and only there")
        if (self.outcome == "category") != bool(self.outcome_category):
            raise ValueError("`outcome_category` goes with `outcome: category`, and only with it")
        _refuse_unknown("event", [self.event], "life_events", "event")
        _refuse_unknown("outcome_category", [self.outcome_category], "categories", "category")
        return self

    @property
    def needs(self) -> set[str]:
        """Models without which it cannot be proposed."""
        asks_for_worth = self.value == "lifetime_value" or self.least_lifetime_value is not None
        return {
            *([self.model] if self.model else []),
            *([SEGMENTS] if self.segments else []),
            *([LIFETIME_VALUE] if asks_for_worth else []),
        }


class NextBestAction(BaseModel):
    """Whom a client contacts, why, how often, and what it may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    consent: _Entry = Field(
        "marketing", description="what customers must have consented to; empty: nothing is asked"
    )
    opted_out: _Entry = Field("no_profiling", description="consent entry of those whom nothing is told about")
    least_age: int = Field(
        18,
        ge=0,
        description="years; whoever may be younger, by the year of birth, is not contacted; 0: all are",
    )
    contact_pause_days: int = Field(
        30, ge=0, description="between two assignments of one customer; no action's window may be longer"
    )
    excluded_events: list[str] = Field([], description="life events that are never told")
    excluded_segments: list[str] = Field([], description="segments of model segments_rfm left in peace")
    excluded_levels: list[Literal["low", "medium", "high", "critical"]] = Field(
        [], description="of the risk assessment"
    )
    seed: int = Field(7, description="of the split into treatment and control")
    actions: dict[_Name, Action] = {}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _refuse_unknown("excluded_events", self.excluded_events, "life_events", "event")
        for name, action in self.actions.items():
            if action.window_days > self.contact_pause_days:
                raise ValueError(
                    f"`window_days` of {name} is {action.window_days}, `contact_pause_days` is"
                    f" {self.contact_pause_days}: a control could be contacted by another action while its"
                    " outcome still counts; make the pause as long as the longest window"
                )
        return self

    def refuse_vain(self, files: Mapping[str, ModelFile], switched_off: Set[str] = frozenset()) -> None:
        """Refuse models and bands that would lead to nothing.

        Args:
            files: where each model there is stands, by its name.
            switched_off: models that the client does not use.

        Raises:
            ValueError: a model does not exist or gives no scores of customers, or has no such band; or
                nobody would be protected, because there are no segments.
        """
        asked = {action.model for action in self.actions.values() if action.model}
        if unknown := sorted(asked - set(files)):
            raise ValueError(f"there is no model {', '.join(unknown)}; known are {', '.join(sorted(files))}")
        if self.excluded_segments and SEGMENTS in switched_off:
            raise ValueError(
                f"`excluded_segments` protects nobody while models.{SEGMENTS} is not enabled: leave one out"
            )
        for name, action in self.actions.items():
            if not action.model:
                continue
            bands = bands_of_customers(files[action.model])
            if not bands:
                raise ValueError(
                    f"actions.{name}: {action.model} gives customers no scores; `segments` and"
                    " `value: lifetime_value` need no `model`"
                )
            if strange := [band for band in action.bands if band not in bands]:
                raise ValueError(
                    f"actions.{name}: {action.model} has no band {', '.join(strange)};"
                    f" it has {', '.join(bands)}"
                )


def bands_of_customers(file: ModelFile) -> list[str]:
    """Bands of a model as its file says them; none when it does not score customers.

    Reads the file itself: `ml` needs this package and cannot be needed by it. `ml.config` says what the
    keys mean.
    """
    said = file.said()
    if said.get("family", "scores") != "scores" or said.get("entity") != "customer":
        return []
    estimator = said.get("estimator") or {}
    return ["usual", "unusual"] if "quota" in estimator else list(said.get("bands") or {})


def control_below(share: Decimal) -> str:
    """Bound in hexadecimal digits: a customer whose hash sorts below it is in the control group.

    Hashes (MD5, lower case) are evenly spread, so a `share` of them sorts below; texts compare the same in
    every engine.
    """
    return f"{round(share * 16**_DIGITS):0{_DIGITS}x}"


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of schema `ops` that `write` fills, where they are missing."""
    connection.execute("""
        create table if not exists ops.client_rules (
            client_id varchar, consent varchar, opted_out varchar, least_age integer,
            contact_pause_days integer, switched_off varchar, excluded_events varchar,
            excluded_segments varchar, excluded_levels varchar, seed bigint);
        create table if not exists ops.client_actions (
            client_id varchar, action varchar, position integer, model varchar, bands varchar,
            least_score float, greatest_score float, event varchar, least_strength float, segments varchar,
            least_lifetime_value decimal(18, 4), value_kind varchar, amount decimal(18, 4),
            response decimal(6, 4), cost decimal(18, 4), budget decimal(18, 4), control_share decimal(6, 4),
            control_below varchar, outcome varchar, outcome_category varchar, window_days integer,
            first_day date, last_day date);
        create table if not exists ops.models_off (client_id varchar, model varchar, as_of_date date);
    """)


def write(connection: duckdb.DuckDBPyConnection, clients: Iterable["Client"]) -> None:
    """Tell the open build the rules and actions of the clients it serves; lists as `;a;b;`.

    Actions that need a model which the client has switched off are left out.
    """
    connection.execute("delete from ops.client_rules; delete from ops.client_actions")
    for client in clients:
        said = client.next_best_action
        connection.execute(
            "insert into ops.client_rules values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [client.client_id, said.consent, said.opted_out, said.least_age, said.contact_pause_days]
            + [_listed(names) for names in (sorted(client.switched_off), said.excluded_events)]
            + [_listed(names) for names in (said.excluded_segments, said.excluded_levels)]
            + [said.seed],
        )
        for position, (name, action) in enumerate(said.actions.items(), start=1):
            if action.needs & client.switched_off:
                continue
            row = [client.client_id, name, position, action.model or None, _listed(action.bands)]
            row += [action.least_score, action.greatest_score, action.event or None, action.least_strength]
            row += [_listed(action.segments), action.least_lifetime_value, action.value, action.amount]
            row += [action.response, action.cost, action.budget, action.control]
            row += [control_below(action.control), action.outcome, action.outcome_category or None]
            row += [action.window_days, action.first_day, action.last_day]
            marks = ", ".join("?" * len(row))
            connection.execute(f"insert into ops.client_actions values ({marks})", row)  # noqa: S608


def note_switched_off(connection: duckdb.DuckDBPyConnection, clients: Iterable["Client"]) -> None:
    """Tell the open build which models clients do not use on those of tonight's dates that are not published.

    What a published date was scored with does not follow later settings.
    """
    connection.execute("""
        create or replace temp table _undecided as
        select dates.client_id, dates.as_of_date
        from ops.as_of_dates as dates
        left join ops.base_horizon as base using (client_id)
        where dates.is_tonight and (base.as_of_date is null or dates.as_of_date > base.as_of_date);
        delete from ops.models_off
        where (client_id, as_of_date) in (select (client_id, as_of_date) from _undecided)
    """)
    for client in clients:
        connection.execute(
            "insert into ops.models_off select client_id, unnest($models::varchar[]), as_of_date"
            " from _undecided where client_id = $client",
            {"client": client.client_id, "models": sorted(client.switched_off)},
        )
    connection.execute("drop table _undecided")


def _listed(names: Iterable[str]) -> str:
    """Names as SQL looks them up: `like '%;name;%'`; empty for none."""
    return "".join(f";{name}" for name in names) + ";" if names else ""
