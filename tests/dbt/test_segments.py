"""Segments from the lake to the marts, night after night; each model's own logic has unit tests beside it."""

from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from nightledger import warehouse
from tests.dbt.bank import DATES
from tests.dbt.factory import Warehouse

MODELS = ("stg_segments", "fct_segments", "mart_segment_migration", "mart_segment_profiles")


def assign(night: Warehouse, day: date, places: dict[str, int], version: str, role: str = "champion") -> None:
    """What the night's models leave in the lake: customers of `uk` and their segments."""
    rows = [
        {"client_id": "uk", "model": "segments_rfm", "model_version": version, "role": role, "state": "new"}
        | {"customer_id": customer, "as_of_date": day, "segment_id": segment, "name": f"Segment {segment}"}
        for customer, segment in places.items()
    ]
    folder = (
        night.path / "lake" / "segments" / "model=segments_rfm.uk" / f"version={version}" / f"as_of={day}"
    )
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, warehouse.LAKE_SCHEMAS["segments"])
    pq.write_table(table, folder / "part.parquet")


def test_segments_outlive_their_files_and_a_second_run_replaces_the_first(
    built: Warehouse, copy_of: Callable[[Warehouse], Warehouse]
) -> None:
    """A month before that is gone with its files, a customer in two segments, or a challenger who counts."""
    night = copy_of(built)
    before, day = DATES[-2], DATES[-1]
    night.set_dates(DATES[:-2], tonight=[before])
    night.empty_lake()
    assign(night, before, {"C0": 1, "C1": 1, "C2": 2}, "v1")
    night.dbt("run", "--select", *MODELS)
    night.set_dates(DATES[:-1], tonight=[day])
    for places in ({"C0": 1, "C1": 1, "C2": 1}, {"C0": 1, "C1": 2, "C3": 2}):
        night.empty_lake()
        assign(night, day, places, "v1")
        assign(night, day, dict.fromkeys(places, 9), "v2", role="challenger")
        night.dbt("run", "--select", *MODELS)
    found = night.frame("""
        select as_of_date, customer_id, segment_id from marts.fct_segments
        where client_id = 'uk' order by all
    """)
    assert [(row.as_of_date.date(), row.customer_id, row.segment_id) for row in found.itertuples()] == [
        *((before, customer, segment) for customer, segment in (("C0", 1), ("C1", 1), ("C2", 2))),
        *((day, customer, segment) for customer, segment in (("C0", 1), ("C1", 2), ("C3", 2))),
    ]
    moves = night.frame("select * from marts.mart_segment_migration order by from_segment_id, to_segment_id")
    assert [(row.from_segment, row.to_segment, row.customers) for row in moves.itertuples()] == [
        ("new", "Segment 2", 1),
        ("Segment 1", "Segment 1", 1),
        ("Segment 1", "Segment 2", 1),
        ("Segment 2", "left", 1),
    ]
    profiles = night.frame("select * from marts.mart_segment_profiles order by segment_id")
    assert profiles.customers.tolist() == [1, 2]
    assert profiles.currency.tolist() == ["GBP", "GBP"]


def test_month_ends_of_one_night_are_compared_with_each_other(
    built: Warehouse, copy_of: Callable[[Warehouse], Warehouse]
) -> None:
    """A night that makes up for months and tells of the last one only; names taken for others after a
    refit; a segment that is retired and not told of.
    """
    night = copy_of(built)
    night.set_dates([], tonight=DATES)
    night.empty_lake()
    first, second, last = DATES
    assign(night, first, {"C0": 1, "C1": 1, "C2": 2, "C4": 3}, "v1")
    assign(night, second, {"C0": 1, "C1": 2, "C2": 2, "C4": 3}, "v1")
    assign(night, last, {"C0": 1, "C1": 2, "C2": 4, "C4": 4}, "v2")  # a refit: 3 is retired, 4 is new
    night.dbt("run", "--select", *MODELS)
    moves = night.frame("""
        select from_date, as_of_date, from_segment, to_segment, customers, share
        from marts.mart_segment_migration where client_id = 'uk'
        order by as_of_date, from_segment_id, to_segment_id
    """)
    assert [
        (
            row.from_date.date(),
            row.as_of_date.date(),
            row.from_segment,
            row.to_segment,
            row.customers,
            row.share,
        )
        for row in moves.itertuples()
    ] == [
        (first, second, "Segment 1", "Segment 1", 1, 0.5),
        (first, second, "Segment 1", "Segment 2", 1, 0.5),
        (first, second, "Segment 2", "Segment 2", 1, 1),
        (first, second, "Segment 3", "Segment 3", 1, 1),
        (second, last, "Segment 1", "Segment 1", 1, 1),
        (second, last, "Segment 2", "Segment 2", 1, 0.5),
        (second, last, "Segment 2", "Segment 4", 1, 0.5),
        (second, last, "Segment 3", "Segment 4", 1, 1),
    ]
    profiles = night.frame(
        "select name, state, customers from marts.mart_segment_profiles where client_id = 'uk' order by name"
    )
    assert [tuple(row) for row in profiles.itertuples(index=False)] == [
        ("Segment 1", "new", 1),
        ("Segment 2", "new", 1),
        ("Segment 3", "retired", 0),
        ("Segment 4", "new", 2),
    ]
