"""How good forecasts would have been: learnt from what was known before a day, judged after it."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ml import config, scopes
from ml.datasets import read_publication
from ml.families import Job, Refused, TooLittle
from ml.forecasts import backtest, cards, fitted, series
from ml.forecasts.accuracy import INTERVALS, by_dataset, measure, row
from ml.forecasts.backtest import SERIES
from ml.forecasts.config import Forecast
from ml.forecasts.methods import FLOOR
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked

_SHOWN = {"mase": "MASE", "wape": "WAPE", "bias": "bias", "coverage_80": "in 80 %", "coverage_95": "in 95 %"}


def evaluate(settings: Settings, asked: "Asked", console: Console) -> None:
    """Learn, forecast at each month-end from the first to the last day, judge, write files and print.

    Origins are the month-ends of the days asked for, and the one before the first day; each is judged by the
    months after it that are over in the publication. Nothing that was known after the first day is learnt
    from.

    Raises:
        Refused: no origin with an outcome, or too little history before the first day.
        TooLittle: no such client, or nothing is known of it.
    """
    name, _, client = asked.model.partition(".")
    rules = scopes.asked(settings, config.read(name), asked.model)
    assert isinstance(rules, Forecast)  # noqa: S101 - this family's
    publication = read_publication(settings)
    before = asked.first - timedelta(days=1)
    with warehouse.connect(publication.path, settings=settings) as connection:
        whose, truth = fitted.begin(connection, settings, rules, client, publication.as_of_date)
        try:
            _, learnable = fitted.begin(connection, settings, rules, client, before)
            origins = _origins(learnable.last, asked.last, truth.last)
            found, judged = fitted.learn(connection, settings, whose, learnable)
        except TooLittle as error:
            advice = " Choose a later FROM." if series.has_money(connection, truth, rules.measure) else ""
            raise Refused(f"{error}{advice}") from error
        tables, customers = [], []
        for origin in origins:
            span = fitted.known_at(connection, settings, whose, truth.first, origin)
            table, has_customers = fitted.forecast(connection, whose, found, span)
            everything = backtest.frame(
                backtest.say(
                    replace(whose, yearly=found.yearly), backtest.read(connection, whose, span), origin
                ),
                origin,
            )
            both = pd.concat([table.assign(baseline=""), everything.assign(baseline=everything.method)])
            both = both[both.target.map(lambda day: day <= truth.last)].reset_index(drop=True)
            both = both.assign(actual=backtest.actuals(connection, whose, both, [span], truth))
            tables.append(both)
            if has_customers:
                customers.append(_of_customers(connection, rules, truth, origin))
    rows = pd.concat(tables, ignore_index=True)
    window = f"{origins[0]} to {origins[-1]}"
    own = rows[rows.baseline == ""]
    others = [(baseline, group) for baseline, group in rows[rows.baseline != ""].groupby("baseline")]
    metrics = by_dataset(
        client, window, own, [(name, group.drop(columns=list(INTERVALS))) for name, group in others]
    )
    people = pd.concat(customers, ignore_index=True) if customers else None
    if people is not None:
        metrics += _measured(client, window, people)
    folder = asked.folder or settings.home / "evaluations" / f"{asked.model}_{asked.first}_{asked.last}"
    job = Job(settings, asked.model, rules, publication, ())
    card = cards.write(asked.model, job.version(found.files()), rules, found, judged)
    about = {"model": asked.model, "publication": publication.id, "window": window}
    _write(folder, own, people, metrics, card, about)
    console.print(
        f"[bold]{asked.model}[/bold] on publication {publication.id}: learnt at {judged.window} from what "
        f"was known on {before}; judged at {len(origins)} origins, {window}, by {rules.measure} until "
        f"{truth.last}"
    )
    console.print(_table(metrics))
    console.print(f"Files: {folder}", soft_wrap=True)


def _origins(first: date, last: date, known: date) -> list[date]:
    """Month-ends from `first` to `last` with an outcome by `known`."""
    found, at = [], first
    while at <= last and at < known:
        found.append(at)
        at = series.month_end(at, 1)
    if not found:
        raise Refused(
            f"no month is complete after {first}: the publication has complete months until {known}. "
            "Choose an earlier FROM."
        )
    return found


def _of_customers(connection: Any, rules: Forecast, truth: series.Span, origin: date) -> pd.DataFrame:
    """Forecasts of customers at an origin beside what came."""
    later = series.Span(truth.client, series.month_start(origin, 1), truth.last, truth.cutoff)
    known: pd.DataFrame = connection.execute(
        f"""
        with came as (
            select customer_id, $months - months_ago as step, sum(amount)::decimal(18, 4) as actual
            from ({series.amounts_sql(rules.measure)}) group by all
        )
        select
            customer_id, step, method, floor::double as floor, yhat::double as yhat, lo80::double as lo80,
            hi80::double as hi80, lo95::double as lo95, hi95::double as hi95,
            coalesce(actual, 0)::double as actual
        from _reconciled left join came using (customer_id, step)
        where step <= $months
        order by customer_id, step
        """,  # noqa: S608 - names of columns
        later.parameters | {"months": later.months},
    ).df()
    return known.assign(origin=origin)


def _measured(client: str, window: str, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Metrics of customers; their changes from month to month are not read again, so there is no MASE."""
    found = []
    for baseline, given in (("", rows), (FLOOR, rows.assign(yhat=rows.floor).drop(columns=list(INTERVALS)))):
        values = measure(given.assign(scale=1.0))
        found += [
            row(client, "customer", window, metric, value, len(given), baseline)
            for metric, value in values.items()
            if metric != "mase"
        ]
    return found


def _write(
    folder: Path,
    rows: pd.DataFrame,
    people: pd.DataFrame | None,
    metrics: list[dict[str, Any]],
    card: str,
    about: dict[str, str],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = [*SERIES, "origin", "target", "method", "yhat", *INTERVALS, "actual"]
    predictions = pa.Table.from_pandas(rows[columns], preserve_index=False)
    pq.write_table(predictions, folder / "predictions.parquet")
    pa_csv.write_csv(predictions, folder / "predictions.csv")
    (folder / "customers.parquet").unlink(missing_ok=True)
    if people is not None:
        pq.write_table(pa.Table.from_pandas(people, preserve_index=False), folder / "customers.parquet")
    (folder / "metrics.json").write_text(json.dumps(about | {"metrics": metrics}, indent=1))
    pa_csv.write_csv(pa.Table.from_pylist(metrics), folder / "metrics.csv")
    (folder / "model_card.md").write_text(card)


def _table(metrics: list[dict[str, Any]]) -> Table:
    """Rows are data sets and methods, columns are metrics."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "method", "n", *_SHOWN.values()):
        table.add_column(name, justify="left" if name in ("", "method") else "right")
    cells: dict[tuple[str, str, int], dict[str, float]] = {}
    for one in metrics:
        if one["value"] is not None:
            cells.setdefault((one["dataset"], one["baseline"], one["n"]), {})[one["metric"]] = one["value"]
    for (dataset, baseline, n), values in cells.items():
        shown = [f"{values[name]:.3f}" if name in values else "" for name in _SHOWN]
        table.add_row(dataset, baseline.replace("_", " ") or "[bold]the version[/bold]", f"{n:,}", *shown)
    return table
