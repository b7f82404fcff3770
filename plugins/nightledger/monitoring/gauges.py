"""Gauges of Prometheus from values of ours."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily, Metric


def gauge(name: str, meaning: str, value: float) -> Metric:
    """One value."""
    return GaugeMetricFamily(name, meaning, value=value)


def gauges(
    name: str, meaning: str, labels: Sequence[str], values: Sequence[tuple[Sequence[str], float]]
) -> Metric:
    """One value for each set of labels."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in values:
        family.add_metric(key, float(value))
    return family


def seconds(at: datetime) -> float:
    """Unix seconds of a time in UTC without a zone."""
    return at.replace(tzinfo=UTC).timestamp()
