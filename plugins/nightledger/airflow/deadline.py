"""The deadline of a night in Airflow: it looks at the clock before publication is missed, and tells people.

Airflow asks `PublishBy` for a moment whenever a run of `nightly` is made, and calls `look_at_the_clock` when
that moment has come and the run has not ended. The scheduler asks: nothing here may raise in it.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from nightledger.airflow import dates
from nightledger.settings import Settings

log = logging.getLogger(__name__)

LOOKS = (1.0, 0.5, 0.25, 0.0)
"""When to look, in leads before the deadline: a lead is what a whole night usually takes, with a margin."""


@dataclass
class PublishBy(BaseDeadlineReference):
    """The moment so many usual nights before a run's date must be published; None when that has passed."""

    leads: float = 0.0
    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def serialize_reference(self) -> dict[str, Any]:
        """What Airflow keeps of it."""
        return super().serialize_reference() | {"leads": self.leads}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> "PublishBy":
        """The reference that Airflow has kept."""
        return cls(leads=float(reference_data["leads"]))

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        try:
            return self._moment(session, dag_id, run_id)
        except Exception:  # a run must start even when its deadline cannot be told
            log.exception("the deadline of %s/%s cannot be told", dag_id, run_id)
            return None

    def _moment(self, session: Any, dag_id: str, run_id: str) -> datetime | None:
        import sqlalchemy as sa
        from airflow.models.dagrun import DagRun

        from nightledger import operations
        from nightledger.monitoring import deadlines

        row = session.scalar(sa.select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        day = dates.as_of_date({"dag_run": row, "params": row.conf or {}})
        settings = Settings()
        moment = deadlines.publish_by(settings, day) - self.leads * deadlines.usual(settings).lead()
        return moment.replace(tzinfo=UTC) if moment > operations.clock() else None


def look_at_the_clock(context: dict[str, Any]) -> str | None:
    """Tell people, once a night, that the night will be late or is.

    Args:
        context: of the callback; `dag_run` says which run.

    Returns:
        `late_soon` or `late`, or None while the rest of the night still fits.
    """
    from nightledger import incidents
    from nightledger.monitoring import morning, notifying

    settings = Settings()
    name = f"{context['dag_run']['dag_id']}/{context['dag_run']['dag_run_id']}"
    found = morning.look(settings)
    kind = morning.late_kind(found)
    if kind is None or found.due is None:
        log.info("%s is in time", name)
        return None
    day: date = found.due.as_of_date
    at_work = next((run for run in found.at_work if run.as_of_date == day), None)
    where = "it has not begun" if at_work is None else f"it is in {at_work.stage}"
    if at_work is not None and at_work.waits_for:
        where = f"it waits for {at_work.waits_for}"
    if found.failure is not None:
        where = f"{found.failure.alert.title.lower()} ({found.failure.run.stage})"
    title = (
        f"the night of {day} {'is late' if kind == 'late' else 'will be late'}: it must be published by "
        f"{found.due.publish_by:%Y-%m-%d %H:%M} UTC; {where}"
    )
    incidents.report(
        settings,
        kind="publish late",
        about=str(day),
        title=title,
        first_date=day,
        run_id=name,
    )
    notifying.announce(settings)
    return kind


def deadlines_of_a_night() -> list[DeadlineAlert]:
    """The deadlines of DAG `nightly`: several looks before publication is missed, and one when it is."""
    return [
        DeadlineAlert(
            reference=PublishBy(leads=leads),
            interval=timedelta(0),
            callback=SyncCallback(look_at_the_clock),
            name=f"publish by, {leads:g} nights before",
        )
        for leads in LOOKS
    ]
