"""The deadline of a night as Airflow keeps and asks for it, and what people are told when it comes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nightledger import incidents, operations
from nightledger.airflow import deadline as airflow_deadline
from nightledger.airflow.deadline import LOOKS, PublishBy, look_at_the_clock
from nightledger.settings import Settings
from tests.helpers.told_nights import Told

D = date(2026, 1, 19)
RUN = "manual__told"
NOW = datetime(2026, 1, 20, 3)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Told]:
    """A home of this test with three published nights of six minutes, at 03:00 of the next."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
    told = Told(Settings(), NOW)
    for day in (16, 17, 18):
        told.publish(date(2026, 1, day), datetime(2026, 1, day + 1, 2))
    with told.at(NOW):
        yield told


@pytest.fixture
def asked(airflow_db: None, dagbag: Any) -> Iterator[Any]:
    """What Airflow's scheduler gets from the DAG's deadlines, as it has stored them, for a run of `D`."""
    from airflow.models.dagrun import DagRun
    from airflow.serialization.decoders import decode_deadline_alert
    from airflow.serialization.encoders import encode_deadline_alert
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    stored = [encode_deadline_alert(alert) for alert in dagbag.dags["nightly"].deadline]
    with create_session() as session:
        run = DagRun(
            dag_id="nightly",
            run_id=RUN,
            run_type=DagRunType.MANUAL,
            conf={"as_of_date": str(D)},
            run_after=datetime.now(UTC),
            triggered_by=DagRunTriggeredByType.TEST,
        )
        session.add(run)
        session.flush()

        def ask() -> list[datetime | None]:
            return [
                alert.reference.evaluate_with(
                    session=session, interval=alert.interval, dag_id="nightly", run_id=RUN
                )
                for alert in (decode_deadline_alert(each) for each in stored)
            ]

        yield ask
        session.rollback()


def test_airflow_looks_before_the_deadline_is_missed(told, asked):
    """Catches a first alert that comes when it is too late, and a reference that Airflow cannot store."""
    deadline = datetime(2026, 1, 20, 5, tzinfo=UTC)
    assert asked() == [deadline - leads * timedelta(minutes=10) for leads in LOOKS]
    assert asked()[0] < deadline


def test_moments_that_have_passed_are_not_asked_for(told, asked):
    """Catches a history of a hundred nights that calls people for each."""
    with told.at(datetime(2026, 1, 20, 4, 56)):
        assert asked() == [
            None,
            None,
            datetime(2026, 1, 20, 4, 57, 30, tzinfo=UTC),
            datetime(2026, 1, 20, 5, tzinfo=UTC),
        ]
    with told.at(datetime(2026, 6, 1)):
        assert asked() == [None] * len(LOOKS)


def test_a_deadline_that_cannot_be_told_stops_no_run(told, asked, monkeypatch, caplog):
    """Catches an exception in the scheduler, which would start no night at all."""
    monkeypatch.setenv("NIGHTLEDGER_OPERATIONS_DSN", "sqlite:////no/such/place.db?mode=ro")
    monkeypatch.setattr("nightledger.monitoring.deadlines.usual", lambda _settings: 1 / 0)
    assert asked() == [None] * len(LOOKS)
    assert "cannot be told" in caplog.text


def look(now: datetime, told: Told) -> str | None:
    with told.at(now):
        return look_at_the_clock(context={"dag_run": {"dag_id": "nightly", "dag_run_id": RUN}})


def told_incidents(told: Told) -> list[str]:
    return [row["title"] for row in incidents.open_incidents(told.settings) if row["kind"] == "publish late"]


def test_people_are_told_once_that_a_night_will_be_late(told):
    """Catches an alert after the fact, one for a night that is in time, and one at each look."""
    with told.at(NOW):
        operations.note_wait(told.settings, f"nightly/{RUN}", D, "bank/cards for 2026-01-19")
    assert look(datetime(2026, 1, 20, 4), told) is None
    assert told_incidents(told) == []
    with told.at(datetime(2026, 1, 20, 4, 51)):
        operations.note_wait(told.settings, f"nightly/{RUN}", D, "bank/cards for 2026-01-19")
    assert look(datetime(2026, 1, 20, 4, 52), told) == "late_soon"
    (title,) = told_incidents(told)
    assert title == (
        "the night of 2026-01-19 will be late: it must be published by 2026-01-20 05:00 UTC; "
        "it waits for bank/cards for 2026-01-19"
    )
    assert look(datetime(2026, 1, 20, 5, 1), told) == "late"
    assert len(told_incidents(told)) == 1


def test_a_night_that_still_fits_calls_nobody(told):
    """Catches an alert by the clock alone, when only the last step is left."""
    run = told.open(D, datetime(2026, 1, 20, 4, 40), run=f"nightly/{RUN}")
    told.steps(run, datetime(2026, 1, 20, 4, 40), until="publish")
    assert look(datetime(2026, 1, 20, 4, 49, 59), told) is None
    assert look(datetime(2026, 1, 20, 4, 50, 1), told) == "late_soon", "a person needs ten minutes"


def test_the_callback_can_be_found_by_its_name():
    """Catches a callback inside a DAG file, which Airflow's executor cannot import."""
    for alert in airflow_deadline.deadlines_of_a_night():
        assert alert.callback.path == "nightledger.airflow.deadline.look_at_the_clock"
        assert isinstance(alert.reference, PublishBy)
