"""Fit a segmentation on the rows of month-ends, and measure it on later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.families import TooLittle
from ml.features import DatasetError, Feature
from ml.segments import choice, naming, scaling
from ml.segments.choice import Candidate
from ml.segments.config import LogRatios, Segments
from ml.segments.model import KEPT, NEW, Segmentation, nearest
from ml.segments.rows import Rows, matrix
from ml.segments.scaling import Matrix
from ml.stability import LEAST_SHARE


@dataclass(frozen=True)
class Fitted:
    """A segmentation and how its number of segments was chosen."""

    segmentation: Segmentation
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    days: tuple[date, ...]
    """That it was fitted on."""
    rows: int
    """Number of them, a customer once on each of the days."""
    deviations: Matrix
    """Of each segment's centre from the mean of the rows, in their standard deviations."""


def fit(
    described: Segments,
    features: Sequence[Feature],
    rows: Rows,
    as_of: date,
    before: Segmentation | None,
    predecessor: str,
) -> Fitted:
    """Scale, choose the number of segments, and name them.

    Args:
        described: the model.
        features: that it may use.
        rows: to be fitted; also the columns of `before`, when it is given.
        as_of: of the publication.
        before: whose names are carried over; None: names begin here.
        predecessor: its version.

    Raises:
        TooLittle: too few customers, or no number of segments keeps the rules.
        DatasetError: a column is not among the features.
    """
    definitions = definitions_of(described, features)
    _enough(described, rows)
    frozen = scaling.fit(described.scaling, rows.raw, described.seed)
    scaled = frozen(rows.raw)
    found = choice.candidates(described.clusters, scaled, rows.customers, described.seed)
    chosen = choice.choose(described.clusters, found, len(before.segments) if before else None)
    if chosen is None:
        raise TooLittle(
            "No number of segments keeps the rules: "
            + "; ".join(f"{one.words} ({', '.join(one.broken)})" for one in found)
            + "."
        )
    places, _ = nearest(scaled, chosen.centres)
    deviations = naming.deviations(scaled, chosen.centres)
    told = [naming.words(described.names, described.dimensions, own) for own in deviations]
    pairs: dict[int, tuple[int, float]] = {}
    if before is not None:
        was, _ = before.assign(matrix(rows.table, before.scaling.columns))
        pairs = naming.pair(places, was, chosen.k, len(before.segments))
    segments, retired = naming.carry_over(described.names, told, pairs, before, as_of)
    counts = np.bincount(places, minlength=chosen.k)
    return Fitted(
        Segmentation(
            as_of=as_of,
            predecessor=predecessor if before else "",
            scaling=frozen,
            centres=tuple(map(tuple, chosen.centres.tolist())),
            segments=segments,
            retired=retired,
            shares=tuple(float(share) for share in np.round(counts / len(rows), 9)),
            definitions=definitions,
            definition_hash=rows.definition_hash,
            described=described.model_dump(mode="json", exclude={"description"}),
        ),
        tuple(found),
        chosen,
        days_of(rows),
        len(rows),
        deviations,
    )


def definitions_of(described: Segments, features: Sequence[Feature]) -> dict[str, str]:
    """Definition of each column that is read.

    Raises:
        DatasetError: one is no feature, or not allowed in segments.
    """
    known = {feature.name: feature.definition for feature in features}
    if unknown := [column for column in described.columns if column not in known]:
        raise DatasetError(f"{described.name}: no feature {', '.join(unknown)} that is allowed in segments")
    return {column: known[column] for column in described.columns}


def days_of(rows: Rows) -> tuple[date, ...]:
    """As-of dates of rows, in order."""
    return tuple(sorted(set(rows.table["as_of_date"].to_pylist())))


def span(days: Sequence[date]) -> str:
    """First and last of days, in words."""
    return " to ".join(sorted({days[0].isoformat(), days[-1].isoformat()})) if days else ""


