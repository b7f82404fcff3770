"""From a window of days to a fitted and judged model: what is known before it, and what then came."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from ml.families import TooLittle
from ml.lifetime_value import holdout
from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.customers import Customers, cutoff_of, longest_silence, read_customers, read_outcome
from ml.lifetime_value.holdout import Held, Judged
from ml.lifetime_value.model import ValueModel, fit
from nightledger.settings import Settings


@dataclass(frozen=True)
class Window:
    """Which days are held out, and what counts as known."""

    first: date
    last: date
    known_at: datetime
    """Until when (UTC) what came in on them counts."""
    since: date | None = None
    """Nothing before it is learnt from."""

    @property
    def origin(self) -> date:
        """The day before, whose knowledge is learnt from."""
        return self.first - timedelta(days=1)


def horizon(
    connection: duckdb.DuckDBPyConnection, client: str, error: type[Exception]
) -> tuple[date, datetime]:
    """A client's last as-of date and its cutoff."""
    found = connection.execute(
        "select as_of_date, cutoff_at from ops.horizon where client_id = ?", [client]
    ).fetchone()
    if found is None:
        raise error(f"the publication has no client {client!r}")
    return found[0], found[1]


def customers_of(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    client: str,
    window: Window,
    measure: str,
    visit_days: int,
) -> Customers:
    """The customers as known at the end of the day before the window."""
    return read_customers(
        connection,
        client,
        window.origin,
        cutoff_of(connection, settings, client, window.origin),
        measure=measure,
        visit_days=visit_days,
        since=window.since,
    )


def fitted(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    described: LifetimeValue,
    client: str,
    window: Window,
) -> tuple[Customers, ValueModel]:
    """The customers as known before the held-out days, and the model fitted on them.

    Raises:
        TooLittle: says what is missing.
    """
    least = described.minimums
    measure: str = described.measure
    who = customers_of(connection, settings, client, window, measure, described.visit_days)
    if measure == "revenue" and len(who) >= least.customers and (who.each > 0).sum() < least.returning:
        if described.without_revenue == "refuse":
            raise TooLittle(
                f"{client}: {(who.each > 0).sum()} customers brought revenue by {window.origin}, "
                f"{least.returning} are needed. Name interchange_rate in clients/{client}.yml or deliver "
                f"fees and interest; or let {described.name}.yml say without_revenue: spend."
            )
        measure = "spend"
        who = customers_of(connection, settings, client, window, measure, described.visit_days)
    history = int(who.days.max()) if len(who) else 0
    returning = int((who.each > 0).sum())
    missing = [
        f"{name}: {there:,} of {needed:,}"
        for name, there, needed in (
            ("customers with a visit", len(who), least.customers),
            (f"customers who came again and brought {measure}", returning, least.returning),
            ("days of history", history, least.history_days),
        )
        if there < needed
    ]
    if missing:
        raise TooLittle(
            f"{client}: too little was known on {window.origin}, the day before the days held out. "
            f"{'; '.join(missing)}. Deliver a longer history, or lower `minimums` in {described.name}.yml."
        )
    return who, fit(described, who, measure)


def judged(
    connection: duckdb.DuckDBPyConnection,
    described: LifetimeValue,
    client: str,
    window: Window,
    who: Customers,
    model: ValueModel,
    champion: tuple[ValueModel, Customers] | None,
) -> tuple[Held, Judged]:
    """What came in on the days held out, beside what the model, the baselines and the champion expected.

    Raises:
        TooLittle: the feed was silent, or nothing came in.
    """
    silent = longest_silence(connection, client, window.first, window.last, window.known_at)
    if silent > described.max_silent_days:
        raise TooLittle(
            f"{client}: nothing happened on {silent} days in a row from {window.first} to {window.last}, the "
            "days held out: everybody would seem to have left. Close the hole in the feed."
        )
    brought, came = read_outcome(
        connection, client, window.first, window.last, window.known_at, model.measure, who.ids
    )
    held = holdout.hold(model, champion, who, window.first, window.last, brought, came)
    if not held.brought.any():
        raise TooLittle(
            f"{client}: no {model.measure} came in from {window.first} to {window.last} to judge by"
        )
    return held, holdout.judge(described, held)
