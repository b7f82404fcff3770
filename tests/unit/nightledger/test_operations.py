"""The operational database: its migrations, its records of runs, and its snapshot."""

from datetime import date, datetime

import duckdb
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nightledger import operations
from nightledger.operations import schema


def test_the_migrations_make_exactly_the_tables_of_the_code(settings):
    """Catches a column that was added to the code but to no migration."""
    with operations.engine(settings).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_a_cutoff_once_recorded_is_used_by_every_rebuild(settings):
    """Catches a replay that sees more than the night did because the client's setting changed."""
    key = ("c", date(2026, 1, 1))
    assert operations.fix_cutoffs(settings, {key: datetime(2026, 1, 2, 2)}) == {key: datetime(2026, 1, 2, 2)}
    assert operations.fix_cutoffs(settings, {key: datetime(2026, 1, 2, 9)}) == {key: datetime(2026, 1, 2, 2)}


def test_a_stage_that_fails_leaves_its_evidence(settings):
    """Catches a failed night of which nobody can tell where it broke."""
    with pytest.raises(ValueError, match="boom"), operations.stage(settings, "nightly/a", "ingest"):
        raise ValueError("boom")
    with operations.engine(settings).connect() as connection:
        row = connection.execute(schema.stages.select()).one()
    assert (row.stage, row.state) == ("ingest", "failed")
    assert "boom" in row.detail


def test_reading_before_anything_happened_finds_nothing_and_makes_no_file(settings):
    """Catches a report that leaves files behind."""
    assert operations.publication_log(settings) == []
    assert not settings.home.exists()


def test_the_snapshot_has_every_table_with_its_types_even_when_empty(settings):
    """Catches a dbt model that breaks on the first night because a table has no rows."""
    operations.fix_cutoffs(settings, {("c", date(2026, 1, 1)): datetime(2026, 1, 2, 2)})
    with duckdb.connect() as connection:
        operations.snapshot(settings, connection)
        names = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
        assert names == {table.name for table in operations.SNAPSHOT}
        types = dict(
            connection.execute(
                "select column_name, data_type from duckdb_columns() where table_name = 'cutoffs'"
            ).fetchall()
        )
        assert types["as_of_date"] == "DATE"
        assert types["cutoff_at"] == "TIMESTAMP"
        assert connection.execute("select cutoff_at from operations.cutoffs").fetchall() == [
            (datetime(2026, 1, 2, 2),)
        ]
