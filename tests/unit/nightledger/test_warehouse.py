"""How a warehouse is opened, and what counts as its content."""

import duckdb
import pytest

from nightledger import warehouse


@pytest.fixture
def build(tmp_path, settings):
    with warehouse.connect(tmp_path, read_only=False, settings=settings) as connection:
        connection.execute("create schema marts; create schema ops")
        connection.execute(
            "create table marts.m as select * from (values (1, 'a', 'x'), (2, 'b', 'y')) t(i, s, _run)"
        )
    return tmp_path


def test_the_content_hash_ignores_order_and_what_runs_leave_behind(build, settings):
    """Catches two equal nights with different hashes, which would make replays worthless."""
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        before = warehouse.content_hash(connection)["hash"]
        connection.execute(
            "create or replace table marts.m as select i, s, 'other' as _run from marts.m order by i desc"
        )
        connection.execute("create table ops.anything as select random() as r")
        assert warehouse.content_hash(connection)["hash"] == before


@pytest.mark.parametrize(
    "change",
    [
        "update marts.m set s = 'c' where i = 2",
        "insert into marts.m values (2, 'b', 'y')",
        "delete from marts.m",
        "create table marts.another as select 1 as x",
        "update marts.m set s = null where i = 1",
    ],
)
def test_the_content_hash_sees_every_change_of_content(build, settings, change):
    """Catches a hash that would call different nights equal."""
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        before = warehouse.content_hash(connection)["hash"]
        connection.execute(change)
        assert warehouse.content_hash(connection)["hash"] != before


def test_readers_cannot_write(build, settings):
    """Catches a report or a model that changes a publication."""
    with (
        warehouse.connect(build, settings=settings) as connection,
        pytest.raises(duckdb.Error, match="read-only"),
    ):
        connection.execute("delete from marts.m")


def test_a_missing_warehouse_is_an_error_and_not_a_new_file(tmp_path, settings):
    """Catches a reader that makes an empty database and calls it the truth."""
    with pytest.raises(FileNotFoundError):
        warehouse.connect(tmp_path / "nowhere", settings=settings)
    assert not (tmp_path / "nowhere").exists()
