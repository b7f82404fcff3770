"""Times: zones, days, and when something became known."""

from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.ingestion.conftest import HEADER, line, lines


def test_local_times_become_utc_and_the_business_date_stays_local(bank):
    """Catches a purchase at half past midnight in July that lands on the day before, or an hour off."""
    bank.contract()
    bank.file(
        "tx_1.csv",
        lines(
            line(1, at="2026-07-01 00:30:00"),
            line(2, at="2026-01-01 00:30:00"),
            line(3, at="2026-03-29 01:30:00"),
            line(4, at="2026-10-25 01:30:00"),
        ),
    )
    bank.load()
    assert bank.rows(
        "select event_at, business_date, known_at from raw.transactions order by transaction_id"
    ) == [
        (datetime(2026, 6, 30, 23, 30), date(2026, 7, 1), datetime(2026, 7, 1, 23, 30)),
        (datetime(2026, 1, 1, 0, 30), date(2026, 1, 1), datetime(2026, 1, 2, 0, 30)),
        # 01:30 does not exist on the one night, and stands twice on the other: the later one is meant.
        (datetime(2026, 3, 29, 1, 30), date(2026, 3, 29), datetime(2026, 3, 30, 1, 30)),
        (datetime(2026, 10, 25, 1, 30), date(2026, 10, 25), datetime(2026, 10, 26, 1, 30)),
    ]


def test_a_date_is_never_shifted_by_a_time_zone(bank):
    """Catches date-only feeds that lose a day in summer."""
    columns = bank.columns(event_at=None, business_date={"column": "at", "format": "%Y-%m-%d %H:%M:%S"})
    bank.contract(feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", lines(line(1, at="2026-07-01 00:00:00")))
    bank.load()
    assert bank.rows("select event_at, business_date, known_at from raw.transactions") == [
        (None, date(2026, 7, 1), datetime(2026, 7, 1, 23, 0))
    ]


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ({"column": "at"}, "2026-07-01T10:00:00Z", datetime(2026, 7, 1, 10)),
        ({"column": "at"}, "2026-07-01T10:00:00+05:30", datetime(2026, 7, 1, 4, 30)),
        ({"column": "at"}, "2026-07-01 10:00:00", datetime(2026, 7, 1, 9)),
        ({"column": "at", "format": "unix"}, "1782900000", datetime(2026, 7, 1, 10)),
    ],
)
def test_times_with_an_offset_honour_it(bank, spec, text, expected):
    """Catches an offset that is read and then ignored."""
    bank.contract(feeds={"transactions": bank.transactions(columns=bank.columns(event_at=spec))})
    bank.file("tx_1.csv", lines(line(1, at=text)))
    assert bank.load()["tx_1.csv"].message == ""
    assert bank.rows("select event_at from raw.transactions") == [(expected,)]


@pytest.mark.parametrize(
    ("known_at", "file", "expected"),
    [
        ({"mode": "file_name", "pattern": r"tx_(\d{8})"}, "tx_20260107.csv", datetime(2026, 1, 7)),
        ({"mode": "manifest"}, "tx_1.csv", datetime(2026, 1, 6, 1)),
        (
            {"mode": "column", "column": "at", "format": "%Y-%m-%d %H:%M:%S"},
            "tx_1.csv",
            datetime(2026, 1, 5, 10),
        ),
        ({"mode": "event", "lag": "26h"}, "tx_1.csv", datetime(2026, 1, 6, 12)),
        ({"mode": "event", "lag": "1d", "from": "business_date"}, "tx_1.csv", datetime(2026, 1, 6)),
    ],
)
def test_known_at_comes_from_where_the_contract_says(bank, known_at, file, expected):
    """Catches rows that count as known before or after anybody knew them."""
    bank.contract(feeds={"transactions": bank.transactions(known_at=known_at)})
    manifest = {"known_at": "2026-01-06T01:00:00Z"} if known_at["mode"] == "manifest" else None
    bank.file(file, lines(line(1)), manifest)
    bank.load()
    assert bank.rows("select known_at from raw.transactions") == [(expected,)]


def test_a_closing_becomes_known_with_its_own_date(bank):
    """Catches a history load that tells the past who will leave."""
    feed = {
        "known_at": {"mode": "event", "lag": "1d"},
        "columns": {
            "customer_id": "id",
            "signed_up_on": {"column": "from", "format": "%Y-%m-%d"},
            "closed_on": {"column": "to", "format": "%Y-%m-%d"},
        },
    }
    bank.contract(personal=[], feeds={"customers": feed})
    bank.file("tx_1.csv", "id,from,to\nc1,2020-01-01,2025-12-31\nc2,2020-01-01,\n")
    bank.load()
    assert bank.rows("select customer_id, known_at, closed_known_at from raw.customers order by 1") == [
        ("c1", datetime(2020, 1, 2), datetime(2026, 1, 1)),
        ("c2", datetime(2020, 1, 2), None),
    ]


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M:%S", None])
@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/London", "2026-03-29 00:59:59", "2026-03-29 00:59:59"),
        ("Europe/London", "2026-03-29 01:30:00", "2026-03-29 01:30:00"),  # stands nowhere: 02:30 in summer
        ("Europe/London", "2026-03-29 02:00:00", "2026-03-29 01:00:00"),
        ("Europe/London", "2025-10-26 00:59:59", "2025-10-25 23:59:59"),
        ("Europe/London", "2025-10-26 01:30:00", "2025-10-26 01:30:00"),  # stands twice: the later one
        ("Europe/London", "2025-10-26 02:00:00", "2025-10-26 02:00:00"),
        ("Africa/Cairo", "2024-04-26 00:30:00", "2024-04-25 22:30:00"),  # midnight stands nowhere
        ("Asia/Kolkata", "2026-01-05 00:30:00", "2026-01-04 19:00:00"),
    ],
)
def test_a_local_time_is_read_through_the_hour_that_is_skipped_or_stands_twice(
    bank, zone, local, utc, pattern
):
    """Catches a payment lost, or moved to another day, in the night when the clocks change."""
    columns = bank.columns(event_at={"column": "at"} | ({"format": pattern} if pattern else {}))
    bank.contract(timezone=zone, feeds={"transactions": bank.transactions(columns=columns)})
    bank.file("tx_1.csv", lines(line(1, at=local)))
    bank.only()
    assert bank.rows("select event_at::varchar, business_date::varchar from raw.transactions") == [
        (utc, local[:10])
    ]


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "Pacific/Kiritimati", "UTC"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_day_is_never_shifted_by_a_time_zone(bank, zone, ending):
    """Catches payments booked on the day before because a date was taken for its midnight."""
    columns = bank.columns(event_at=None, business_date="at")
    bank.contract(
        format={"type": ending}, timezone=zone, feeds={"transactions": bank.transactions(columns=columns)}
    )
    days = [date(2026, 3, 29), date(2025, 10, 26), date(2026, 1, 1)]
    records = [line(n, at=str(day)) for n, day in enumerate(days)]
    content: str | bytes = lines(*records)
    if ending == "parquet":
        table = pa.Table.from_pylist(
            [dict(zip(HEADER.split(","), record.split(","), strict=True)) for record in records]
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table.set_column(3, "at", pa.array(days)), sink)
        content = sink.getvalue().to_pybytes()
    bank.file(f"tx_1.{ending}", content)
    bank.only(f"tx_1.{ending}")
    assert bank.rows("select business_date from raw.transactions order by _record") == [(d,) for d in days]
