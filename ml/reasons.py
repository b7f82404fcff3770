"""Why a score is high, in words."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.config import UseCase
from ml.features import Feature


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
    reasons = use_case.reasons
    missing = math.isnan(value)
    shown = reasons.unknown if missing else _said(feature, value)
    usual = reasons.unknown if typical is None else _said(feature, typical)
    own = reasons.texts.get(feature.name)
    if own is None:
        return feature.name, reasons.default.format(label=feature.label, value=shown, typical=usual, **more)
    text = own.text
    if missing and own.missing is not None:
        text = own.missing
    elif shown == "1" and own.one is not None:
        text = own.one
    return own.code, text.format(value=shown, typical=usual, **more)


def _said(feature: Feature, value: float) -> str:
    """A value in words: of a text, the one that its code stands for."""
    if feature.values:
        return feature.values[min(max(int(value), 1), len(feature.values)) - 1]
    return number(value, feature.unit)


def number(value: float, unit: str) -> str:
    """A number as a person writes it: -45 %, 12,300, 3.5."""
    if unit == "log_ratio":
        return f"{math.expm1(value) * 100:+.0f} %"
    if unit == "share_per_30_days":
        return f"{value * 100:+.0f} %"
    if unit in ("ratio", "share", "distance"):
        return f"{value * 100:.0f} %"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0")
