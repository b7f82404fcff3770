"""What must hold of rows before anything is fitted: enough days, enough outcomes, no feature that knows them.

Each answer is empty when it holds, and else says what is missing.
"""

import math
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ml.datasets import Rows
from ml.dates import Split
from ml.intervals import Vector
from ml.scores import metrics
from ml.scores.config import UseCase

KNOWS_THE_ANSWER = 0.98
"""ROC AUC of a single feature, either way round, from which it is taken for a leak."""
LEAST_OF_EACH = 10
"""Rows of each outcome with a value, below which a feature's ranking may be chance."""


def too_few_dates(days: Sequence[date], use_case: UseCase) -> str:
    """Days with known labels, for a split that could not be made."""
    have = sorted(set(days))
    unit = use_case.dates.unit
    span = f" ({have[0]} to {have[-1]})" if have else ""
    text = f"Too few matured dates: {len(have)} {unit} have known labels{span}"
    label = use_case.label
    if label is None:
        return f"{text}. Needed are {use_case.dates.test} to test on and {use_case.dates.least} to train on."
    if label.max_silent_days is not None:
        text += f" and no hole of more than {label.max_silent_days} days in the data of their outcome"
    return (
        f"{text}. Needed are {use_case.dates.test} to test on and {use_case.dates.least} to train on, "
        f"each of these at least {label.matures_after} days before the test ({label.horizon_days} days of "
        f"outcome, {label.delay_days} of delay)."
    )


def too_few_outcomes(rows: Rows, dates: Split, use_case: UseCase) -> str:
    """Outcomes in each of the fitted, calibration and test days."""
    parts = {
        "fitted": rows.of(dates.fit),
        "calibration": rows.of(dates.calibration),
        "out-of-time": rows.of(dates.test),
    }
    least = use_case.minimums
    label = use_case.label
    if label is None:
        short = [f"{len(part)} {name} rows" for name, part in parts.items() if len(part) < least.others]
        return f"Too few rows: {', '.join(short)}; needed are {least.others} in each part." if short else ""
    counts = {name: (int(part.labels().sum()), len(part)) for name, part in parts.items()}
    short = [
        f"{have} {who}s in the {name} rows"
        for name, (events, n) in counts.items()
        for who, have, needed in (
            (label.event, events, least.events),
            (label.other, n - events, least.others),
        )
        if have < needed
    ]
    if not short:
        return ""
    return (
        f"Too few outcomes to learn from or to judge by: {', '.join(short)}; needed are "
        f"{least.events} {label.event}s and {least.others} {label.other}s in each part."
    )


def leak(fitted: Rows, use_case: UseCase) -> str:
    """A feature that ranks the outcome nearly perfectly by itself."""
    if use_case.label is None:
        return ""
    labels, ones = fitted.labels(), np.ones(len(fitted))
    for name in fitted.features:
        values = np.asarray(fitted.table[name].to_pandas(), dtype=np.float64)
        known = np.isfinite(values)
        # What is filled in only afterwards, such as a recovery, tells by being there.
        by_presence = metrics.roc_auc(labels, known.astype(np.float64), ones)
        for told, area in (("", _among(labels, values, known)), (" being filled in", by_presence)):
            auc = max(area, 1 - area)
            if math.isfinite(auc) and auc >= KNOWS_THE_ANSWER:
                return (
                    f"Feature {name}{told} alone ranks the outcome with a ROC AUC of {auc:.3f}: it seems to "
                    "know the answer. Find out when its value was known: features from after the as-of date "
                    "do this."
                )
    return ""


def _among(labels: Vector, values: Vector, known: NDArray[np.bool_]) -> float:
    """ROC AUC among the rows with a value; nan where one of the outcomes has too few of them."""
    events = int(labels[known].sum())
    if min(events, int(known.sum()) - events) < LEAST_OF_EACH:
        return math.nan
    return metrics.roc_auc(labels[known], values[known], np.ones(int(known.sum())))
