"""Why a score is high, in words."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.features import Feature
from ml.scores.config import UseCase

_VALUE = "\0"
"""Stands for the value in a sentence that is finished but for it."""


@dataclass(frozen=True)
class Causes:
    """What speaks for the scores of rows, as a kind of estimator gives it."""

    contributions: NDArray[np.float32]
    """Rows × features: of the log-odds, or deviations from what is usual."""
    margins: NDArray[np.float64]
    """Of each row."""
    words: Callable[[int, int], tuple[str, str]]
    """Reason code and sentence for a row and a feature, by their places."""
    is_two_sided: bool = False
    """Whether a negative contribution is as good a reason as a positive one."""


def words(
    use_case: UseCase, feature: Feature, value: float, typical: float | None, **more: str
) -> tuple[str, str]:
    """Reason code and sentence for one feature of one customer.

    Args:
        use_case: holds the words; a feature without its own is called by its label.
        feature: what is explained.
        value: of the customer; nan = missing.
        typical: median of the rows it is compared with; None = always missing there.
        more: what else the sentence may name in braces.

    Returns:
        For example ("inactivity", "45 days since the last transaction (typical: 3)").
    """
    return sentences(use_case, feature, typical, **more)(value)


def sentences(
    use_case: UseCase, feature: Feature, typical: float | None, **more: str
) -> Callable[[float], tuple[str, str]]:
    """`words` of a feature for many values: all that does not depend on the value is put in once."""
    reasons = use_case.reasons
    own = reasons.texts.get(feature.name)
    text = reasons.default if own is None else own.text
    one = own.one if own and own.one is not None else text
    missing = own.missing if own and own.missing is not None else text
    code = feature.name if own is None else own.code
    usual = reasons.unknown if typical is None else _said(feature, typical)
    many, single, none = (
        form.format(value=_VALUE, typical=usual, label=feature.label, **more) for form in (text, one, missing)
    )

    def said(value: float) -> tuple[str, str]:
        if math.isnan(value):
            return code, none.replace(_VALUE, reasons.unknown)
        shown = _said(feature, value)
        return code, (single if shown == "1" else many).replace(_VALUE, shown)

    return said


def _said(feature: Feature, value: float) -> str:
    """A value in words: of a text, the one that its code stands for."""
    if feature.values:
        return feature.values[min(max(int(value), 1), len(feature.values)) - 1]
    return number(value, feature.unit)


_SPANS = (("days", 86400), ("h", 3600), ("min", 60))


def number(value: float, unit: str) -> str:
    """A number as a person writes it: -45 %, 12,300, 3.5; a span of time as 17 h or 31 days."""
    if unit == "seconds":
        name, size = next((each for each in _SPANS if abs(value) >= each[1]), ("s", 1))
        return f"{value / size:.1f}".removesuffix(".0") + f" {name}"
    if unit == "log_ratio":
        return f"{math.expm1(value) * 100:+.0f} %"
    if unit == "share_per_30_days":
        return f"{value * 100:+.0f} %"
    if unit in ("ratio", "share", "distance"):
        return f"{value * 100:.0f} %"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0")
