"""Customers and dates with the evidence that the rules had for each event, and what really happened."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.goals.config import Goals
from ml.intervals import Vector
from ml.segments import past
from ml.segments.config import Segments
from ml.segments.model import Segmentation

SYNONYMS = {"move": "new_home", "home_purchase": "new_home"}
"""Kinds of the simulated bank that the rules know by another name."""
NO_SEGMENT = re.compile(r"(age \d+)?$")
"""What stands for the segment of a customer who had none on the date: the decade of the age, if known."""
TRUTH = pa.schema([("customer_id", pa.string()), ("event", pa.string()), ("day", pa.date32())])

_TOLD = """
    with stated as (
        select l.entity_id as customer_id, l.label as event,
               timezone(c.timezone, timezone('UTC', l.event_at))::date as day,
               arg_max(list_contains($positive::varchar[], lower(l.value)),
                       (l.known_at, l._load_id, l._record)) as is_event
        from staging.stg_labels as l
        join ops.clients as c on c.client_id = l.client_id
        where l.client_id = $client and l.entity = 'customer' and l.known_at < $before
          and l.label in (select event from staging.life_events)
        group by all)
    select customer_id, event, day from stated where is_event and day is not null order by all
"""
_ROWS = """
    with known as (
        select f.customer_id, f.as_of_date,
               coalesce(s.name, case when v.birth_year is null then '' else
                   'age ' || (year(f.as_of_date) - v.birth_year) // 10 end) as segment
        from features.features_customers as f
        join ops.as_of_dates as d on d.client_id = f.client_id and d.as_of_date = f.as_of_date
        left join intermediate.int_customers as v
          on v.client_id = f.client_id and v.customer_id = f.customer_id and v.known_at < d.cutoff_at
         and (v.superseded_at is null or v.superseded_at >= d.cutoff_at)
        left join segments as s on s.customer_id = f.customer_id and s.as_of_date = f.as_of_date
        where f.client_id = $client and f.as_of_date in $days),
    told as (
        select customer_id, as_of_date, event, least(sum(strength), 1)::double as strength,
               count(*)::double as evidence
        from intermediate.int_life_event_evidence
        where client_id = $client and as_of_date in $days group by all)
    select k.customer_id, k.as_of_date, k.segment, e.event, coalesce(t.strength, 0) as strength,
           coalesce(t.evidence, 0) as evidence,
           exists (select 1 from truth as h where h.customer_id = k.customer_id and h.event = e.event
                   and h.day between k.as_of_date - $before and k.as_of_date + $after) as happened
    from known as k cross join staging.life_events as e
    left join told as t on t.customer_id = k.customer_id and t.as_of_date = k.as_of_date and t.event = e.event
    where not $with_evidence
       or (k.customer_id, k.as_of_date) in (select (customer_id, as_of_date) from told)
    order by k.as_of_date, k.customer_id, e.event
"""


class GoalsError(RuntimeError):
    """The lists cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Cases:
    """Customers and dates, an array of events each.

    Attributes:
        names: id of the customer, by case.
        day: as-of date, by case.
        segment: by case.
        strength, evidence, happened: cases × events, in the order of `events`.
        events: names.
    """

    names: NDArray[np.object_]
    day: NDArray[np.object_]
    segment: NDArray[np.object_]
    strength: Vector
    evidence: Vector
    happened: Vector
    events: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def customer(self) -> NDArray[np.int64]:
        """A number for each case's customer, from 0."""
        return np.asarray(np.unique(self.names, return_inverse=True)[1], dtype=np.int64)

    def where(self, chosen: NDArray[np.bool_]) -> "Cases":
        """Those of some cases."""
        names = (field.name for field in fields(self) if field.name != "events")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def with_event(self) -> "Cases":
        """Those in which anything happened."""
        return self.where(self.happened.max(axis=1, initial=0.0) > 0)


def dates(connection: duckdb.DuckDBPyConnection, client_id: str) -> list[tuple[date, datetime]]:
    """As-of dates of a client for which rules have looked for evidence, with their cutoffs, in order."""
    return connection.execute(
        "select as_of_date, cutoff_at from ops.as_of_dates where client_id = ? and (client_id, as_of_date) in"
        " (select (client_id, as_of_date) from intermediate.int_life_event_evidence) order by 1",
        [client_id],
    ).fetchall()


def told(connection: duckdb.DuckDBPyConnection, rules: Goals, client_id: str, before: datetime) -> pa.Table:
    """What customers had said by a time to have happened to them: `TRUTH`; of each day the last word counts.

    Args:
        connection: on a publication.
        rules: which values say that it happened.
        client_id: whose customers.
        before: first moment that is too late.
    """
    return (
        connection.execute(
            _TOLD,
            {"client": client_id, "positive": [value.lower() for value in rules.positive], "before": before},
        )
        .to_arrow_table()
        .cast(TRUTH)
    )


def read(
    connection: duckdb.DuckDBPyConnection,
    rules: Goals,
    client_id: str,
    days: Sequence[date],
    segments: pa.Table,
    truth: pa.Table | None = None,
) -> Cases:
    """The cases of some dates.

    Args:
        connection: on a build or publication.
        rules: how near an event must be.
        client_id: whose customers.
        days: as-of dates.
        segments: customer_id, as_of_date, name: see `segments_at`.
        truth: `TRUTH`, what really happened; None: not known yet, and only those with evidence are read.
    """
    connection.register("truth", TRUTH.empty_table() if truth is None else truth)
    connection.register("segments", segments)
    try:
        rows = connection.execute(
            _ROWS,
            {
                "client": client_id,
                "days": list(days),
                "before": rules.before_days,
                "after": rules.after_days,
                "with_evidence": truth is None,
            },
        ).to_arrow_table()
    finally:
        connection.unregister("truth")
        connection.unregister("segments")
    events = tuple(dict.fromkeys(rows["event"].to_pylist()))
    step = max(1, len(events))

    def table(name: str) -> Vector:
        return np.asarray(rows[name].cast(pa.float64())).reshape(-1, step)

    def column(name: str) -> NDArray[np.object_]:
        return np.asarray(rows[name].to_pylist(), dtype=object)[::step]

    return Cases(
        names=column("customer_id"),
        day=column("as_of_date"),
        segment=column("segment"),
        strength=table("strength"),
        evidence=table("evidence"),
        happened=table("happened"),
        events=events,
    )


def segments_at(
    connection: duckdb.DuckDBPyConnection,
    described: Segments,
    versions: Sequence[Segmentation],
    client_id: str,
    days: Sequence[date],
) -> pa.Table:
    """Who was in which segment on some dates, by the versions of the quarters before each."""
    columns = ["customer_id", "as_of_date", "name"]
    found = [
        table.select(columns)
        for day in days
        if (table := past.assigned_at(connection, described, versions, client_id, day)) is not None
    ]
    empty = pa.schema([("customer_id", pa.string()), ("as_of_date", pa.date32()), ("name", pa.string())])
    return pa.concat_tables([empty.empty_table(), *(table.cast(empty) for table in found)])


def read_truth(path: Path) -> pa.Table:
    """What really happened: a CSV or Parquet file with customer_id, kind (or event) and date.

    Raises:
        GoalsError: a column is missing.
    """
    with duckdb.connect() as connection:
        table = connection.execute("from " + ("read_parquet" if path.suffix == ".parquet" else "read_csv")
                                   + "(?)", [str(path)]).to_arrow_table()  # fmt: skip
    kind = "kind" if "kind" in table.column_names else "event"
    if missing := {"customer_id", kind, "date"} - set(table.column_names):
        raise GoalsError(
            f"{path} has no column {', '.join(sorted(missing))}; it needs customer_id, kind, date"
        )
    names = [SYNONYMS.get(name, name) for name in table[kind].to_pylist()]
    return pa.table(
        {
            "customer_id": table["customer_id"].cast(pa.string()),
            "event": pa.array(names, pa.string()),
            "day": table["date"].cast(pa.date32()),
        }
    )
