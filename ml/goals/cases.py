"""Customers and dates to whom life events happened, with the evidence that the rules had for each."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.intervals import Vector

BEFORE, AFTER = 90, 30
"""An event is right on a date that lies at most so many days after it, or before it."""
SYNONYMS = {"move": "new_home", "home_purchase": "new_home"}
"""Kinds of the simulated bank that the rules know by another name."""
NO_SEGMENT = re.compile(r"(age \d+)?$")
"""What stands for the segment of a customer who had none on the date: the decade of the age, if known."""

_ROWS = """
    with dates as (
        select client_id, as_of_date, cutoff_at from ops.as_of_dates
        where (client_id, as_of_date) in (
            select client_id, as_of_date from intermediate.int_life_event_evidence)),
    known as (
        select f.client_id, f.customer_id, f.as_of_date,
               coalesce(s.name, case when v.birth_year is null then '' else
                   'age ' || (year(f.as_of_date) - v.birth_year) // 10 end) as segment
        from features.features_customers as f
        join dates as d on d.client_id = f.client_id and d.as_of_date = f.as_of_date
        left join intermediate.int_customers as v
          on v.client_id = f.client_id and v.customer_id = f.customer_id and v.known_at < d.cutoff_at
         and (v.superseded_at is null or v.superseded_at >= d.cutoff_at)
        left join marts.fct_segments as s
          on s.client_id = f.client_id and s.customer_id = f.customer_id and s.as_of_date = f.as_of_date
         and s.model = 'segments_rfm'
        where f.client_id = $client),
    told as (
        select customer_id, as_of_date, event, least(sum(strength), 1)::double as strength,
               count(*)::double as evidence
        from intermediate.int_life_event_evidence where client_id = $client group by all)
    select k.customer_id, k.as_of_date, k.segment, e.event, coalesce(t.strength, 0) as strength,
           coalesce(t.evidence, 0) as evidence,
           exists (select 1 from truth as h where h.customer_id = k.customer_id and h.event = e.event
                   and h.day between k.as_of_date - $before and k.as_of_date + $after) as happened
    from known as k cross join staging.life_events as e
    left join told as t on t.customer_id = k.customer_id and t.as_of_date = k.as_of_date and t.event = e.event
    where k.as_of_date + $after <= (select max(as_of_date) from ops.as_of_dates where client_id = $client)
    order by k.as_of_date, k.customer_id, e.event
"""


class GoalsError(RuntimeError):
    """The lists cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Cases:
    """Customers and dates on which some event happened, an array of events each.

    Attributes:
        customer: number of the customer, by case.
        day: as-of date, by case.
        segment: by case.
        strength, evidence, happened: cases × events, in the order of `events`.
        events: names.
    """

    customer: NDArray[np.int64]
    day: NDArray[np.object_]
    segment: NDArray[np.object_]
    strength: Vector
    evidence: Vector
    happened: Vector
    events: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.customer)

    def where(self, chosen: NDArray[np.bool_]) -> "Cases":
        """Those of some cases."""
        names = (field.name for field in fields(self) if field.name != "events")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def read(connection: duckdb.DuckDBPyConnection, client_id: str, truth: pa.Table) -> Cases:
    """The cases of a client's publication.

    Args:
        connection: on a publication with evidence for several dates.
        client_id: whose customers.
        truth: customer_id, event, day: what really happened.
    """
    connection.register("truth", truth)
    try:
        rows = connection.execute(
            _ROWS, {"client": client_id, "before": BEFORE, "after": AFTER}
        ).to_arrow_table()
    finally:
        connection.unregister("truth")
    events = tuple(dict.fromkeys(rows["event"].to_pylist()))
    if not events:
        raise GoalsError(
            f"{client_id} has no date with evidence that is {AFTER} days old: run a history first"
        )

    def table(name: str) -> Vector:
        return np.asarray(rows[name].cast(pa.float64())).reshape(-1, len(events))

    customers = np.asarray(rows["customer_id"].to_pylist(), dtype=object)[:: len(events)]
    return Cases(
        customer=np.unique(customers, return_inverse=True)[1],
        day=np.asarray(rows["as_of_date"].to_pylist(), dtype=object)[:: len(events)],
        segment=np.asarray(rows["segment"].to_pylist(), dtype=object)[:: len(events)],
        strength=table("strength"),
        evidence=table("evidence"),
        happened=table("happened"),
        events=events,
    )


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
