"""Reports of segments, lifetime values and forecasts."""

from collections.abc import Iterator
from typing import cast

from ml.forecasts.config import Forecast
from ml.lifetime_value.config import LifetimeValue
from ml.reports.comparisons import Absent, Comparison, Subject
from ml.sampling import sampled_sql
from ml.segments.config import LogRatios, Segments

_CUSTOMER = ("client_id", "customer_id", "as_of_date")


def compare_segments(subject: Subject) -> Iterator[Comparison | Absent]:
    """Columns that segments are made from, and the segments, against the customers it was judged on."""
    described = cast(Segments, subject.described)
    scaling = described.scaling
    columns = (
        [name for part in scaling.parts.values() for name in part]
        if isinstance(scaling, LogRatios)
        else scaling.columns
    )
    now = subject.lake("segments")
    if now is None:
        yield Absent("data", f"It put nobody into a segment on {subject.pin.as_of_date}.")
        return
    sides = []
    names = ", ".join(f'features."{name}"' for name in columns)
    for rows in (now, subject.heldout()):
        joined = f"""
            select given.client_id, given.customer_id, given.as_of_date, given.name as segment,
                given.distance, {names}
            from {rows} as given
            left join features."{described.features[0]}" as features
                using (client_id, customer_id, as_of_date)
        """  # noqa: S608 - names of the YAML
        sides.append(
            subject.connection.execute(
                sampled_sql(joined, ["client_id", "segment"], _CUSTOMER, subject.half)
            ).df()
        )
    told = (
        f"Current: the customers of {subject.pin.as_of_date}. Reference: those of the month-end that version"
        f" {subject.pin.version} was judged on when it was trained."
    )
    current, reference = sides
    yield Comparison("data", current[columns], reference[columns], told)
    output = ["segment", "distance"]
    yield Comparison("output", current[output], reference[output], told, categories=("segment",))
    yield Absent("classification", "Nobody can say which segment is the right one: there is no label.")


def compare_values(subject: Subject) -> Iterator[Comparison | Absent]:
    """Lifetime values against the first ones of the version; nothing has matured for years."""
    described = cast(LifetimeValue, subject.described)
    yield Absent("data", "It reads no feature table: what it reads are visits and what they brought.")
    columns = ["probability_alive", "expected_visits", "expected_value_each", "lifetime_value"]
    wanted = ", ".join(f"{name}::double as {name}" for name in columns)
    rows = f"""
        select client_id, customer_id, as_of_date, band, {wanted} from marts.fct_lifetime_value
        where model = '{subject.pin.name}' and model_version = '{subject.pin.version}' and as_of_date = date
    """  # noqa: S608 - our own names
    yield _since_the_first(subject, rows, columns, "values")
    yield Absent(
        "regression",
        f"A value counts what comes in within {described.horizon_months} months, and none of them is over"
        " since the version first said one. How it did on days that were held out stands in its model card.",
    )


def compare_forecasts(subject: Subject) -> Iterator[Comparison | Absent]:
    """Forecasts of customers against the version's first ones; months that are over against the backtest."""
    described = cast(Forecast, subject.described)
    yield Absent("data", "It reads no feature table: what it reads are the months and days before.")
    rows = f"""
        select client_id, entity as customer_id, origin as as_of_date, method, category, target,
            yhat::double as forecast, (hi80 - lo80)::double as width_of_80
        from marts.fct_forecasts
        where model = '{subject.pin.name}' and model_version = '{subject.pin.version}'
            and level = 'customer' and grain = 'month' and origin = date
    """  # noqa: S608 - our own names
    first, last = subject.connection.execute(
        "select min(origin), max(origin) from marts.fct_forecasts"
        " where model = ? and model_version = ? and level = 'customer' and grain = 'month'",
        [subject.pin.name, subject.pin.version],
    ).fetchone() or (None, None)
    if first is None:
        yield Absent(
            "output", "It forecasts no single customer, and of a few sums a distribution says nothing."
        )
    else:
        yield _since_the_first(
            subject, rows, ["forecast", "width_of_80"], f"{described.measure} of customers", first, last
        )
    over = subject.connection.execute(
        """
        select level, actual::double as actual, forecast::double as predicted
        from marts.mart_forecast_accuracy
        where model = ? and model_version = ? and grain = 'month' and level <> 'customer'
        order by origin, target, level, entity, category
        """,
        [subject.pin.name, subject.pin.version],
    ).df()
    if not len(over):
        yield Absent("regression", "No month that it has forecast is over yet.")
        return
    backtest = subject.connection.execute(
        f"select level, actual, yhat as predicted from {subject.heldout()}"  # noqa: S608 - our own file
        " where grain = 'month' and level <> 'customer' order by origin, target, level, entity, category"
    ).df()
    backtest = backtest[backtest["level"].isin(over["level"].unique())]
    yield Comparison(
        "regression",
        over,
        backtest,
        told=(
            f"Months of {described.measure} that are over, by level, in the client's currency. Current: what"
            f" version {subject.pin.version} had forecast of them. Reference: its backtest."
        ),
        categories=("level",),
    )


def compare_life_events(subject: Subject) -> Iterator[Comparison | Absent]:
    """Strength of the events that it put in order against that of its first ones."""
    yield Absent("data", "What it reads of a customer is the evidence of the rules, which the output shows.")
    rows = f"""
        select client_id, customer_id, as_of_date, event, strength::double as strength
        from marts.fct_life_events
        where client_id = '{subject.pin.member}' and ranked_by = '{subject.pin.version}' and as_of_date = date
    """  # noqa: S608 - our own names
    yield _since_the_first(subject, rows, ["strength"], "likely life events")
    yield Absent("ranking", "How it did where customers have told what happened stands in its model card.")


def _since_the_first(
    subject: Subject, rows: str, columns: list[str], what: str, first: object = None, last: object = None
) -> Comparison | Absent:
    """Tonight's rows against those of the first date that the version worked on."""
    first, last = first or subject.versions_first, last or subject.pin.as_of_date
    if first == last:
        return Absent("output", f"{first} is the first date of version {subject.pin.version}.")
    key = (*_CUSTOMER, *(name for name in ("target", "event") if name in rows))
    sides = []
    for day in (last, first):
        drawn = sampled_sql(f"{rows} '{day}'", ["client_id"], key, subject.half)
        sides.append(subject.connection.execute(drawn).df()[columns])
    return Comparison(
        "output",
        current=sides[0],
        reference=sides[1],
        told=(
            f"Current: the {what} of {last}. Reference: those of {first}, the first date that version"
            f" {subject.pin.version} worked on."
        ),
    )
