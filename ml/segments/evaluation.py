"""How segments would have held: fitted on what was known before a day, followed over the days after it.

Writes `predictions.parquet` and `.csv` (who is where on each date), `metrics.json` and `.csv`, and
`model_card.md`.
"""

import json
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ml import config, scopes
from ml.datasets import read_publication
from ml.families import Job, Refused, TooLittle
from ml.features import read_features
from ml.segments import card, fitting
from ml.segments.config import Segments
from ml.segments.fitting import Fitted
from ml.segments.rows import Rows, month_ends, read
from nightledger import warehouse
from nightledger.settings import Settings

if TYPE_CHECKING:
    from ml.evaluate import Asked


def evaluate(settings: Settings, asked: "Asked", console: Console) -> None:
    """Fit on the month-ends before the first day, assign those of the days asked for, write and print.

    Args:
        settings: of the installation; the current publication is read.
        asked: model with its client, days, how long is learnt from, where files go.
        console: to print on.

    Raises:
        Refused: too few month-ends or customers, or no number of segments keeps the rules.
    """
    name, _, client = asked.model.partition(".")
    described = cast(Segments, scopes.asked(settings, config.read(name), asked.model))
    if asked.last < asked.first:
        raise Refused(f"TO={asked.last} lies before FROM={asked.first}")
    publication = read_publication(settings)
    job = Job(settings, asked.model, described, publication, read_features(publication.path, described))
    fitting.definitions_of(described, job.features)
    with warehouse.connect(publication.path, settings=settings) as connection:
        days = month_ends(connection, described, client)
        before = [day for day in days if day < asked.first]
        if asked.train_days is None:
            before = before[-described.dates.training :]
        else:
            before = [day for day in before if (asked.first - day).days <= asked.train_days]
        test_days = [day for day in days if asked.first <= day <= asked.last]
        if not before or not test_days:
            there = f"{client} has month-ends from {days[0]} to {days[-1]}" if days else f"{client} has none"
            raise Refused(
                f"{len(before)} month-ends before {asked.first} to fit on, {len(test_days)} until "
                f"{asked.last} to follow: one of each is needed. {there}."
            )
        rows = read(connection, described, client, (*before, *test_days))
    try:
        fitted = fitting.fit(described, job.features, rows.of(before), before[-1], None, "")
    except TooLittle as refused:
        raise Refused(f"{refused} Choose other days, or change the model's YAML.") from refused
    test = rows.of(test_days)
    found = fitted.segmentation.assigned(test.table, test.raw)
    months = _months(described, fitted, test, test_days, found)
    version = job.version(fitted.segmentation.files())
    metrics = [
        {**row, "model": job.name, "version": version}
        for row in (*fitting.measure(described, fitted, test, None), *months)
    ]
    folder = asked.folder or settings.home / "evaluations" / f"{job.name}_{asked.first}_{asked.last}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, folder / "predictions.parquet")
    pa_csv.write_csv(found, folder / "predictions.csv")
    (folder / "model_card.md").write_text(
        card.write(job.name, version, publication.id, described, fitted, rows.of(before), metrics)
    )
    about = {
        "model": job.name,
        "version": version,
        "publication": publication.id,
        "fitted": fitting.span(fitted.days),
        "judged": fitting.span(test_days),
        "rows": len(test),
    }
    (folder / "metrics.json").write_text(json.dumps(about | {"metrics": metrics}, indent=1))
    pa_csv.write_csv(pa.Table.from_pylist(metrics), folder / "metrics.csv")
    console.print(
        f"[bold]{job.name}[/bold] on publication {publication.id}: fitted on {len(rows.of(before)):,} rows "
        f"of {len(before)} month-ends ({fitting.span(before)}), followed over {len(test):,} rows of "
        f"{len(test_days)} ({fitting.span(test_days)})"
    )
    console.print(_choice(fitted))
    console.print(_followed(fitted, months))
    console.print(f"Files: {folder}", soft_wrap=True)


def _months(
    described: Segments, fitted: Fitted, test: Rows, days: list[date], found: pa.Table
) -> list[dict[str, Any]]:
    """By month-end: shares, silhouette, drift, and who is where they were at the month-end before."""
    rows: list[dict[str, Any]] = []
    was: dict[str, int] = {}
    for day in days:
        part = test.of([day])
        if not len(part):
            continue
        rows += [
            row for row in fitting.measure(described, fitted, part, None) if row["dataset"] == "out_of_time"
        ]
        of_day = Rows(found, (), "").of([day]).table
        now = dict(zip(of_day["customer_id"].to_pylist(), of_day["segment_id"].to_pylist(), strict=True))
        both = now.keys() & was.keys()
        ids = np.array(list(now.values()))
        figures = [
            (f"share_{segment.id}", float((ids == segment.id).mean()))
            for segment in fitted.segmentation.segments
        ]
        if both:
            figures.append(("stayed", sum(now[one] == was[one] for one in both) / len(both)))
        rows += [rows[-1] | {"metric": metric, "value": value} for metric, value in figures]
        was = now
    return [row | {"dataset": "month_end"} for row in rows]


def _choice(fitted: Fitted) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("segments", "mean agreement", "least agreement", "smallest share", "silhouette"):
        table.add_column(head, justify="right")
    table.add_column("")
    for one in fitted.candidates:
        taken = "taken" if one.k == fitted.chosen.k else "; ".join(one.broken)
        figures = (one.mean_agreement, one.least_agreement, one.smallest_share, one.silhouette)
        table.add_row(str(one.k), *(f"{figure:.3f}" for figure in figures), taken)
    return table


def _followed(fitted: Fitted, months: list[dict[str, Any]]) -> Table:
    """Share of each segment at each month-end, with drift and who stayed."""
    found = {(row["window_label"], row["metric"]): row["value"] for row in months}
    days = list(dict.fromkeys(row["window_label"] for row in months))
    table = Table(box=None, pad_edge=False)
    table.add_column("share at", justify="left")
    for head in ("the fit", *days):
        table.add_column(head, justify="right")
    for at, segment in enumerate(fitted.segmentation.segments):
        cells = (found.get((day, f"share_{segment.id}")) for day in days)
        table.add_row(
            segment.name,
            f"{fitted.segmentation.shares[at]:.1%}",
            *("" if c is None else f"{c:.1%}" for c in cells),
        )
    for metric, text in (
        ("share_psi", "drift of the shares (PSI)"),
        ("silhouette", "silhouette"),
        ("stayed", "where they were a month before"),
    ):
        figures = [found.get((day, metric)) for day in days]
        if any(figure is not None for figure in figures):
            table.add_row(text, "", *("" if figure is None else f"{figure:.3f}" for figure in figures))
    return table
