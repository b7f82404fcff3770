"""Series of money: what an origin knew, where they begin, whose they are."""

from datetime import date

import duckdb
import pytest

from ml.forecasts import series
from ml.forecasts.series import Span
from tests.unit.forecasts.client import CLIENT, FIRST, LAST, cutoff


def test_an_origin_knows_what_was_known_then(connection: duckdb.DuckDBPyConnection) -> None:
    """A backtest that reads tomorrow's correction, or a late file, and so looks better than any night."""
    connection.execute("""
        update intermediate.int_revenue set superseded_at = timestamp '2025-09-01 12:00:00'
        where business_date = date '2025-06-10';
        insert into intermediate.int_revenue by name
        select * replace (999999 as spend_amount, superseded_at as known_at, null as superseded_at)
        from intermediate.int_revenue where business_date = date '2025-06-10'
    """)
    last = date(2025, 6, 30)
    before = series.read(connection, Span(CLIENT, FIRST, last, cutoff(last)), "spend", ["client"], "")
    after = series.read(connection, Span(CLIENT, FIRST, last, cutoff(LAST)), "spend", ["client"], "")
    (known,), (corrected,) = before.values(), after.values()
    assert known.monthly[:-1] == pytest.approx(corrected.monthly[:-1])
    assert known.monthly[-1] < 999_999 <= corrected.monthly[-1]


def test_series_begin_with_their_money_and_add_up(connection: duckdb.DuckDBPyConnection) -> None:
    """A new category taken for one that sold nothing for years, or money that is in no category."""
    connection.execute("""
        update intermediate.int_revenue set category = 'new'
        where business_date >= date '2025-10-01' and category = 'travel'
    """)
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    found = series.read(connection, span, "spend", ["client", "category"], "")
    assert found["category", "new", "new"].first == date(2025, 10, 1)
    assert len(found["category", "new", "new"].monthly) == 3
    total = sum(one.daily.sum() for key, one in found.items() if key[0] == "category")
    assert total == pytest.approx(found["client", "", ""].daily.sum())


def test_a_history_does_not_begin_with_a_stray_row(connection: duckdb.DuckDBPyConnection) -> None:
    """A late refund that makes months without any money, after which nothing beats the floor."""
    connection.execute("""
        insert into intermediate.int_revenue by name
        select * replace (date '2023-02-03' as business_date) from intermediate.int_revenue limit 1
    """)
    assert series.first_month(connection, CLIENT, "spend", cutoff(LAST)) == FIRST


def test_a_month_that_was_seen_in_part_is_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    """A first month of ten days that makes every level and season too low."""
    connection.execute("delete from intermediate.int_revenue where business_date < date '2024-01-20'")
    assert series.first_month(connection, CLIENT, "spend", cutoff(LAST)) == date(2024, 2, 1)


def test_a_segment_is_who_was_in_it_before(connection: duckdb.DuckDBPyConnection) -> None:
    """Members chosen by what they spent after the origin, or by tonight's segments, which come later."""
    connection.execute("""
        create table marts.fct_segments as
        select * from (values
            ('shop', 'segments_rfm', 'C001', date '2025-11-30', 'loyal'),
            ('shop', 'segments_rfm', 'C002', date '2025-12-31', 'loyal'),
            ('shop', 'other', 'C003', date '2025-11-30', 'loyal')
        ) as t (client_id, model, customer_id, as_of_date, name)
    """)
    span = Span(CLIENT, FIRST, LAST, cutoff(LAST))
    found = series.read(connection, span, "spend", ["segment"], "segments_rfm")
    own = connection.execute(
        "select sum(spend_amount) from intermediate.int_revenue where customer_id = 'C001'"
    )
    assert list(found) == [("segment", "loyal", "")]
    assert found["segment", "loyal", ""].daily.sum() == pytest.approx(float((own.fetchone() or (0,))[0]))
