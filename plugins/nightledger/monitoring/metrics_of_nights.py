"""What the page for 3 a.m. shows, as metrics: the alerts of docker/prometheus/alerts.yml hang on these."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from nightledger.monitoring import alerts, morning
from nightledger.monitoring.gauges import gauge, gauges, seconds
from nightledger.settings import Settings


def collect(settings: Settings) -> Iterator[Metric]:
    """Every metric, from one look at the installation."""
    found = morning.look(settings)
    raised = {alert.kind for alert in found.raised}
    yield gauges(
        "nightledger_alert",
        "1 for each kind of alerts.yml that is raised now.",
        ("kind", "urgent"),
        [((kind, str(each.urgent).lower()), kind in raised) for kind, each in alerts.alerts().items()],
    )
    yield from _deadline(found)
    yield from _standard(settings, found)
    open_ones = Counter((row["kind"], row["severity"]) for row in found.incidents)
    yield gauges(
        "nightledger_incidents_open", "Open incidents.", ("kind", "severity"), list(open_ones.items())
    )
    if found.backup_at:
        at = seconds(found.backup_at)
        yield gauge("nightledger_backup_timestamp_seconds", "Newest backup in the usual place.", at)
    yield from _cost(settings, found)


def _deadline(found: morning.Morning) -> Iterator[Metric]:
    if found.due and found.due.is_judged:
        yield gauge(
            "nightledger_publish_by_timestamp_seconds",
            "Deadline that comes next, or that has passed without a publication.",
            seconds(found.due.publish_by),
        )
    yield gauge(
        "nightledger_usual_night_seconds",
        "What a night usually takes, from opening to publication.",
        found.usual.whole.total_seconds(),
    )
    yield gauges(
        "nightledger_expected_timestamp_seconds",
        "When the night that is open is published if its rest takes as long as usual.",
        ("dag", "state", "stage"),
        [
            ((run.run_id.partition("/")[0], run.state, run.stage or ""), seconds(found.expected_at(run)))
            for run in found.at_work
            if run.state != "waiting"
        ],
    )
    yield gauges(
        "nightledger_waiting_since_timestamp_seconds",
        "Since when a night waits for the same cutoff or files.",
        ("dag",),
        [
            ((run.run_id.partition("/")[0],), seconds(run.since))
            for run in found.at_work
            if run.state == "waiting"
        ],
    )


def _standard(settings: Settings, found: morning.Morning) -> Iterator[Metric]:
    standard = found.standard
    days = "of the last 90 days"
    yield gauge("nightledger_nights_judged", f"Nights {days} whose deadline has passed.", standard.nights)
    yield gauge("nightledger_nights_on_time", f"Those that were published by then, {days}.", standard.on_time)
    for name, share, objective, meaning in (
        ("nights_on_time", standard.on_time_share, settings.on_time_objective, "Nights published in time"),
        ("fresh", standard.fresh_share, settings.fresh_objective, "Time that readers saw fresh numbers"),
    ):
        if share is not None:
            yield gauge(f"nightledger_{name}_ratio", f"{meaning}, as a share {days}.", share)
        yield gauge(f"nightledger_{name}_objective_ratio", f"{meaning}: the objective.", objective)


def _cost(settings: Settings, found: morning.Morning) -> Iterator[Metric]:
    """CPU time, memory and price of the last run of each DAG that measured them."""
    last = {
        cost.run.partition("/")[0]: cost for cost in reversed(found.costs) if cost.cpu_seconds is not None
    }
    for name, meaning, values in (
        ("cpu_seconds", "CPU time of its steps.", {dag: cost.cpu_seconds for dag, cost in last.items()}),
        (
            "peak_bytes",
            "Most memory that one of its steps had.",
            {dag: (cost.peak_mb or 0) * 1e6 for dag, cost in last.items()},
        ),
        (
            "price",
            "Its CPU time by NIGHTLEDGER_CPU_HOUR_PRICE.",
            {dag: cost.price(settings) for dag, cost in last.items()},
        ),
    ):
        yield gauges(
            f"nightledger_last_run_{name}",
            meaning,
            ("dag",),
            [((dag,), value or 0) for dag, value in values.items()],
        )
