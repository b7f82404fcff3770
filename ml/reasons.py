"""Why a score is high, in words."""

import math

from ml.config import UseCase
from ml.features import Feature


def words(use_case: UseCase, feature: Feature, value: float, typical: float | None) -> tuple[str, str]:
    """Reason code and sentence for one feature of one customer.

    Args:
        use_case: holds the words; a feature without its own is called by its label.
        feature: what is explained.
        value: of the customer; nan = missing.
        typical: median of the training rows; None = always missing there.

    Returns:
        For example ("inactivity", "45 days since the last transaction (typical: 3)").
    """
    reasons = use_case.reasons
    missing = math.isnan(value)
    shown = reasons.unknown if missing else number(value, feature.unit)
    usual = reasons.unknown if typical is None else number(typical, feature.unit)
    own = reasons.texts.get(feature.name)
    if own is None:
        return feature.name, reasons.default.format(label=feature.label, value=shown, typical=usual)
    text = own.text
    if missing and own.missing is not None:
        text = own.missing
    elif shown == "1" and own.one is not None:
        text = own.one
    return own.code, text.format(value=shown, typical=usual)


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
