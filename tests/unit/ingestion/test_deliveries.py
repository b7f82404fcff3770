"""Corrections, replaced periods and calendars: what raw keeps, what is touched, what a day's state is."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from nightledger.ingestion import coverage, load_contracts
from nightledger.ingestion.contract import ContractError
from nightledger.ingestion.delivery import Delivery
from nightledger.night import plan

from .conftest import line, lines

ARRIVAL = {"known_at": {"mode": "manifest"}}


def at(day: int, hour: int = 1) -> dict[str, str]:
    """A manifest that says when its file was known."""
    return {"known_at": f"2026-01-{day:02d}T{hour:02d}:00:00+00:00"}


def count(bank, as_of: date, cutoff: datetime) -> set[str]:
    """Recount as a night of `as_of` does; returns the days that it touches."""
    plan.create_tables(bank.connection)
    bank.connection.execute("delete from ops.horizon; delete from ops.clients; delete from ops.touched_days")
    bank.connection.execute("insert into ops.horizon values ('bank', ?, ?)", [as_of, cutoff])
    bank.connection.execute(
        "insert into ops.clients (client_id, name, base_currency, timezone, country)"
        " values ('bank', 'Bank', 'GBP', 'Europe/London', 'GB')"
    )
    coverage.update(bank.connection, load_contracts(bank.settings))
    return {str(day) for (day,) in bank.rows("select business_date from ops.touched_days")}


def states(bank) -> dict[str, str]:
    """State of each day that has one."""
    return {
        str(day): state
        for day, state in bank.rows("select business_date, state from ops.coverage order by 1")
    }


def test_an_upsert_keeps_both_contents_and_an_append_sets_the_second_aside(bank):
    """Catches a correction that is lost, or that overwrites what was decided on."""
    for mode, expected in (
        ("append", [(Decimal("-1.50"),)]),
        ("upsert", [(Decimal("-1.50"),), (Decimal("-9"),)]),
    ):
        bank.contract(mode, files=f"{mode}_*", source=mode, delivery={"mode": mode}, max_bad_share=1.0)
        bank.file(f"{mode}_1.csv", lines(line(1)))
        bank.file(f"{mode}_2.csv", lines(line(1, amount="-9.00")))
        bank.load()
        amounts = f"select amount from raw.transactions where source = '{mode}' order by 1 desc"
        assert bank.rows(amounts) == expected
    assert bank.rows("select source, reason from raw.quarantine") == [
        ("append", "key already known with other content")
    ]


@pytest.mark.parametrize(
    ("period", "name", "manifest", "expected"),
    [
        ("content", "tx_1.csv", at(6), (date(2026, 1, 5), date(2026, 1, 5))),
        (
            "manifest",
            "tx_1.csv",
            at(6) | {"period_from": "2026-01-01", "period_to": "2026-01-31"},
            (date(2026, 1, 1), date(2026, 1, 31)),
        ),
        (
            {"pattern": r"(\d{8})_(\d{8})", "format": "%Y%m%d"},
            "tx_20260101_20260107.csv",
            at(6),
            (date(2026, 1, 1), date(2026, 1, 7)),
        ),
    ],
)
def test_a_file_says_for_which_period_it_speaks(bank, period, name, manifest, expected):
    """Catches a replacement that takes back more, or less, than its file speaks for."""
    bank.contract(
        delivery={"mode": "replace_period", "period": period},
        feeds={"transactions": bank.transactions(**ARRIVAL)},
    )
    bank.file(name, lines(line(1)), manifest)
    bank.load()
    assert bank.rows("select period_from, period_to, known_at from raw.replaced_periods") == [
        (*expected, datetime(2026, 1, 6, 1))
    ]


def test_a_file_without_its_period_is_refused(bank, golden):
    """Catches a replacement that takes back nothing without a word."""
    bank.contract(
        delivery={"mode": "replace_period", "period": {"pattern": r"(\d{8})_(\d{8})", "format": "%Y%m%d"}},
        feeds={"transactions": bank.transactions(**ARRIVAL)},
    )
    bank.file("tx_1.csv", lines(line(1)), at(6))
    golden("refused_without_period", bank.load()["tx_1.csv"].message)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"delivery": {"mode": "upsert"}}, "upsert needs a natural key"),
        ({"delivery": {"mode": "replace_period"}}, "known_at must be arrival, manifest or file_name"),
        ({"delivery": {"calendar": "fortnightly"}}, "is no calendar"),
        ({"delivery": {"due_by": "six"}}, "is no moment"),
        ({"delivery": {"mod": "append"}}, "Did you mean mode?"),
        ({"delivery": {"deadline": "09:00"}}, "a deadline is for a required source with a calendar"),
    ],
)
def test_a_delivery_that_cannot_work_is_refused_before_any_data(bank, changes, wrong):
    """Catches a mistake in a contract that shows first as wrong numbers."""
    feed = bank.transactions(known_at={"mode": "event", "lag": "1d"})
    key = "occurrence" if changes["delivery"].get("mode") == "upsert" else ["transaction_id"]
    bank.contract(feeds={"transactions": feed | {"key": key}}, **changes)
    with pytest.raises(ContractError, match=wrong):
        load_contracts(bank.settings)


def test_coverage_counts_each_transaction_once(bank):
    """Catches a re-sent file that doubles what is said to be there."""
    bank.contract(feeds={"transactions": bank.transactions(**ARRIVAL)})
    bank.file("tx_1.csv", lines(line(1), line(2)), at(6))
    bank.file("tx_2.csv", lines(line(2), line(3)), at(7))
    bank.load()
    count(bank, date(2026, 1, 8), datetime(2026, 1, 9, 2))
    assert bank.rows("select rows, amount_sum, first_known_at, last_known_at from ops.coverage") == [
        (3, Decimal("-7.50"), datetime(2026, 1, 6, 1), datetime(2026, 1, 7, 1))
    ]


def test_a_night_touches_the_days_that_its_files_changed_and_no_others(bank):
    """Catches a late or corrected file whose day is not built again, and a night that builds everything."""
    bank.contract(delivery={"mode": "upsert"}, feeds={"transactions": bank.transactions(**ARRIVAL)})
    days = [f"2026-01-0{day} 10:00:00" for day in range(1, 6)]
    bank.file("tx_1.csv", lines(*(line(n, at=day) for n, day in enumerate(days))), at(6))
    bank.load()
    assert len(count(bank, date(2026, 1, 6), datetime(2026, 1, 7, 2))) == 5
    assert count(bank, date(2026, 1, 7), datetime(2026, 1, 8, 2)) == set()
    # A correction moves t1 from the 2nd to the 4th: both days. A late row: its own.
    bank.file("tx_2.csv", lines(line(1, at=days[3]), line(9, at=days[0])), at(8))
    bank.load()
    assert count(bank, date(2026, 1, 8), datetime(2026, 1, 9, 2)) == {
        "2026-01-01",
        "2026-01-02",
        "2026-01-04",
    }


def test_what_becomes_known_tonight_is_touched_although_it_was_loaded_before(bank):
    """Catches rows with times of their own that are staged on no night."""
    bank.contract(feeds={"transactions": bank.transactions(known_at={"mode": "event", "lag": "3d"})})
    bank.file("tx_1.csv", lines(line(1)))
    bank.load()
    assert count(bank, date(2026, 1, 6), datetime(2026, 1, 7, 2)) == set()
    assert count(bank, date(2026, 1, 8), datetime(2026, 1, 9, 2)) == {"2026-01-05"}


def test_a_day_is_early_in_time_late_unexpected_missing_or_awaited(bank):
    """Catches a gap that nobody hears of, and an alarm for a day that nobody expects."""
    weekdays = {"calendar": "business_days", "starts": "2026-01-01", "due_by": "06:00"}
    bank.contract(delivery=weekdays, feeds={"transactions": bank.transactions(**ARRIVAL)})
    arrivals = {2: at(3), 3: at(4), 5: at(6, 9), 6: at(6, 22)}  # Friday, Saturday, Monday, Tuesday
    for day, manifest in arrivals.items():
        bank.file(f"tx_{day}.csv", lines(line(day, at=f"2026-01-{day:02d} 10:00:00")), manifest)
    bank.load()
    count(bank, date(2026, 1, 8), datetime(2026, 1, 9, 2))
    assert states(bank) == {
        "2026-01-02": "arrived",
        "2026-01-03": "unexpected",
        "2026-01-05": "late",
        "2026-01-06": "early",
        "2026-01-07": "missing",
        "2026-01-08": "awaited",
    }  # the 1st is a holiday


def test_a_bank_holiday_is_expected_only_by_a_plain_calendar():
    """Catches an alarm on New Year's Day, and silence on a Wednesday."""
    new_year, wednesday = date(2026, 1, 1), date(2026, 1, 7)
    expects = {
        calendar: (
            Delivery(calendar=calendar).expects(new_year, "GB"),
            Delivery(calendar=calendar).expects(wednesday, "GB"),
        )
        for calendar in ("daily", "weekdays", "business_days", "weekly:wednesday", "monthly:1")
    }
    assert expects == {
        "daily": (True, True),
        "weekdays": (True, True),
        "business_days": (False, True),
        "weekly:wednesday": (False, True),
        "monthly:1": (True, False),
    }


