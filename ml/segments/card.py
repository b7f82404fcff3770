"""The model card of a segmentation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml.segments.config import Segments
from ml.segments.fitting import Fitted, span
from ml.segments.rows import Rows


def write(
    name: str,
    version: str,
    publication: str,
    described: Segments,
    fitted: Fitted,
    rows: Rows,
    metrics: Sequence[Mapping[str, Any]],
) -> str:
    """The card as Markdown.

    Args:
        name: of the model, with its client.
        version: its id.
        publication: that it was fitted on.
        described: its numbers.
        fitted: what was fitted.
        rows: that it was fitted on.
        metrics: as `ml.segments.fitting.measure` gives them.
    """
    own, rules = fitted.segmentation, described.clusters
    places, _ = own.assign(rows.raw)
    told = own.scaling.readable(rows.raw)
    parts = [
        f"# {name} {version}",
        described.description,
        "## What it is",
        _table(
            ("", ""),
            [
                ("method", f"K-Means on {described.scaling.kind.replace('_', ' ')} scaling, frozen centres"),
                ("who", "customers active in the 90 days before the date"),
                ("features", ", ".join(described.columns)),
                ("fitted on", f"{len(rows):,} rows, {span(fitted.days)}, publication {publication}"),
                ("names from", own.predecessor or "this version"),
                ("not for", "decisions on single persons: a segment says what many have in common"),
            ],
        ),
        "## The segments",
        _table(
            (
                "id",
                "name",
                "state",
                "since",
                "overlap",
                "share",
                *(f"median {c}" for c in described.dimensions),
            ),
            [
                (
                    segment.id,
                    segment.name,
                    segment.state,
                    segment.since,
                    "" if segment.overlap is None else f"{segment.overlap:.2f}",
                    f"{own.shares[at]:.1%}",
                    *(f"{value:.4g}" for value in _medians(told[places == at])),
                )
                for at, segment in enumerate(own.segments)
            ],
        ),
        "Overlap: customers in the segment and in the one before it, of all in either.",
        _table(
            ("id", *described.dimensions),
            [
                (segment.id, *(f"{value:+.2f}" for value in fitted.deviations[at]))
                for at, segment in enumerate(own.segments)
            ],
        ),
        "How far each segment lies from all rows, in their standard deviations.",
    ]
    if own.retired:
        parts += [
            "## Retired",
            _table(("id", "name", "since"), [(one.id, one.name, one.since) for one in own.retired]),
        ]
    parts += [
        "## Why so many",
        f"Needed: agreement {rules.mean_agreement:g} on average of {rules.draws} bootstraps over customers "
        f"and {rules.least_agreement:g} in each, {rules.smallest_share:.0%} of the rows in each segment; "
        "then silhouette.",
        _table(
            ("segments", "mean agreement", "least agreement", "smallest share", "silhouette", ""),
            [
                (
                    one.k,
                    f"{one.mean_agreement:.3f}",
                    f"{one.least_agreement:.3f}",
                    f"{one.smallest_share:.3f}",
                    f"{one.silhouette:.3f}",
                    "taken" if one.k == fitted.chosen.k else "; ".join(one.broken),
                )
                for one in fitted.candidates
            ],
        ),
        "## What was measured",
        _table(
            ("rows", "metric", "value"),
            [
                (f"{row['dataset']} {row['window_label']}", row["metric"], _number(row["value"]))
                for row in metrics
            ],
        ),
    ]
    drift = next((row["value"] for row in metrics if row["metric"] == "share_psi"), None)
    if drift is not None and drift > described.share_psi:
        parts.append(
            f"The shares of the segments moved by a PSI of {drift:.2f} since the fitted rows, more than "
            f"{described.share_psi:g}."
        )
    return "\n\n".join(parts) + "\n"


def _medians(told: Any) -> list[float]:
    return [float(np.median(known)) if len(known := own[~np.isnan(own)]) else float("nan") for own in told.T]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(head: tuple[Any, ...], rows: Sequence[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)