def _enough(described: Segments, rows: Rows) -> None:
    days = len(days_of(rows))
    per_day = len(rows) / days if days else 0.0
    has_mix = isinstance(described.scaling, LogRatios)
    if has_mix and not len(rows):
        raise TooLittle(
            "No merchant or category of the payments is known: nobody has a mix of spend. "
            "segments_rfm needs none."
        )
    if per_day < described.least_customers:
        raise TooLittle(
            f"Too few customers: {per_day:,.0f} active ones{' with a known mix of spend' if has_mix else ''} "
            f"at a month-end on average of {days}; needed are {described.least_customers:,}."
        )


def measure(
    described: Segments, fitted: Fitted, test: Rows, champion: Segmentation | None
) -> list[dict[str, Any]]:
    """Rows of the table `ml.metrics`: the choice on the fitted rows, and what later rows say.

    `n` is the number of rows (customers on days) that a value comes from; of agreement it is the draws.

    Args:
        described: the model.
        fitted: the version.
        test: rows that it was not fitted on.
        champion: the present one, if it is another and can read the rows.
    """
    own, chosen = fitted.segmentation, fitted.chosen
    states = [segment.state for segment in own.segments]
    windows = {"fitted": span(fitted.days), "out_of_time": span(days_of(test))}
    most, rows = described.clusters.silhouette_rows, fitted.rows
    figures: list[tuple[str, str, float, int]] = [
        ("fitted", "segments", chosen.k, rows),
        ("fitted", "mean_agreement", chosen.mean_agreement, described.clusters.draws),
        ("fitted", "least_agreement", chosen.least_agreement, described.clusters.draws),
        ("fitted", "smallest_share", chosen.smallest_share, rows),
        ("fitted", "silhouette", chosen.silhouette, min(rows, most)),
        ("fitted", "segments_kept", states.count(KEPT), rows),
        ("fitted", "segments_new", states.count(NEW), rows),
    ]
    if len(test):
        scaled = own.scaling(test.raw)
        places, _ = nearest(scaled, np.asarray(own.centres))
        shares = np.bincount(places, minlength=chosen.k) / len(test)
        sample = np.sort(np.random.default_rng(described.seed).permutation(len(test))[:most])
        figures += [
            ("out_of_time", "silhouette", choice.silhouette(scaled[sample], places[sample]), len(sample)),
            ("out_of_time", "smallest_share", float(shares.min()), len(test)),
            ("out_of_time", "share_psi", share_psi(np.asarray(own.shares), shares), len(test)),
        ]
        if champion is not None:
            was, _ = champion.assign(matrix(test.table, champion.scaling.columns))
            counts = np.bincount(was, minlength=len(champion.segments)) / len(test)
            figures += [
                ("out_of_time", "champion_agreement", choice.agreement(places, was), len(test)),
                (
                    "out_of_time",
                    "champion_share_psi",
                    share_psi(np.asarray(champion.shares), counts),
                    len(test),
                ),
                ("out_of_time", "same_name", same_name(own, places, champion, was), len(test)),
            ]
    return [_row(dataset, windows[dataset], metric, value, n) for dataset, metric, value, n in figures]


def same_name(
    one: Segmentation, places: NDArray[np.int64], other: Segmentation, others: NDArray[np.int64]
) -> float:
    """Share of the rows that two segmentations call by the same name; nan without rows."""
    if not len(places):
        return float("nan")
    ids = np.array([segment.id for segment in one.segments])[places]
    return float((ids == np.array([segment.id for segment in other.segments])[others]).mean())


def share_psi(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Population stability index of the segments' shares: Σ (after − before) × ln(after / before)."""
    was, is_now = np.maximum(before, LEAST_SHARE), np.maximum(after, LEAST_SHARE)
    return float(np.sum((is_now - was) * np.log(is_now / was)))


def _row(dataset: str, window: str, metric: str, value: float, n: int) -> dict[str, Any]:
    return {
        "model": "",
        "version": "",
        "client_id": "",
        "dataset": dataset,
        "window_label": window,
        "metric": metric,
        "baseline": "",
        "value": float(value) if np.isfinite(value) else None,
        "lo": None,
        "hi": None,
        "n": n,
        "base_rate": None,
    }
