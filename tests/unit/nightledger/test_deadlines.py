"""By when a night must be out, whether it was, and what was kept of the objectives; no warehouse."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from nightledger import operations
from nightledger.monitoring import deadlines
from nightledger.monitoring.deadlines import Night, Usual
from nightledger.night import lock
from nightledger.settings import Settings
from tests.helpers.told_nights import STEPS, Told

D = date(2026, 1, 19)  # a Monday
NOW = datetime(2026, 1, 20, 3)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """An installation in which nothing has happened: nights at 02:00, to be out by 05:00."""
    return Told(Settings(home=tmp_path / "home", _env_file=None), NOW)


def begin(day: date, hours: float = 2) -> datetime:
    """So many hours after the end of a day."""
    return datetime(day.year, day.month, day.day) + timedelta(days=1, hours=hours)


def states(told: Told, now: datetime) -> dict[str, str]:
    return {str(night.as_of_date): night.state(now) for night in deadlines.nights(told.settings, now)}


@pytest.mark.parametrize(
    ("changes", "day", "expected"),
    [
        ({}, D, datetime(2026, 1, 20, 5)),
        ({"publish_by": "01:00"}, D, datetime(2026, 1, 21, 1)),  # 01:00 has passed when the schedule begins
        ({"schedule": ""}, D, datetime(2026, 1, 20, 5)),
        (
            {"schedule": "0 2 * * 2-6"},
            date(2026, 1, 17),
            datetime(2026, 1, 20, 5),
        ),  # Saturday runs on Tuesday
        ({"schedule": "0 9 * * *", "publish_by": "12:30"}, D, datetime(2026, 1, 20, 12, 30)),
    ],
)
def test_a_deadline_is_the_first_after_the_schedule_begins_the_night(tmp_path, changes, day, expected):
    """Catches a deadline that lies before the night can begin, or a day too late."""
    assert deadlines.publish_by(Settings(home=tmp_path, _env_file=None, **changes), day) == expected


def test_a_night_is_on_time_late_or_overdue_and_one_from_before_is_not_judged(told):
    """Catches a night that is days late and counted as made up, and a history that counts as late."""
    told.publish(date(2025, 11, 30), begin(date(2026, 1, 14)), kind="history")
    told.publish(date(2026, 1, 15), begin(date(2026, 1, 15)))
    told.publish(date(2026, 1, 16), begin(date(2026, 1, 18), 9))  # two days late
    assert states(told, NOW) == {
        "2025-11-30": "made up",
        "2026-01-14": "late",  # due from the installation's first run on, and published with the next
        "2026-01-15": "on time",
        "2026-01-16": "late",
        "2026-01-17": "overdue",
        "2026-01-18": "overdue",
        "2026-01-19": "due",
    }


def test_a_date_that_was_passed_over_is_published_with_the_next(told):
    """Catches a night that stays overdue for ever because the next run built both dates."""
    told.publish(date(2026, 1, 15), begin(date(2026, 1, 15)))
    told.publish(date(2026, 1, 17), begin(date(2026, 1, 17)))
    found = states(told, begin(date(2026, 1, 18), 1))
    assert found["2026-01-16"] == "late"
    assert found["2026-01-17"] == "on time"


def test_a_change_of_the_setting_leaves_past_nights_as_they_were(told):
    """Catches a share on time that somebody betters by moving the deadline."""
    told.publish(date(2026, 1, 15), begin(date(2026, 1, 15), 4.95))  # ends 3 minutes late
    assert states(told, NOW)["2026-01-15"] == "late"
    told.settings = told.settings.model_copy(update={"publish_by": deadlines.time(9)})
    assert states(told, NOW)["2026-01-15"] == "late"


def test_what_was_kept_of_the_objectives(told):
    """Catches shares over the wrong nights, and fresh time that forgets a rollback."""
    days = [date(2026, 1, 10) + timedelta(days=place) for place in range(10)]
    for day in days:
        told.publish(day, begin(day, 8 if day.day == 12 else 2))
    known = deadlines.nights(told.settings, NOW)
    kept = deadlines.standard(told.settings, known, NOW)
    assert (kept.nights, kept.on_time) == (10, 9)
    assert kept.on_time_share == 0.9
    # From the first deadline (11 January 05:00) to now, 214 h; the night of the 12th came two hours and six
    # minutes after the one of the 11th had grown 30 hours old (13 January 06:00).
    assert kept.since == datetime(2026, 1, 11, 5)
    assert kept.fresh_share == pytest.approx(1 - 2.1 / 214)
    with told.at(datetime(2026, 1, 20, 2, 30)):
        operations.record_publication(
            told.settings, action="rolled_back", publication_id=told.ids[0], base=None, reason="wrong"
        )
    kept = deadlines.standard(told.settings, known, NOW)
    assert kept.fresh_share == pytest.approx(1 - 2.6 / 214), "half an hour of a publication of the 10th"
    assert kept.on_time_share == 0.9


def test_nothing_is_judged_before_a_deadline_has_passed(told):
    """Catches 0 % on the first day, and a division by nothing."""
    assert deadlines.nights(told.settings, NOW) == []
    told.publish(date(2025, 12, 31), NOW - timedelta(hours=1), kind="history")
    known = deadlines.nights(told.settings, NOW)
    kept = deadlines.standard(told.settings, known, NOW)
    assert (kept.nights, kept.on_time_share, kept.fresh_share) == (0, None, None)


def test_without_a_schedule_only_nights_that_ran_are_expected(told):
    """Catches a demo that is late every day because nobody runs it."""
    told.settings = told.settings.model_copy(update={"schedule": ""})
    told.publish(date(2026, 1, 15), begin(date(2026, 1, 15)))
    assert states(told, NOW) == {"2026-01-15": "on time"}
    assert deadlines.next_due(deadlines.nights(told.settings, NOW), told.settings, NOW) is None


def test_the_rest_of_a_night_is_its_share_of_the_usual_time(told):
    """Catches an alert that comes only when the whole night does not fit any more, or far too early."""
    for day in (16, 17, 18):
        told.publish(date(2026, 1, day), begin(date(2026, 1, day)))
    usual = deadlines.usual(told.settings)
    assert usual.nights == 3
    assert usual.whole == timedelta(minutes=6)
    assert usual.seconds == pytest.approx(dict(STEPS))
    assert usual.remaining([]) == timedelta(minutes=6)
    assert usual.remaining(["open", "ingest", "dbt_merchants", "enrich", "dbt_features"]) == timedelta(
        seconds=160
    )
    assert usual.lead() == deadlines.LEAST_LEAD
    assert Usual(usual.seconds, timedelta(hours=2), 3).lead() == timedelta(hours=3)


def test_before_any_night_a_duration_is_assumed(told):
    """Catches a division by nothing on the first night."""
    assert deadlines.usual(told.settings).lead() == deadlines.ASSUMED * deadlines.MARGIN


def test_a_second_run_of_a_date_fixes_no_second_deadline(told):
    """Catches a rerun that fails on its own record, or moves it."""
    told.publish(D, begin(D))
    before = deadlines.nights(told.settings, NOW)
    told.publish(D, begin(D, 9))
    lock.release(told.settings, "nobody")
    assert deadlines.nights(told.settings, NOW) == before


def test_the_deadline_that_matters_is_the_newest_that_has_passed(told):
    """Catches a page that counts down to tonight while yesterday's night is still missing, and a second late
    night of which nobody is told, because the first is still missing."""
    told.publish(date(2026, 1, 17), begin(date(2026, 1, 17)))
    due = deadlines.next_due(deadlines.nights(told.settings, NOW), told.settings, NOW)
    assert due == Night(date(2026, 1, 18), datetime(2026, 1, 19, 5), True, None)
    later = datetime(2026, 1, 20, 5, 1)
    due = deadlines.next_due(deadlines.nights(told.settings, later), told.settings, later)
    assert due == Night(date(2026, 1, 19), datetime(2026, 1, 20, 5), True, None)
    told.publish(date(2026, 1, 19), datetime(2026, 1, 20, 2))
    due = deadlines.next_due(deadlines.nights(told.settings, NOW), told.settings, NOW)
    assert due == Night(date(2026, 1, 20), datetime(2026, 1, 21, 5), True, None)
