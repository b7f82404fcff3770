"""What people read of a comparison: figures, a table for the terminal, the model card."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ml.families import Job
from ml.goals.config import Goals
from ml.goals.learning import Learnt
from ml.goals.ranking import RANKER, Comparison
from ml.intervals import Estimate

LIMITS = (
    "Learnt from what customers said had happened to them: who says nothing counts as if nothing had.",
    "It puts events in an order that the rules have evidence for; it tells of none without evidence.",
    "The score orders one customer's events. It is no probability, and says nothing of two customers.",
)


def rows(rules: Goals, learnt: Learnt) -> list[dict[str, Any]]:
    """Rows of the table `ml.metrics`, without model and version: each list, and the ranker's lead over it."""
    result = learnt.comparison
    found = [("" if name == RANKER else name, metric, one) for (name, metric), one in result.found.items()]
    found += [(than, f"{metric}_lead", one) for (name, than, metric), one in result.gained.items()
              if name == RANKER]  # fmt: skip
    return [
        {
            "client_id": "",
            "dataset": "out_of_time",
            "window_label": learnt.window,
            "metric": metric,
            "baseline": baseline,
            "value": one.value,
            "lo": one.lo,
            "hi": one.hi,
            "n": len(result.judged),
            "base_rate": None,
        }
        for baseline, metric, one in found
    ]


def predictions(result: Comparison) -> pa.Table:
    """A row per judged case and event: whether it happened, and the score of each list."""
    judged = result.judged
    count = len(judged.events)
    return pa.table(
        {
            "customer_id": pa.array(judged.names.repeat(count), pa.string()),
            "as_of_date": pa.array(judged.day.repeat(count), pa.date32()),
            "event": pa.array(list(judged.events) * len(judged), pa.string()),
            "happened": pa.array(judged.happened.ravel() > 0),
            **{name: pa.array(score.ravel()) for name, score in result.lists.items()},
        }
    )


def card(job: Job[Goals], version: str, learnt: Learnt, reason: str) -> str:
    """The model card as Markdown."""
    rules, result = job.described, learnt.comparison
    goes_by = (
        f"segments of {rules.segments} as of {learnt.segmentation.as_of}"
        if learnt.segmentation
        else "age alone"
    )
    parts = [
        f"# {job.name} {version}",
        rules.description,
        reason,
        "## What it learnt from",
        _markdown(
            ("", ""),
            [
                *job.origin(),
                ("cases with an event", f"{result.learnt:,}"),
                ("popularity goes by", goes_by),
                ("trees", f"{rules.ranker.rounds}, {rules.ranker.params.get('objective', '')}"),
            ],
        ),
        f"## How good it is: {learnt.window}, {len(result.judged):,} cases with an event",
        _markdown(("list", *_titles(rules)), _compared(rules, result)),
        "## How popular each event is",
        _markdown(
            ("segment", *result.ranker.events),
            [
                (segment or "unknown", *(f"{share:.1%}" for share in shares))
                for segment, shares in (
                    ("everywhere", result.ranker.everywhere),
                    *result.ranker.popular.items(),
                )
            ],
        ),
        "## Limits",
        "\n".join(f"- {text}" for text in LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def show(rules: Goals, result: Comparison, console: Console) -> None:
    """Print the comparison and what follows from it."""
    table = Table(
        title=f"The first {rules.list_length} events; {len(result.judged):,} cases judged, {result.learnt:,} "
        "learnt from"
    )
    for column in ("list", *_titles(rules)):
        table.add_column(column)
    for line in _compared(rules, result):
        table.add_row(*line)
    console.print(table)
    console.print(
        f"Popularity goes by the segment ({rules.segments}) in {result.by_segment:.0%} of the cases judged, "
        "by the age in the others, where the customer was in none."
    )
    console.print(
        f"Of the cases judged with any evidence, {result.several:.0%} have it for two events or more: what is"
        " told first can be another event in these only."
    )
    lists = " and ".join(rules.promotion.over_lists)
    console.print(
        f"The ranker is better than {lists}, beyond doubt: it may rank."
        if result.wins(rules)
        else f"The ranker is not better than {lists} in both metrics beyond doubt: the rules stand."
    )


def write_figures(result: Comparison, target: Path) -> None:
    """Keep the figures as CSV: each list, and what it is better by than another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = [(name, "", metric, one) for (name, metric), one in result.found.items()]
    found += [(name, than, metric, one) for (name, than, metric), one in result.gained.items()]
    table = pa.table(
        {
            "list": [row[0] for row in found],
            "minus": [row[1] for row in found],
            "metric": [row[2] for row in found],
            **{end: [getattr(row[3], end) for row in found] for end in ("value", "lo", "hi")},
        }
    )
    pa_csv.write_csv(table, target)


def write(
    folder: Path, about: Mapping[str, Any], metrics: list[dict[str, Any]], said: pa.Table, card: str
) -> None:
    """Write an evaluation's files; what an earlier one left there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(said, folder / "predictions.parquet")
    pa_csv.write_csv(said, folder / "predictions.csv")
    (folder / "metrics.json").write_text(json.dumps({**about, "metrics": metrics}, indent=1))
    pa_csv.write_csv(pa.Table.from_pylist(metrics), folder / "metrics.csv")
    (folder / "model_card.md").write_text(card)


def in_words(one: Estimate, sign: str = "") -> str:
    """A value with its interval."""
    return f"{one.value:{sign}.3f} ({one.lo:{sign}.3f} … {one.hi:{sign}.3f})"


def _titles(rules: Goals) -> tuple[str, str]:
    return f"NDCG@{rules.list_length}", f"hit@{rules.list_length}"


def _compared(rules: Goals, result: Comparison) -> list[tuple[str, ...]]:
    lines = [
        (name, *(in_words(result.found[name, metric]) for metric in rules.metrics)) for name in result.lists
    ]
    for better, than in dict.fromkeys((better, than) for better, than, _ in result.gained):
        gains = (in_words(result.gained[better, than, metric], "+") for metric in rules.metrics)
        lines.append((f"{better} − {than}", *gains))
    return lines


def _markdown(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    cells = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)
