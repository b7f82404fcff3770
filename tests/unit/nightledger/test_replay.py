"""What the comparison of two runs of the same nights says of a difference; the nights take minutes."""

from datetime import date

from tests.drills.replay import Result, compare, row

ONE = Result("2026-01-09.1", "a" * 64, {"staging.stg_scores": [10, "1"], "raw.transactions": [90, "2"]}, 1.0)


def test_the_tables_that_differ_are_named():
    """Catches a difference that somebody has to search for, or a table that only one side has."""
    other = Result("2026-01-09.1", "b" * 64, {"staging.stg_scores": [10, "3"], "marts.more": [1, "4"]}, 2.0)
    assert compare(ONE, ONE) == []
    assert compare(ONE, other) == ["marts.more", "raw.transactions", "staging.stg_scores"]


def test_hashes_are_compared_whole_although_the_table_shows_their_beginning():
    """Catches two publications that look the same because a table has narrow columns."""
    other = Result("2026-01-09.1", "a" * 63 + "b", ONE.tables, 2.0)
    cells = row(date(2026, 1, 9), ONE, other)
    assert cells[2] == cells[3]
    assert cells[4:] == ("NO", "100", "10", "2.0")