def test_quarantined_records_are_counted_on_the_day_of_their_file(bank):
    """Catches a bad day that looks whole."""
    bank.contract(max_bad_share=1.0, feeds={"transactions": bank.transactions(**ARRIVAL)})
    bank.file(
        "tx_1.csv", lines(line(1), line(2, amount="x"), line(3, at="2026-01-04 10:00:00"), line(4)), at(6)
    )
    bank.load()
    count(bank, date(2026, 1, 8), datetime(2026, 1, 9, 2))
    assert bank.rows("select business_date, rows, quarantined from ops.coverage order by 1") == [
        (date(2026, 1, 4), 1, 0),
        (date(2026, 1, 5), 2, 1),
    ]


def test_quarantined_records_of_every_feed_and_of_files_without_a_good_one_are_counted(bank):
    """Catches a file of log-ins, or a whole file, that is bad and looks as if nothing had come."""
    events = {
        "known_at": "arrival",
        "columns": {
            "customer_id": "customer",
            "event_at": {"column": "at", "format": "%Y-%m-%d %H:%M:%S"},
            "event_type": {"constant": "login"},
        },
    }
    bank.contract(
        "logins",
        source="app",
        files="logins_*",
        personal=[],
        ignore=["id", "card", "amount", "text"],
        max_bad_share=1.0,
        feeds={"events": events},
    )
    bank.contract(max_bad_share=1.0, feeds={"transactions": bank.transactions(**ARRIVAL)})
    bank.file("logins_1.csv", lines(line(1), line(2, at="x"), line(3, customer="")))
    bank.file("tx_1.csv", lines(line(1, amount="x"), line(2, amount="y")), at(6))
    bank.load()
    count(bank, date(2026, 1, 10), datetime(2026, 1, 11, 2))
    assert bank.rows("select feed, business_date, rows, quarantined from ops.coverage order by 1") == [
        ("events", date(2026, 1, 5), 1, 2),
        ("transactions", date(2026, 1, 10), 0, 2),
    ]


