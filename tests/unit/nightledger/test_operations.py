from datetime import date, datetime

import duckdb
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nightledger import operational_schema, operations

OUTCOME = {
    "model": "churn",
    "version": "2026-01-31-abcdef01",
    "verdict": "promoted",
    "reason": "beats its baselines",
    "publication_id": "2026-01-31.1",
    "trained_on_as_of": "2026-01-31",
    "known_at": "2026-02-01T02:00:00",
    "artefact_sha256": "0" * 64,
    "metrics": [
        {
            "model": "churn", "version": "2026-01-31-abcdef01", "client_id": "", "dataset": "out_of_time",
            "window_label": "2025-11-30", "metric": "average_precision", "baseline": "", "value": 0.5,
            "lo": 0.4, "hi": 0.6, "n": 100, "base_rate": 0.1,
        }
    ],
}  # fmt: skip


def test_the_migrations_make_exactly_the_tables_of_the_code(settings):
    """Catches a column that was added to the code but to no migration."""
    with operations.engine(settings).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, operational_schema.metadata) == []


def test_a_cutoff_once_recorded_is_used_by_every_rebuild(settings):
    """Catches a replay that sees more than the night did because the client's setting changed."""
    key = ("c", date(2026, 1, 1))
    assert operations.fix_cutoffs(settings, {key: datetime(2026, 1, 2, 2)}) == {key: datetime(2026, 1, 2, 2)}
    assert operations.fix_cutoffs(settings, {key: datetime(2026, 1, 2, 9)}) == {key: datetime(2026, 1, 2, 2)}


def test_a_training_is_recorded_once_however_often_its_task_runs(settings):
    """Catches doubled metrics after a retry."""
    for run in ("train/a", "train/a", "train/b"):
        operations.record_training(settings, OUTCOME, run)
    decision = operations.last_decision(settings, "churn")
    assert decision is not None
    assert (decision["decision"], decision["trained_on_as_of"]) == ("promoted", date(2026, 1, 31))
    assert len(operations.metrics_of(settings, "churn", OUTCOME["version"])) == 1


def test_a_stage_that_fails_leaves_its_evidence(settings):
    """Catches a failed night of which nobody can tell where it broke."""
    with pytest.raises(ValueError, match="boom"), operations.stage(settings, "nightly/a", "ingest"):
        raise ValueError("boom")
    with operations.engine(settings).connect() as connection:
        row = connection.execute(operational_schema.stages.select()).one()
    assert (row.stage, row.state) == ("ingest", "failed")
    assert "boom" in row.detail


def test_reading_before_anything_happened_finds_nothing_and_makes_no_file(settings):
    """Catches a report that leaves files behind."""
    assert operations.publication_log(settings) == []
    assert not settings.home.exists()


def test_the_snapshot_has_every_table_with_its_types_even_when_empty(settings):
    """Catches a dbt model that breaks on the first night because a table has no rows."""
    operations.record_training(settings, OUTCOME, "train/a")
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
        assert connection.execute("select value from operations.model_metrics").fetchall() == [(0.5,)]
