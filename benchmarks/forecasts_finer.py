"""Forecasts that a night of a young home does not write: categories by week, and segments with a past.

**Categories by day and by week.** Nights forecast categories by month, where a year of history has no
seasonal naive. By day it has one: the same weekday of the week before. Origins, methods, choice and intervals
are the same; judged are the twelve weeks after each origin.

**Segments.** `fct_segments` begins with the first night that scores, so at first segments have the floor.
Here they have a past: `segments_rfm` is fitted at the end of each quarter on what was known then, and assigns
the month-ends after it, as nights would have done. It is written into a copy of the publication.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.segments import year
from ml import config
from ml.families import Job
from ml.features import read_features
from ml.forecasts import backtest, fitted, methods
from ml.forecasts.accuracy import by_dataset, scale
from ml.forecasts.backtest import SERIES, Said
from ml.forecasts.config import Forecast
from ml.forecasts.methods import FLOOR, PROPHET
from ml.forecasts.series import Vector
from ml.segments import past
from ml.segments.rows import month_ends
from nightledger import warehouse

WEEKS = 12


def categories(job: Job[Forecast], client: str) -> list[dict[str, Any]]:
    """Metrics of a client's categories by day and by week."""
    rules = job.described.model_copy(update={"levels": ["category"]})
    with warehouse.connect(job.publication.path, settings=job.settings) as connection:
        asked, truth = fitted.begin(connection, job.settings, rules, client, job.publication.as_of_date)
        days, spans, scales = [], [], {}
        for origin in backtest.origins(rules, truth.first, truth.last):
            span = fitted.known_at(connection, job.settings, asked, truth.first, origin)
            known = backtest.read(connection, asked, span)
            by_prophet = methods.prophet(
                known,
                origin,
                rules.horizon_months,
                rules.prophet,
                asked.country,
                asked.threads,
                yearly=False,
                seed=rules.seed,
            )
            said = []
            for key, one in known.items():
                found = methods.daily(one.daily, 7 * WEEKS)
                if key in by_prophet:
                    found[PROPHET] = by_prophet[key][: 7 * WEEKS]
                own, is_positive = scale(one.daily, 7), bool(one.daily.min() >= 0)
                said += [
                    Said("day", key, name, values, own, is_positive, len(one.monthly))
                    for name, values in found.items()
                ]
                scales[origin, key[2]] = scale(_by_week(one.daily), 1)
            days.append(backtest.frame(said, origin))
            spans.append(span)
        table = pd.concat(days, ignore_index=True)
        table = table.assign(actual=backtest.actuals(connection, asked, table, spans, truth))
    window = f"{spans[0].last} to {spans[-1].last}"
    return _measured(client, window, table, rules) + [
        row | {"dataset": row["dataset"].replace("day", "week")}
        for row in _measured(client, window, _weeks(table, scales), rules)
    ]


def _weeks(table: pd.DataFrame, scales: Mapping[tuple[Any, str], float]) -> pd.DataFrame:
    """The same rows added up by seven days from the origin."""
    grouped = table.assign(grain="week", step=(table.step - 1) // 7 + 1).groupby(
        [*SERIES, "origin", "step", "method"], sort=True, as_index=False
    )
    found = grouped.agg(
        target=("target", "min"),
        yhat=("yhat", "sum"),
        actual=("actual", "sum"),
        is_positive=("is_positive", "first"),
        months=("months", "first"),
    )
    own = [scales[key] for key in zip(found.origin, found.category, strict=True)]
    return found.assign(scale=own)


def _by_week(daily: Vector) -> Vector:
    """Sums of the whole weeks before an origin."""
    return np.asarray(daily[len(daily) % 7 :].reshape(-1, 7).sum(axis=1))


def _measured(client: str, window: str, table: pd.DataFrame, rules: Forecast) -> list[dict[str, Any]]:
    names = sorted(set(table.method), key=lambda name: (name != FLOOR, name))
    others = [(name, table[table.method == name]) for name in names]
    return by_dataset(client, window, backtest.crossed(table, rules), others)


def segments(job: Job[Forecast], client: str) -> list[dict[str, Any]]:
    """Metrics of a client's segments that have a past.

    Raises:
        ml.families.TooLittle: no segments, or too few months.
    """
    rules = job.described.model_copy(update={"levels": ["client", "segment", "segment_category"]})
    with tempfile.TemporaryDirectory(prefix="nightledger-benchmark-") as folder:
        build = Path(folder)
        shutil.copyfile(job.publication.path / warehouse.FILE, build / warehouse.FILE)
        with warehouse.connect(build, read_only=False, settings=job.settings) as connection:
            _assign(connection, job.publication.path, rules.segments, client)
            asked, truth = fitted.begin(connection, job.settings, rules, client, job.publication.as_of_date)
            _, judged = fitted.learn(connection, job.settings, asked, truth)
    return [row for row in judged.metrics if row["dataset"] == "segment"]


def _assign(connection: duckdb.DuckDBPyConnection, publication: Path, model: str, client: str) -> None:
    """Put the customers of the month-ends after each quarter's fit into its segments."""
    described: Any = config.read(model)
    found = year.refits(connection, described, read_features(publication, described), client)
    connection.execute("delete from staging.stg_segments where client_id = ? and model = ?", [client, model])
    schema = warehouse.LAKE_SCHEMAS["segments"]
    versions = [one.fitted.segmentation for one in found]
    about = {"model": model, "model_version": "of the past", "role": "champion"}
    for day in month_ends(connection, described, client):
        table = past.assigned_at(connection, described, versions, client, day)
        if table is None:
            continue
        for name, value in about.items():
            table = table.append_column(name, pa.repeat(value, len(table)))
        connection.register("assigned", table.select(schema.names))
        connection.execute("insert into staging.stg_segments by name select * from assigned")
        connection.unregister("assigned")
