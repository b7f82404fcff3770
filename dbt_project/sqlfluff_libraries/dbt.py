"""What sqlfluff puts in the place of dbt's own macros, which it cannot run."""


def dateadd(datepart: str, interval: str | int, from_date: str) -> str:
    """A date moved by an interval."""
    return f"date_add({from_date}, interval ({interval}) {datepart})"


def date_trunc(datepart: str, date: str) -> str:
    """First moment of the period that holds a date."""
    return f"date_trunc('{datepart}', {date})"


def datediff(first: str, second: str, datepart: str) -> str:
    """Periods from one date to a later one."""
    return f"date_diff('{datepart}', {first}, {second})"