def test_a_late_row_in_another_days_file_is_not_the_file_of_its_day(bank):
    """Catches a missing file that one straggler hides, and a file that no row of its day shows."""
    daily = {"calendar": "daily", "starts": "2026-01-05", "due_by": "06:00"}
    bank.contract(
        delivery=daily | {"day": {"pattern": r"tx_(\d+)", "format": "%Y%m%d"}},
        feeds={"transactions": bank.transactions(**ARRIVAL)},
    )
    bank.file("tx_20260106.csv", lines(line(1, at="2026-01-05 10:00:00")), at(7))
    bank.load()
    count(bank, date(2026, 1, 6), datetime(2026, 1, 7, 7))
    assert bank.rows("select business_date, state, arrived, rows from ops.coverage order by 1") == [
        (date(2026, 1, 5), "missing", False, 1),
        (date(2026, 1, 6), "arrived", True, 0),
    ]


def test_records_without_a_date_count_on_the_day_of_their_file(bank):
    """Catches a daily file of customers that is missing every day because it comes the day after."""
    bank.contract(
        delivery={"calendar": "daily", "day": {"pattern": r"tx_(\d+)", "format": "%Y%m%d"}},
        feeds={"customers": {"known_at": "manifest", "columns": {"customer_id": "customer"}}},
        ignore=["id", "card", "at", "amount", "text"],
        personal=[],
    )
    bank.file("tx_20260105.csv", lines(line(1)), at(6))
    bank.load()
    count(bank, date(2026, 1, 6), datetime(2026, 1, 7, 2))
    assert states(bank) == {"2026-01-05": "arrived", "2026-01-06": "missing"}


def test_of_two_files_found_together_the_later_name_corrects(bank):
    """Catches a correction that wins or loses by the hash of its bytes."""
    for number in range(4):
        bank.contract(
            f"c{number}", files=f"c{number}_*", source=f"c{number}", delivery={"mode": "upsert"},
            feeds={"transactions": bank.transactions(known_at="arrival")},
        )  # fmt: skip
        bank.file(f"c{number}_1.csv", lines(line(number)))
        bank.file(f"c{number}_2.csv", lines(line(number, amount="-9.00")))
    bank.load()
    assert bank.rows(
        "select distinct last_value(amount) over (partition by source order by known_at, _load_id"
        " rows between unbounded preceding and unbounded following) from raw.transactions"
    ) == [(Decimal("-9"),)]
