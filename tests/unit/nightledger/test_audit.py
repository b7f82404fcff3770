"""What the audit says of days that are out of the ordinary, and of days that only look so."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from nightledger.night import audit

LAST = date(2026, 5, 29)  # a Friday
START = LAST - timedelta(days=420)


def usual_rows(day: date) -> int:
    """Weekends are slow, the 25th and the ends of quarters are busy, the business grows; a little noise."""
    rows = 400 if day.weekday() < 5 else 150
    rows = rows * 3 if day.day == 25 else rows
    rows = rows * 4 if (day + timedelta(days=1)).day == 1 and day.month % 3 == 0 else rows
    return int(rows * (1 + 0.001 * (day - START).days)) + (day.toordinal() * 7919) % 31


class Ledger:
    """The tables that the checks read, with more than a year of one usual feed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        connection.execute("""
            create schema ops; create schema marts;
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            create table ops.touched_days (client_id varchar, business_date date);
            create table ops.coverage (
                client_id varchar, source varchar, feed varchar, business_date date, currency varchar,
                arrived boolean, rows bigint, quarantined bigint);
            create table marts.fct_transactions (
                client_id varchar, source varchar, currency varchar, business_date date,
                amount decimal(18, 4), movement varchar, is_current boolean);
        """)

    def fill(self, last: date = LAST, rows: dict[date, int] | None = None, **other: Any) -> None:
        """A usual feed up to a day, with other numbers of rows on some."""
        number = (last - START).days + 1
        days = [START + timedelta(days=ago) for ago in range(number)]
        counts = {day: usual_rows(day) for day in days} | (rows or {})
        self.connection.executemany(
            "insert into ops.coverage values ('bank', 'core', 'transactions', ?, 'EUR', true, ?, ?)",
            [[day, n, other.get("quarantined", {}).get(day, 1)] for day, n in counts.items() if n],
        )
        self.horizon(LAST)

    def horizon(self, day: date) -> None:
        """The night's date; the night touched the week before it."""
        self.connection.execute("delete from ops.horizon; delete from ops.touched_days")
        self.connection.execute("insert into ops.horizon values ('bank', ?, null)", [day])
        self.connection.execute(
            "insert into ops.touched_days select 'bank', ? - i::integer from range(7) as t(i)", [day]
        )

    def found(self, name: str) -> list[tuple[Any, ...]]:
        """Violations of a check."""
        (check,) = (check for check in audit.load_checks() if check.name == name)
        return self.connection.execute(check.sql).fetchall()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with duckdb.connect() as connection:
        yield Ledger(connection)


def test_no_usual_day_of_a_quarter_is_called_unusual(ledger: Ledger) -> None:
    """Catches weekends, paydays and quarter-ends that cry wolf until nobody reads the warning."""
    ledger.fill(last=LAST + timedelta(days=40))
    for ahead in range(-90, 40):
        ledger.horizon(LAST + timedelta(days=ahead))
        assert ledger.found("volume_follows_its_seasons") == [], ahead


@pytest.mark.parametrize("factor", [0.3, 0.5, 2.0])
def test_a_day_with_half_or_twice_its_rows_is_called_unusual(ledger: Ledger, factor: float) -> None:
    """Catches a file that was cut off, and one that was sent twice under two names."""
    ledger.fill(rows={LAST: int(usual_rows(LAST) * factor)})
    assert [row[3] for row in ledger.found("volume_follows_its_seasons")] == [LAST]


def test_a_payday_without_its_peak_is_called_unusual(ledger: Ledger) -> None:
    """Catches a check that lets anything pass between a usual weekday and a usual payday."""
    payday = date(2026, 5, 25)
    ledger.fill(rows={payday: usual_rows(payday) // 8})
    assert [row[3] for row in ledger.found("volume_follows_its_seasons")] == [payday]


def test_an_old_day_or_one_that_nobody_touched_is_not_judged_again(ledger: Ledger) -> None:
    """Catches the same warning every night."""
    ledger.fill(rows={LAST - timedelta(days=9): 1, LAST: 1})
    ledger.connection.execute("delete from ops.touched_days where business_date = ?", [LAST])
    assert ledger.found("volume_follows_its_seasons") == []


@pytest.mark.parametrize(("silent", "is_found"), [(0, False), (1, False), (2, True), (9, True)])
def test_a_daily_feed_that_falls_silent_is_found(ledger: Ledger, silent: int, is_found: bool) -> None:
    """Catches a source that stopped weeks ago without a calendar to miss it."""
    ledger.fill(last=LAST - timedelta(days=silent))
    assert bool(ledger.found("sources_are_fresh")) is is_found
    assert all(row[4] == silent for row in ledger.found("sources_are_fresh"))


def test_a_monthly_feed_is_fresh_for_a_month(ledger: Ledger) -> None:
    """Catches a threshold in days that fits one feed only."""
    months = [date(2025, month, 5) for month in (11, 12)] + [date(2026, month, 5) for month in range(1, 6)]
    ledger.connection.executemany(
        "insert into ops.coverage values ('bank', 'bureau', 'credit_bureau', ?, '', true, 10, 0)",
        [[day] for day in months],
    )
    ledger.horizon(date(2026, 6, 4))
    assert ledger.found("sources_are_fresh") == []
    ledger.horizon(date(2026, 6, 10))
    assert [row[2] for row in ledger.found("sources_are_fresh")] == ["credit_bureau"]


@pytest.mark.parametrize(("factor", "is_found"), [(1, False), (1.8, False), (100, True), (0.01, True)])
def test_amounts_in_cents_are_found(ledger: Ledger, factor: float, is_found: bool) -> None:
    """Catches a sender that changes the unit of money, which no type and no sum can tell.

    Fees on the day that they are charged are no such change.
    """
    ledger.connection.execute(
        """
        insert into marts.fct_transactions
        select 'bank', 'core', 'EUR', $last - ago::integer,
               (1 + (hash(ago, i) % 90)) * if(ago = 0, $factor, 1.0), 'purchase', true
        from range(60) as d(ago), range(40) as r(i)
        """,
        {"last": LAST, "factor": factor},
    )
    ledger.connection.execute(
        "insert into marts.fct_transactions"
        " select 'bank', 'core', 'EUR', $last, 0.01, 'fee', true from range(90)",
        {"last": LAST},
    )
    ledger.horizon(LAST)
    assert [row[3] for row in ledger.found("amounts_are_in_their_unit")] == ([LAST] if is_found else [])


@pytest.mark.parametrize(("bad", "is_found"), [(3, False), (9, True)])
def test_a_day_with_far_more_quarantine_is_found(ledger: Ledger, bad: int, is_found: bool) -> None:
    """Catches a format that changed for a few records, below the share that refuses the file."""
    ledger.fill(quarantined={LAST: bad})
    assert [row[3] for row in ledger.found("quarantine_is_usual")] == ([LAST] if is_found else [])


def test_every_check_says_what_to_do() -> None:
    """Catches a message at 3 a.m. that only says that something is wrong."""
    names = [check.name for check in audit.load_checks()]
    assert len(names) == len(set(names))
    for check in audit.load_checks():
        assert check.description and check.next_action, check.name
