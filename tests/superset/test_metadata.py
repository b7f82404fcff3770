"""Superset's own metadata in SQLite."""

from pathlib import Path

from nightledger_superset import metadata
from sqlalchemy import create_engine, text


def test_lines_of_the_log_do_not_wait_for_the_disk(tmp_path: Path) -> None:
    """Catches a setting that an upgrade no longer hears: each answer would wait for the disk again."""
    dsn = f"sqlite:///{tmp_path / 'superset.db'}"
    engine = create_engine(dsn, **metadata.engine_options(dsn))
    with engine.connect() as connection:
        mode, synchronous = (
            connection.execute(text(f"pragma {name}")).scalar() for name in ("journal_mode", "synchronous")
        )
    assert (mode, synchronous) == ("wal", 1)
    assert engine.pool.checkedin() == 1, "kept open"
    engine.dispose()
