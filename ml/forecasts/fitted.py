"""What a version of forecasts is: it learns from a backtest, is kept as one JSON file, and forecasts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ml.artefacts import SIDECAR, ModelError
from ml.families import TooLittle
from ml.forecasts import backtest, customer_backtest, customer_history, customers, methods, series
from ml.forecasts.accuracy import INTERVALS, Widths, by_dataset, measure, with_intervals
from ml.forecasts.backtest import CLIENT, Asked, TierKey
from ml.forecasts.config import Forecast
from ml.forecasts.customers import Known
from ml.forecasts.methods import FLOOR
from ml.forecasts.series import Span, cutoff_of, month_end
from nightledger.clients import load_clients
from nightledger.settings import Settings

FORMAT = 1

_WITHOUT = {
    "revenue": "revenue (no interchange_rate on card payments, no fees and no interest)",
    "spend": "spend (none of its movements is a purchase)",
}
"""What a client does not have, and why; by measure."""


@dataclass(frozen=True)
class Fitted:
    """The method of each series, how wide intervals are, and what is known about customers."""

    measure: str
    client: str
    country: str
    tiers: Mapping[TierKey, str]
    widths: Widths
    customers: Known | None
    yearly: bool
    """Whether Prophet has a yearly term: the first origin knew enough for one."""

    def files(self) -> dict[str, bytes]:
        """The artefact; the same version gives the same bytes."""
        content = {
            "format": FORMAT,
            "measure": self.measure,
            "client": self.client,
            "country": self.country,
            "tiers": [[*key, method] for key, method in sorted(self.tiers.items())],
            "widths": [[*key, *ends] for key, ends in sorted(self.widths.of.items())],
            "customers": asdict(self.customers) if self.customers else None,
            "yearly": self.yearly,
        }
        return {SIDECAR: json.dumps(content, indent=1, sort_keys=True).encode()}

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> "Fitted":
        """Read an artefact.

        Raises:
            ModelError: it is none of this format.
        """
        try:
            content = json.loads(files[SIDECAR])
            if content["format"] != FORMAT:
                raise ModelError(f"format {content['format']} of forecasts; this code reads {FORMAT}")
            known = content["customers"]
            return Fitted(
                content["measure"],
                content["client"],
                content["country"],
                {
                    (grain, level, entity, category): method
                    for grain, level, entity, category, method in content["tiers"]
                },
                Widths(
                    {(grain, level, step): tuple(ends) for grain, level, step, *ends in content["widths"]}
                ),
                Known(**known | {"index": tuple(known["index"]), "share": tuple(known["share"])})
                if known
                else None,
                content["yearly"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{SIDECAR} is no artefact of forecasts: {error}") from error


@dataclass(frozen=True)
class Judged:
    """What a backtest measured."""

    table: pd.DataFrame
    """Every method at every origin, beside what came."""
    crossed: pd.DataFrame
    """The chosen ones, each origin by what the others taught, with intervals."""
    metrics: tuple[dict[str, Any], ...]
    """Rows of the table `ml.metrics`."""
    window: str
    customers: customer_backtest.Learnt | None

    def of_series(self) -> dict[str, float]:
        """mase, wape, bias and coverage of all monthly series together."""
        return measure(self.crossed[self.crossed.grain == "month"])

    def is_floor(self) -> bool:
        """Whether every monthly series has the floor, as nothing proved better."""
        return bool((self.crossed[self.crossed.grain == "month"].method == FLOOR).all())

    def of_floor(self) -> dict[str, float]:
        """The same of the floor."""
        return measure(self.table[(self.table.grain == "month") & (self.table.method == FLOOR)])


def begin(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    rules: Forecast,
    client: str,
    last: date,
    country: str | None = None,
) -> tuple[Asked, Span]:
    """Whose forecasts are made, and the complete months that are known on a day.

    Args:
        connection: on a build or publication.
        settings: of the installation.
        rules: of the model.
        client: whose.
        last: the day.
        country: whose holidays count; None: the client's.

    Raises:
        TooLittle: the client has no settings, or no movement.
    """
    clients = load_clients(settings)
    if client not in clients:
        raise TooLittle(f"there is no clients/{client}.yml; name a client as {rules.name}.<client>")
    asked = Asked(rules, client, clients[client].country if country is None else country, settings.threads)
    cutoff = cutoff_of(connection, settings, client, last)
    first = series.first_month(connection, client, rules.measure, cutoff)
    if first is None:
        raise TooLittle(f"no movement of {client} was known by {last}")
    end = last if last == month_end(last) else month_end(last, -1)
    return asked, Span(client, first, end, cutoff)


def learn(
    connection: duckdb.DuckDBPyConnection, settings: Settings, asked: Asked, truth: Span
) -> tuple[Fitted, Judged]:
    """Backtest every method and keep what won.

    Args:
        connection: on a publication.
        settings: of the installation.
        asked: whose, by which rules.
        truth: all months that may be learnt from, and when outcomes are looked at.

    Raises:
        TooLittle: too few months, no money at all, or nothing was known at the origins.
    """
    rules = asked.described
    if not series.has_money(connection, truth, rules.measure):
        raise TooLittle(f"{asked.client} has no {_WITHOUT[rules.measure]}, {truth.first} to {truth.last}.")
    origins = backtest.origins(rules, truth.first, truth.last)
    spans = [known_at(connection, settings, asked, truth.first, origin) for origin in origins]
    yearly = (origins[0] - truth.first).days >= rules.prophet.yearly_from_days
    table = backtest.run(connection, replace(asked, yearly=yearly), spans, truth)
    if table.empty or table[table.level == "client"].origin.nunique() < rules.least_origins:
        raise TooLittle(
            f"{rules.measure} of {asked.client}: at {rules.least_origins} of the origins {origins[0]} to "
            f"{origins[-1]} something must have been known. History that was loaded at once is known from "
            "its loading on, unless its source says `known_at: {mode: event, lag: …}`."
        )
    tiers, crossed = backtest.tiers(table, rules), backtest.crossed(table, rules)
    # What won at all origins but one has not proven better than the floor at that one: nothing may have.
    of_floor = measure(table[(table.grain == "month") & (table.method == FLOOR)])["mase"]
    if measure(crossed[crossed.grain == "month"])["mase"] > of_floor * rules.promotion.over_floor:
        tiers, crossed = backtest.with_floors(tiers), backtest.crossed(table, rules, floors=True)
    window = f"{origins[0]} to {origins[-1]}"
    found = None
    if "customer" in rules.levels:
        own = backtest.chosen(table, tiers)
        own = own[(own.level == "client") & (own.grain == "month")]
        totals = {origin: group.sort_values("step").yhat.tolist() for origin, group in own.groupby("origin")}
        found = customer_backtest.learn(
            connection, asked, [span for span in spans if span.last in totals], truth, totals, window
        )
    names = sorted(set(table.method), key=lambda name: (name != FLOOR, name))
    metrics = by_dataset(
        asked.client, window, crossed, [(name, table[table.method == name]) for name in names]
    )
    fitted = Fitted(
        rules.measure,
        asked.client,
        asked.country,
        tiers,
        backtest.final_widths(table, tiers, rules),
        found.known if found else None,
        yearly,
    )
    return fitted, Judged(table, crossed, (*metrics, *(found.metrics if found else ())), window, found)


def known_at(
    connection: duckdb.DuckDBPyConnection, settings: Settings, asked: Asked, first: date, origin: date
) -> Span:
    """What an origin knew, from `first` or from as far back as is read."""
    earliest = month_end(origin, -asked.described.history_months + 1).replace(day=1)
    return Span(
        asked.client, max(first, earliest), origin, cutoff_of(connection, settings, asked.client, origin)
    )


def forecast(
    connection: duckdb.DuckDBPyConnection, asked: Asked, fitted: Fitted, span: Span
) -> tuple[pd.DataFrame, bool]:
    """What a version says at the end of a span.

    Returns:
        The series, with `INTERVALS`, as `backtest.frame` has them and `method` by its own name; and whether
        there are customers, who stand in the relation `_reconciled`.
    """
    rules = asked.described
    asked = replace(asked, yearly=fitted.yearly)
    said = backtest.say(asked, backtest.read(connection, asked, span), span.last, fitted.tiers)
    table = with_intervals(backtest.frame(said, span.last), fitted.widths)
    table["method"] = named(table)
    if fitted.customers is None or "customer" not in rules.levels:
        return table, False
    there = customer_history.prepare(connection, span, rules.measure, rules.customers, None)
    if not there:
        return table, False
    customers.forecast(connection, span.last, rules.horizon_months, fitted.customers, rules.customers)
    own = table[(table.level == CLIENT[0]) & (table.grain == "month")].sort_values("step").yhat.tolist()
    totals = [total * share for total, share in zip(own, fitted.customers.share, strict=False)]
    totals += [float("nan")] * (rules.horizon_months - len(totals))
    customers.reconciled(connection, totals, fitted.customers, rules.customers)
    return table, True


def named(table: pd.DataFrame) -> Sequence[str]:
    """Methods, the floor by what it does."""
    return [
        method
        if method != FLOOR
        else methods.floor_name(months)
        if grain == "month"
        else methods.SEASONAL_NAIVE
        for method, months, grain in zip(table.method, table.months, table.grain, strict=True)
    ]


def finite(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows with amounts rounded to the cent; an end that nothing is known about is missing."""
    for one in table.to_dict("records"):
        for name in ("yhat", *INTERVALS):
            value = one[name]
            one[name] = round(float(value), 2) if np.isfinite(value) else None
        yield one
