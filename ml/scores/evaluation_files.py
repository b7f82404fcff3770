"""What an evaluation leaves: files for other tools, and a table for the terminal; see `ml.evaluate`."""

import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ml import attributes
from ml.scores.evaluation import Named

if TYPE_CHECKING:
    from ml.evaluate import Evaluation

SHOWN = {
    "average_precision": "average precision (PR-AUC)",
    "roc_auc": "ROC AUC",
    "ks": "KS",
    "precision_at_budget": "precision at the budget",
    "recall_at_budget": "recall at the budget",
    "precision_at_daily_budget": "precision of a day's alerts",
    "recall_at_daily_budget": "recall of a day's alerts",
    "card_precision_at_k": "card precision at k",
    "card_precision_greatest": "… the greatest that can be reached",
    "savings_share": "share of the loss that alerts save",
    "brier": "Brier score (lower is better)",
    "calibration_error": "calibration error (lower is better)",
}
"""Metrics that the table shows; the files have all of them."""


def write(result: "Evaluation", named: Named, card: str) -> None:
    """Write predictions, metrics and the model card; what an earlier evaluation left there is replaced."""
    folder, use_case = result.folder, result.job.described
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("predictions", result.predictions), ("unlabelled", result.unlabelled)):
        files = [folder / f"{name}.parquet", folder / f"{name}.csv"]
        for file in files:
            file.unlink(missing_ok=True)
        if len(table):
            pq.write_table(table, files[0])
            pa_csv.write_csv(table, files[1])
    (folder / "model_card.md").write_text(card)
    about = {
        "model": named.model,
        "version": named.version,
        "publication": result.job.publication.id,
        "window": named.window,
        "horizon_days": use_case.label.horizon_days if use_case.label else None,
        "label_delay": use_case.label.delay_days if use_case.label else None,
        "fitted": _span(result.dates.fit),
        "calibrated": _span(result.dates.calibration),
        "judged": _span(result.dates.test),
        "features": len(result.job.features),
        "rows": len(result.predictions),
        "unlabelled_rows": len(result.unlabelled),
        "leak": result.leak,
    }
    rows = list(result.judged.rows)
    (folder / "metrics.csv").unlink(missing_ok=True)
    (folder / "metrics.json").write_text(json.dumps(about | {"metrics": rows}, indent=1))
    if rows:
        pa_csv.write_csv(pa.Table.from_pylist(rows), folder / "metrics.csv")


def _span(days: Sequence[date]) -> dict[str, Any]:
    return {"first": str(days[0]), "last": str(days[-1]), "days": len(days)} if days else {"days": 0}


def show(result: "Evaluation", console: Console) -> None:
    """Print what was learnt from, and a table of the model beside its baselines."""
    use_case, dates = result.job.described, result.dates
    count = use_case.dates.count
    fit, calibration = _span(dates.fit), _span(dates.calibration)
    console.print(
        f"[bold]{result.job.name}[/bold] on publication {result.job.publication.id}: fitted on "
        f"{count(fit['days'])} ({fit['first']} to {fit['last']}), calibrated on {calibration['days']} "
        f"({calibration['first']} to {calibration['last']}), {len(result.job.features)} features"
    )
    if use_case.label is not None:
        console.print(
            f"Judged on {len(result.predictions):,} rows of {count(len(dates.test))} ({dates.test[0]} to "
            f"{dates.test[-1]}), {result.base_rate:.2%} of them {use_case.label.event}s. A label is known "
            f"{use_case.matures_after} days after its row."
        )
        console.print(_table(result))
    for warning in filter(None, (result.leak, attributes.warning(result.job.features))):
        console.print(f"[yellow]{warning}[/yellow]")
    if len(result.unlabelled):
        why = "no label is known yet" if use_case.label else "the model asks for no label"
        console.print(f"{len(result.unlabelled):,} rows have a score only: {why}.")
    console.print(f"Files: {result.folder}", soft_wrap=True)


def _table(result: "Evaluation") -> Table:
    found = {
        (row["baseline"], row["metric"]): row
        for row in result.judged.rows
        if not row["client_id"] and row["dataset"] == "out_of_time"
    }
    scorers = list(dict.fromkeys(scorer for scorer, _ in found))
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for scorer in scorers:
        table.add_column(scorer.replace("_", " ") or "model", justify="right")
    for metric, name in SHOWN.items():
        cells = [_cell(found.get((scorer, metric))) for scorer in scorers]
        if any(cells):
            table.add_row(name, *cells)
    return table


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return ""
    interval = f" ({row['lo']:.3f}–{row['hi']:.3f})" if row["lo"] is not None else ""
    return f"{row['value']:.3f}{interval}"
