"""Times become UTC as Python's zoneinfo has it; dates stay where they are."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ingestion.conftest import Bank, line, lines
from tests.unit.properties.conftest import FILES

ZONES = [
    "UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/St_Johns",
    "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Apia",
]  # fmt: skip
CHANGES = [
    datetime(2024, 3, 31, 1, 30), datetime(2024, 10, 27, 1, 30), datetime(2024, 10, 27, 2, 30),
    datetime(2024, 3, 10, 2, 30), datetime(2024, 11, 3, 1, 30), datetime(2024, 4, 7, 1, 45),
    datetime(2024, 10, 6, 2, 15), datetime(2024, 9, 29, 2, 30), datetime(2024, 3, 31, 2, 30),
]  # fmt: skip
"""Local times that some zone of the list has not at all, or twice."""
TIMES = st.lists(
    st.datetimes(datetime(2000, 1, 1), datetime(2035, 12, 31)).map(lambda t: t.replace(microsecond=0))
    | st.sampled_from(CHANGES),
    min_size=1,
    max_size=30,
)


def utc(local: datetime, zone: str) -> datetime:
    """UTC of a local time: of two the later one; one that the clock skipped is read as if it had not yet."""
    here = ZoneInfo(zone)
    later = local.replace(tzinfo=here, fold=1).astimezone(UTC)
    is_real = later.astimezone(here).replace(tzinfo=None) == local
    moment = later if is_real else local.replace(tzinfo=here, fold=0).astimezone(UTC)
    return moment.replace(tzinfo=None)


@settings(max_examples=FILES)
@given(times=TIMES, zone=st.sampled_from(ZONES), lag=st.sampled_from(["0h", "2h", "26h", "7d", "45m"]))
def test_a_local_time_is_the_moment_that_zoneinfo_names(
    new_bank: Callable[[], Bank], times: list[datetime], zone: str, lag: str
) -> None:
    """Catches an hour lost or gained when the clocks change, and a transaction that changes its day."""
    bank = new_bank()
    transactions = bank.transactions(known_at={"mode": "event", "lag": lag})
    bank.contract(timezone=zone, feeds={"transactions": transactions})
    bank.file("tx_1.csv", lines(*(line(n, at=f"{time:%Y-%m-%d %H:%M:%S}") for n, time in enumerate(times))))
    bank.load()
    unit = {"h": "hours", "d": "days", "m": "minutes"}[lag[-1]]
    after = timedelta(**{unit: int(lag[:-1])})

    assert bank.rows("select event_at, business_date, known_at from raw.transactions order by _record") == [
        (utc(time, zone), time.date(), utc(time, zone) + after) for time in times
    ]


@settings(max_examples=FILES)
@given(
    days=st.lists(st.dates(date(1900, 1, 1), date(2200, 12, 31)), min_size=1, max_size=30),
    zone=st.sampled_from(ZONES),
)
def test_a_date_is_never_shifted(new_bank: Callable[[], Bank], days: list[date], zone: str) -> None:
    """Catches a booking that moves to the day before because its client lives east of Greenwich."""
    bank = new_bank()
    columns = bank.columns(event_at=None, business_date="at")
    transactions = bank.transactions(columns=columns, known_at="arrival")
    bank.contract(timezone=zone, feeds={"transactions": transactions})
    bank.file("tx_1.csv", lines(*(line(n, at=day.isoformat()) for n, day in enumerate(days))))
    bank.load()

    assert bank.rows("select business_date from raw.transactions order by _record") == [
        (day,) for day in days
    ]


@settings(max_examples=FILES)
@given(times=TIMES, zone=st.sampled_from(ZONES), minutes=st.integers(-14 * 60, 14 * 60))
def test_a_time_with_an_offset_is_that_moment_and_its_day_is_the_clients(
    new_bank: Callable[[], Bank], times: list[datetime], zone: str, minutes: int
) -> None:
    """Catches an offset that is dropped, or a day that is the sender's instead of the client's."""
    bank = new_bank()
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    bank.contract(
        timezone=zone, feeds={"transactions": bank.transactions(columns=bank.columns(event_at="at"))}
    )
    texts = [f"{time:%Y-%m-%dT%H:%M:%S}{sign}{hours:02}:{rest:02}" for time in times]
    bank.file("tx_1.csv", lines(*(line(n, at=text) for n, text in enumerate(texts))))
    bank.load()
    moments = [time - timedelta(minutes=minutes) for time in times]

    assert bank.rows("select event_at, business_date from raw.transactions order by _record") == [
        (moment, moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()) for moment in moments
    ]
