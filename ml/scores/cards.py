"""The model card of a version: what it is for, what it learnt from, how good and how fair it is.

Sections follow Mitchell et al. 2019, "Model cards for model reporting".
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ml import attributes
from ml.datasets import Rows
from ml.dates import Split
from ml.scores.boosted import Fitted
from ml.scores.config import UseCase
from ml.scores.evaluation import Judged
from ml.scores.forest import Forest
from ml.scores.model import Model
from ml.scores.reliability import DATASET

if TYPE_CHECKING:
    from ml.families import Job

MOST_FEATURES = 15
"""Features that the card shows; all of them are in `mart_feature_importance`."""


def importance(model: Model, rows: Rows, threads: int, most: int = 20_000) -> dict[str, float]:
    """How much each feature decides, the largest first.

    Of boosted trees the mean absolute contribution in log-odds. A forest has no contributions: of it the mean
    absolute change of the anomaly score when the feature has its typical value (permutation importance,
    Breiman 2001, with the median in place of a permutation).

    Args:
        model: of either kind.
        rows: to average over; of more than `most` (of a forest a tenth of that), evenly spaced ones.
        threads: do not change the result.
        most: rows that are looked at.
    """
    if not len(rows):
        return {}
    is_forest = isinstance(model.estimator, Forest)
    step = max(1, -(-len(rows) // (most // 10 if is_forest else most)))
    table = rows.table.take(list(range(0, len(rows), step)))
    if isinstance(model.estimator, Forest):
        means = _without_each(model.estimator, table)
    else:
        parts, _ = model.estimator.contributions(table, threads)
        means = np.abs(parts).mean(axis=0, dtype=np.float64)
    ranked = sorted(zip(model.features, means, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: round(float(value), 6) for name, value in ranked}


def _without_each(forest: Forest, table: pa.Table) -> list[float]:
    """Mean absolute change of the anomaly score with each feature missing, which counts as its median."""
    told = forest.margins(table, 1)
    missing = pa.nulls(len(table), pa.float32())
    changes = []
    for name in forest.features:
        without = table.set_column(table.column_names.index(name), name, missing)
        changes.append(float(np.abs(forest.margins(without, 1) - told).mean()))
    return changes


def write(
    job: "Job[UseCase]",
    version: str,
    model: Model,
    dates: Split,
    rows: Rows,
    found: Fitted | None,
    judged: Judged,
    importances: dict[str, float],
) -> str:
    """The card as Markdown."""
    use_case = job.described
    label = use_case.label
    parts = [
        f"# {job.name} {version}",
        use_case.description,
        "## What it is",
        _table(
            ("", ""),
            [
                ("estimator", model.kind.replace("_", " ")),
                ("scores", f"{use_case.entity}s, scope {use_case.scope}"),
                ("bands", ", ".join(f"{name} from {at:g}" for name, at in use_case.bands.items())),
                *(
                    [("hyper-parameters", _plain(found.params)), ("trials", str(len(found.trials)))]
                    if found
                    else []
                ),
                ("not for", "other entities, clients or dates than those it was trained and judged on"),
            ],
        ),
        "## What it learnt from",
        _table(
            ("", ""),
            [
                *job.origin(),
                (
                    "label",
                    f"{label.event} within {label.horizon_days} days, judged {label.delay_days} days later"
                    if label
                    else "none",
                ),
                ("fitted on", _days(use_case, dates.fit, rows)),
                ("calibrated on", _days(use_case, dates.calibration, rows)),
                ("judged on", _days(use_case, dates.test, rows)),
                ("features", f"{len(model.features)}: {_groups(job)}"),
                *([("to be looked at", warning)] if (warning := attributes.warning(job.features)) else []),
                ("definitions", model.definition_hash),
            ],
        ),
        "## How good it is",
        _table(
            ("metric", "value", "interval", "base rate", "beside"),
            [
                (
                    row["metric"],
                    _number(row["value"]),
                    _between(row),
                    _number(row["base_rate"]),
                    row["baseline"],
                )
                for row in judged.rows
                if not row["client_id"] and row["dataset"] == "out_of_time"
            ],
        ),
        *([_table(("baseline", "what it is"), list(judged.words.items()))] if judged.words else []),
    ]
    others = ("out_of_time", DATASET)
    fair = [row for row in judged.rows if not row["dataset"].startswith(others)]
    if fair:
        parts += [
            "## How it treats groups",
            "Groups are never features. Intervals are over customers; small groups are shown and not judged.",
            _table(
                ("group", "metric", "value", "interval", "rows"),
                [
                    (row["dataset"], row["metric"], _number(row["value"]), _between(row), str(row["n"]))
                    for row in fair
                ],
            ),
        ]
        if judged.noticed:
            parts.append("To be looked at:\n" + "\n".join(f"- {text}" for text in judged.noticed))
    parts += ["## Guardrails it breaks", "\n".join(f"- {text}" for text in judged.broken) or "None."]
    if importances:
        shown = list(importances.items())[:MOST_FEATURES]
        parts += [
            "## What it looks at",
            "Mean absolute "
            + ("contribution in log-odds" if model.kind == "xgboost" else "change of the score without it")
            + f"; {len(shown)} of {len(importances)} features.",
            _table(("feature", "contribution"), [(name, f"{value:.4f}") for name, value in shown]),
        ]
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def _days(use_case: UseCase, days: tuple[Any, ...], rows: Rows) -> str:
    part = rows.of(days)
    events = f", {int(part.labels().sum()):,} events" if "label" in part.table.column_names else ""
    span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]} ({use_case.dates.count(len(days))})"
    return f"{span}: {len(part):,} rows{events}"


def _groups(job: "Job[UseCase]") -> str:
    counted = Counter(feature.group or feature.table for feature in job.features)
    return ", ".join(f"{n} {group}" for group, n in counted.items())


def _plain(params: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in sorted(params.items()) if name not in ("nthread", "verbosity")
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _between(row: dict[str, Any]) -> str:
    return "" if row["lo"] is None else f"{row['lo']:.4g} to {row['hi']:.4g}"
