"""What people read of a version: its card, the files of an evaluation, and a table for the terminal."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ml.datasets import Publication
from ml.families import Job
from ml.lifetime_value.config import LifetimeValue
from ml.lifetime_value.customers import Customers
from ml.lifetime_value.frequency import EDGE
from ml.lifetime_value.holdout import BASELINES, Held, Judged
from ml.lifetime_value.model import ValueModel

SHOWN = {
    "wape": "WAPE: errors / what came in (lower is better)",
    "bias": "bias: more was expected than came (nearer 0 is better)",
    "rank_correlation": "rank correlation",
    "alive_brier": "Brier score of being still there (lower is better)",
    "alive_gap": "share expected to be still there, less the share who came",
}
LIMITS = (
    "Nobody says when a customer leaves: the model takes silence for leaving, and a pause looks the same.",
    "Whoever was seen in one visit only counts as still there (a property of BG/NBD).",
    "Before the first day of data nobody is known: of older customers only what is in the data counts.",
    "Salaries and what is collected automatically are no visits; their money is shared out among the visits.",
    "What a visit brings is taken to be independent of how often a customer comes, and not to grow.",
    "Costs are not deducted: it is a value of revenue, not of profit.",
)


def card(
    job: Job[LifetimeValue], model: ValueModel, who: Customers, held: Held, judged: Judged, origin: date
) -> str:
    """The model card as Markdown."""
    described, parameters = job.described, {**asdict(model.frequency), **asdict(model.spend)}
    brought = (who.visits > 0) & (who.each > 0)
    related = np.corrcoef(who.visits[brought], who.each[brought])[0, 1]
    scorers = {"": "The model."} | BASELINES
    parts = [
        f"# {job.name} {job.version(model.files())}",
        described.description,
        "## What it is",
        "BG/NBD (Fader, Hardie, Lee 2005) says how often a customer comes and whether they still do; "
        "Gamma-Gamma (Fader, Hardie 2013) what each visit brings.",
        _lines(
            ("", ""),
            [
                ("measure", model.measure),
                ("a visit", f"all customer-initiated transactions of {model.visit_days} days"),
                ("horizon", f"{model.horizon_months} months, discounted by {model.discount_rate:.0%} a year"),
                ("bands", ", ".join(f"{name} from {at:,.2f}" for name, at in model.bands.items())),
                ("parameters", ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())),
                ("at their bounds", ", ".join(_at_edge(model)) or "none"),
            ],
        ),
        "## What it learnt from",
        _lines(
            ("", ""),
            [
                *job.origin(),
                ("known until", f"the end of {origin}"),
                ("customers", f"{len(who):,}, of whom {int(who.is_closed.sum()):,} had closed"),
                ("came again", f"{int((who.visits > 0).sum()):,}"),
                (f"of them brought {model.measure}", f"{int(brought.sum()):,}"),
                ("correlation of visits and what each brings", f"{related:.2f} (the model takes it for 0)"),
            ],
        ),
        f"## How good it is: {held.first} to {held.last}, {len(held.brought):,} customers",
        _lines(
            ("metric", *(name.replace("_", " ") or "model" for name in held.expected)),
            _compared(held, judged),
        ),
        _lines(("", "what it is"), [(name.replace("_", " ") or "model", scorers[name]) for name in scorers]),
        "## Expected and come in, a customer",
        _lines(_HEAD, _agreement(judged)),
        "## Limits",
        "\n".join(f"- {text}" for text in LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def write(
    folder: Path,
    publication: Publication,
    predictions: pa.Table,
    rows: Sequence[Mapping[str, Any]],
    card: str,
) -> None:
    """Write an evaluation's files; what an earlier one left there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(predictions, folder / "predictions.parquet")
    pa_csv.write_csv(predictions, folder / "predictions.csv")
    about = {"publication": publication.id, "rows": len(predictions), "metrics": list(rows)}
    (folder / "metrics.json").write_text(json.dumps(about, indent=1))
    pa_csv.write_csv(pa.Table.from_pylist(list(rows)), folder / "metrics.csv")
    (folder / "model_card.md").write_text(card)


def show(
    job: Job[LifetimeValue],
    model: ValueModel,
    who: Customers,
    held: Held,
    judged: Judged,
    console: Console,
) -> None:
    """Print what was learnt from, the model beside its baselines, and what came of each group."""
    console.print(
        f"[bold]{job.name}[/bold] on publication {job.publication.id}: fitted on {len(who):,} customers as "
        f"known before {held.first}. {model.measure.capitalize()} of {len(held.brought):,} customers was "
        f"predicted until {held.last}."
    )
    if model.measure != job.described.measure:
        console.print(
            f"[yellow]Too few customers brought {job.described.measure}: values are in {model.measure}, "
            "which is no income of the client.[/yellow]"
        )
    scorers = [name.replace("_", " ") or "model" for name in held.expected]
    console.print(_table(("", *scorers), _compared(held, judged)))
    console.print(_table(_HEAD, _agreement(judged)))


_HEAD = ("customers by", "customers", "expected", "came in", "still there, expected", "came")


def _compared(held: Held, judged: Judged) -> list[tuple[str, ...]]:
    found = {(row["baseline"], row["metric"]): row for row in judged.rows if row["dataset"] == "out_of_time"}
    return [
        (words, *(_cell(found.get((name, metric))) for name in held.expected))
        for metric, words in SHOWN.items()
    ]


def _agreement(judged: Judged) -> list[tuple[str, ...]]:
    """By group of customers."""
    groups: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in judged.rows:
        if row["dataset"] != "out_of_time":
            groups.setdefault(row["dataset"], {})[row["metric"]] = row
    return [
        (
            name,
            f"{found['came_share']['n']:,}",
            *(f"{found[metric]['value']:,.2f}" for metric in ("expected_a_customer", "brought_a_customer")),
            *(f"{found[metric]['value']:.1%}" for metric in ("alive_share", "came_share")),
        )
        for name, found in groups.items()
    ]


def _at_edge(model: ValueModel) -> list[str]:
    """Parameters that the likelihood would have taken further: those customers are all alike in it."""
    near = 0.01
    free = {"r": model.frequency.r, "a": model.frequency.a, "b": model.frequency.b, "p": model.spend.p}
    return [name for name, value in free.items() if abs(np.log(value)) > EDGE - near]


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return ""
    interval = f" ({row['lo']:.3f} to {row['hi']:.3f})" if row["lo"] is not None else ""
    return f"{row['value']:.3f}{interval}"


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    return table
