"""Each customer's visits and money as a date knew them: all that lifetime value reads of the warehouse."""

from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.features import DatasetError
from ml.lifetime_value.frequency import Vector
from nightledger.clients import load_clients
from nightledger.settings import Settings

_KNOWN = """
    select customer_id, business_date, {amount} as amount, is_customer_initiated
    from intermediate.int_revenue
    where
        client_id = $client
        and business_date <= $as_of::date
        and business_date >= $since::date
        and known_at < $cutoff::timestamp
        and (superseded_at is null or superseded_at >= $cutoff::timestamp)
"""
_VISITS = """
    with known as ({known}),
    firsts as (
        select customer_id, min(business_date) as first_on
        from known where is_customer_initiated group by customer_id
    ),
    placed as (
        select known.*, firsts.first_on,
            (known.business_date - firsts.first_on) // $visit_days::integer as visit
        from known inner join firsts using (customer_id)
    ),
    closed as (
        select customer_id, bool_or(closed_on <= $as_of::date) as is_closed
        from intermediate.int_customers
        where client_id = $client and known_at < $cutoff::timestamp
            and (superseded_at is null or superseded_at >= $cutoff::timestamp)
        group by customer_id
    )
    select
        placed.customer_id,
        (count(distinct visit) filter (where is_customer_initiated) - 1)::integer as visits,
        (max(visit) filter (where is_customer_initiated))::integer as last_visit,
        ($as_of::date - first_on)::integer as days,
        coalesce(sum(amount) filter (where visit > 0), 0)::decimal(18, 4) as brought,
        coalesce(sum(amount) filter (where business_date > $as_of::date - 365), 0)::decimal(18, 4)
            as last_year,
        coalesce(any_value(closed.is_closed), false) as is_closed
    from placed
    left join closed on closed.customer_id = placed.customer_id
    group by placed.customer_id, first_on
    order by placed.customer_id
"""
_OUTCOME = """
    with known as ({known})
    select
        coalesce(sum(known.amount), 0)::decimal(18, 4) as brought,
        coalesce(bool_or(known.is_customer_initiated), false) as came
    from asked
    left join known on known.customer_id = asked.customer_id
    group by asked.place
    order by asked.place
"""
_SILENCE = """
    with known as ({known}),
    days as (
        select unnest([$since::date - 1, $as_of::date + 1]) as day
        union
        select business_date from known
    )
    select max(gap)
    from (select day - lag(day) over (order by day) - 1 as gap from days)
"""
_AMOUNTS = {"revenue": "revenue", "spend": "spend_amount"}


@dataclass(frozen=True)
class Customers:
    """Whoever had a customer-initiated transaction, in the order of their ids; one element a customer.

    A visit is a stretch of `visit_days` days with a customer-initiated transaction; stretches, and with them
    time, are counted from the day of the first one.
    """

    ids: pa.Array
    visits: Vector
    """After the first (x)."""
    last_visit: Vector
    """When the last one began, counted from the first (t_x)."""
    age: Vector
    """From the first transaction to the date (T)."""
    each: Vector
    """What each visit after the first brought, in base currency; below 0 counts as 0."""
    last_year: Vector
    """What came in within 365 days, in base currency."""
    days: Vector
    """From the first transaction to the date, both included."""
    is_closed: NDArray[np.bool_]
    """Whether the bank knew that they are none of its customers any more."""

    def __len__(self) -> int:
        return len(self.visits)

    @property
    def shape(self) -> tuple[Vector, Vector, Vector]:
        """What the model of frequency asks of them: x, t_x and T."""
        return self.visits, self.last_visit, self.age

    def where(self, mask: NDArray[np.bool_]) -> "Customers":
        """The customers of a mask."""
        others = {name: values[mask] for name, values in vars(self).items() if name != "ids"}
        return Customers(ids=self.ids.filter(pa.array(mask)), **others)


def cutoff_of(connection: duckdb.DuckDBPyConnection, settings: Settings, client: str, day: date) -> datetime:
    """When a day was over for a client (UTC): as the night fixed it, else by the client's settings.

    Raises:
        DatasetError: the client has no settings.
    """
    fixed = connection.execute(
        "select cutoff_at from ops.as_of_dates where client_id = ? and as_of_date = ?", [client, day]
    ).fetchone()
    if fixed is not None:
        return datetime.fromisoformat(str(fixed[0]))
    clients = load_clients(settings)
    if client not in clients:
        raise DatasetError(f"client {client} has data but no settings; add clients/{client}.yml")
    return clients[client].cutoff_at(day)


def read_customers(
    connection: duckdb.DuckDBPyConnection,
    client: str,
    as_of: date,
    cutoff: datetime,
    *,
    measure: str,
    visit_days: int,
    since: date | None = None,
) -> Customers:
    """What was known of each customer at the end of a date.

    Args:
        connection: on a build or publication.
        client: whose customers.
        as_of: the date.
        cutoff: until when (UTC) a fact counts as known.
        measure: `revenue`, or `spend` (net of refunds).
        visit_days: length of a visit.
        since: nothing from before this day counts; default: everything does.
    """
    table = connection.execute(
        _VISITS.format(known=_KNOWN.format(amount=_AMOUNTS[measure])),
        {
            "client": client,
            "as_of": as_of,
            "cutoff": cutoff,
            "since": since or date.min,
            "visit_days": visit_days,
        },
    ).to_arrow_table()
    numbers = {
        name: table[name].cast(pa.float64()).to_numpy()
        for name in ("visits", "last_visit", "days", "brought", "last_year")
    }
    return Customers(
        ids=table["customer_id"].combine_chunks(),
        visits=numbers["visits"],
        last_visit=numbers["last_visit"],
        age=numbers["days"] / visit_days,
        each=np.maximum(numbers["brought"], 0) / np.maximum(numbers["visits"], 1),
        last_year=numbers["last_year"],
        days=numbers["days"] + 1,
        is_closed=table["is_closed"].to_numpy(zero_copy_only=False),
    )


def longest_silence(
    connection: duckdb.DuckDBPyConnection, client: str, first: date, last: date, known_at: datetime
) -> int:
    """Days of the longest run, from the first to the last, without any row of the client."""
    found = connection.execute(
        _SILENCE.format(known=_KNOWN.format(amount="revenue")),
        {"client": client, "as_of": last, "since": first, "cutoff": known_at},
    ).fetchone()
    return int(found[0]) if found else 0


def read_outcome(
    connection: duckdb.DuckDBPyConnection,
    client: str,
    first: date,
    last: date,
    known_at: datetime,
    measure: str,
    ids: pa.Array,
) -> tuple[Vector, NDArray[np.bool_]]:
    """What customers brought from the first to the last day, and whether they came, as known at an instant.

    Returns:
        Money in base currency and whether there was a customer-initiated transaction, in the order of `ids`.
    """
    connection.register("asked", pa.table({"customer_id": ids, "place": range(len(ids))}))
    found = connection.execute(
        _OUTCOME.format(known=_KNOWN.format(amount=_AMOUNTS[measure])),
        {"client": client, "as_of": last, "since": first, "cutoff": known_at},
    ).to_arrow_table()
    connection.unregister("asked")
    return (
        found["brought"].cast(pa.float64()).to_numpy(),
        found["came"].to_numpy(zero_copy_only=False),
    )
