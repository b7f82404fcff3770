"""The one place that decides which date a run is for."""

from collections.abc import Mapping
from datetime import UTC, date
from typing import Any

WITH_INTERVAL = ("scheduled", "backfill")


class NoAsOfDate(ValueError):
    """A run that does not say which date it is for."""


def as_of_date(context: Mapping[str, Any]) -> date:
    """Date of a night: the parameter `as_of_date`, else the first day of a scheduled interval.

    Only scheduled and backfill runs have an interval that means a night. The one Airflow infers for a manual
    run comes from the clock, and a run triggered by an asset has none: they must carry the parameter.

    Args:
        context: Airflow's task context.

    Raises:
        NoAsOfDate: there is neither; says how to give one.
        ValueError: the parameter is not a date.
    """
    run = context["dag_run"]
    given = context["params"].get("as_of_date")
    if given:
        return date.fromisoformat(given)
    start, end = run.data_interval_start, run.data_interval_end
    run_type = str(getattr(run.run_type, "value", run.run_type))
    if run_type in WITH_INTERVAL and start is not None and start < end:
        first_day: date = start.astimezone(UTC).date()
        return first_day
    raise NoAsOfDate(
        f"{run.dag_id}/{run.run_id} is a {run_type} run without as_of_date: trigger it with "
        '{"as_of_date": "YYYY-MM-DD"}, the business date to build.'
    )
