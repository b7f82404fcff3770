"""Two versions of a table, and what is said to differ: nothing more, nothing less."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from nightledger.engineering import comparing, printing
from nightledger.engineering.comparing import ColumnDifference, TableDifference, Totals

BEFORE, AFTER = ("memory", "old", "t"), ("memory", "new", "t")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with a schema for each version."""
    with duckdb.connect() as made:
        made.execute("create schema old; create schema new")
        yield made


def versions(connection: duckdb.DuckDBPyConnection, old: str, new: str, *key: str) -> TableDifference:
    """What differs between the answers of two queries; `amount` is money as the warehouse has it."""
    for schema, query in (("old", old), ("new", new)):
        connection.execute(f"create or replace table {schema}.t as {query}")
        if " amount" in query or "amount)" in query:
            connection.execute(f"alter table {schema}.t alter amount type decimal(18, 4)")
    return comparing.compare(connection, BEFORE, AFTER, key)


def test_rows_are_matched_by_their_key(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches a changed row that counts as one gone and one new, and a key that decides nothing."""
    found = versions(
        connection,
        "from (values (1, 'a', 10.00), (2, 'b', 20.00), (3, 'c', 30.00)) t(id, name, amount)",
        "from (values (1, 'a', 10.00), (2, 'B', 21.50), (4, 'd', 40.00)) t(id, name, amount)",
        "id",
    )
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert found.columns == [ColumnDifference("amount", 1, Decimal("1.50")), ColumnDifference("name", 1)]
    assert found.totals == [Totals("amount", "", Decimal("60.00"), Decimal("71.50"))]
    assert not found.is_equal


@pytest.mark.parametrize(
    "rows",
    [
        "from (values (1, null::varchar), (2, 'x')) t(id, name)",
        "from (values (1, 'nan'::float), (2, null)) t(id, name)",
        "select null::integer as id, 1 as name",
        "select 1 as id, 2 as name where false",
        "select 1 as id, 2 as name, 'x' as _load_id",
    ],
    ids=["null", "NaN", "null key", "empty", "own record"],
)
def test_equal_versions_are_equal(connection: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Catches differences that are none: unknown values, not-a-number, keys that are null."""
    assert versions(connection, rows, rows, "id").is_equal
    assert versions(connection, rows, rows).is_equal


def test_how_a_row_was_made_is_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches a diff of which every line is about load ids."""
    assert versions(
        connection, "select 1 as id, 'a' as _load_id", "select 1 as id, 'b' as _load_id", "id"
    ).is_equal


def test_without_a_key_rows_are_counted_as_often_as_they_stand(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches a lost twin: two equal rows against one."""
    found = versions(connection, "from (values (1), (1), (2)) t(n)", "from (values (1), (2), (3)) t(n)")
    assert (found.added, found.removed, found.key) == (1, 1, ())


def test_a_key_that_is_not_unique_is_left_aside(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches rows that match several times, which counts changes that are none."""
    rows = "from (values (1, 'a'), (1, 'b')) t(id, name)"
    found = versions(connection, rows, "from (values (1, 'a'), (1, 'c')) t(id, name)", "id")
    assert (found.added, found.removed, found.changed, found.key) == (1, 1, 0, ())


def test_money_is_summed_by_client(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches pounds added to rupees."""
    rows = "from (values ('uk', 1, 10.00), ('in', 2, 900.00)) t(client_id, id, amount)"
    changed = rows.replace("900.00", "901.00")
    assert versions(connection, rows, changed, "id").totals == [
        Totals("amount", "in", Decimal("900.00"), Decimal("901.00"))
    ]


def test_levels_of_an_aggregate_are_not_added_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches a sum that holds the same money once for each level."""
    rows = (
        "from (values ('uk', 'client', 1, 10.00), ('uk', 'city', 2, 10.00)) t(client_id, level, id, amount)"
    )
    found = versions(connection, rows, rows.replace("10.00", "11.00"), "id")
    assert [(total.part, total.after) for total in found.totals] == [("uk city", 11), ("uk client", 11)]


def test_another_shape_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    """Catches a column that came, went or changed its type without anybody being told."""
    found = versions(
        connection, "select 1 as id, 2 as gone, 3 as n", "select 1 as id, 4 as come, '3' as n", "id"
    )
    assert found.shape == [
        "new column come (INTEGER)",
        "column gone is gone",
        "column n is VARCHAR, it was INTEGER",
    ]
    assert not found.is_equal


def test_keys_come_from_the_tests_of_the_project() -> None:
    """Catches a second list of keys, and a column's own test that hides the key of several."""
    model = {"resource_type": "model", "schema": "marts", "name": "m", "alias": None}
    both, one = (
        {
            "resource_type": "test",
            "attached_node": "model.m",
            "test_metadata": {"name": "primary_key", "kwargs": arguments},
        }
        for arguments in ({"columns": ["a", "b"]}, {"column_name": "a"})
    )
    source = {"schema": "raw", "identifier": "r", "columns": {"_load_id": {}, "_record": {}}}
    for tests in ({"t1": both, "t2": one}, {"t1": one, "t2": both}):
        manifest = {"nodes": {"model.m": model, **tests}, "sources": {"s": source}}
        assert comparing.keys(manifest) == {"marts.m": ("a", "b"), "raw.r": ("_load_id", "_record")}


def test_texts_of_strangers_do_nothing_in_a_difference(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Catches a description that colours, links or clears what an engineer reads."""
    hostile = [
        "[red]x[/red]",
        "\x1b[2J\x1b]8;;http://x\x07c",
        "\u202eetirw",
        "[link=file:///etc/passwd]x[/link]",
    ]
    connection.execute("create table old.t as select 1 as id, '' as text")
    connection.execute(
        "create table new.t as select unnest([1, 2, 3, 4]) as id, unnest($t) as text", {"t": hostile}
    )
    found = comparing.compare(connection, BEFORE, AFTER, ["id"])
    with (tmp_path / "shown").open("w") as file:
        console = Console(width=200, force_terminal=True, highlight=False, file=file)
        printing.show_rows(console, connection, found, (BEFORE, AFTER), ("before", "after"), 10)
        printing.show_differences(console, [found], ("before", "after"))
    shown = (tmp_path / "shown").read_text()

    assert "\x1b]8;" not in shown and "\x1b[2J" not in shown and "\u202e" not in shown
    assert "[red]x[/red]" in shown and "[link=file:///etc/passwd]x[/link]" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1234.5000"), "1,234.50"),
        (Decimal("0.0001"), "0.0001"),
        (Decimal("-7"), "-7.00"),
        (Decimal("1E+3"), "1,000.00"),
        (None, "–"),
        (True, "yes"),
        ("x" * 100, "x" * 79 + "…"),
    ],
)
def test_values_are_shown_as_a_person_reads_them(value: object, shown: str) -> None:
    """Catches a cent that is rounded away, and an amount in exponent form."""
    assert printing.cell(value).plain == shown
