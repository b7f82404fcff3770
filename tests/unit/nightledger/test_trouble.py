"""A full disk, too little memory or a locked database is told in words a person can act on."""

import errno
import sqlite3

import duckdb
import pytest
import sqlalchemy as sa

from nightledger import operations, trouble
from nightledger.night import lock
from nightledger.trouble import MachineTrouble


def no_space(settings):
    raise OSError(errno.ENOSPC, "No space left on device")


def no_space_in_duckdb(settings):
    raise duckdb.IOException("IO Error: Could not write file: No space left on device")


def no_space_behind_another_error(settings):
    try:
        no_space(settings)
    except OSError as error:
        raise RuntimeError("the step broke") from error


@pytest.mark.parametrize("break_", [no_space, no_space_in_duckdb, no_space_behind_another_error])
def test_a_full_disk_is_told_with_what_to_do(settings, break_):
    """Catches a night whose last words are an error number."""
    settings.home.mkdir()
    told = pytest.raises(MachineTrouble, match=r"disk is full.*Make room.*clear the failed task")
    with told, operations.stage(settings, "nightly/a", "ingest"):
        break_(settings)
    assert operations.last_stages(settings) == []


def test_too_little_memory_is_told_with_what_to_do(settings):
    """Catches a model that outgrew the memory and whose words name a block size; DuckDB's wording is real."""
    small = duckdb.connect(config={"memory_limit": "20MB", "temp_directory": "", "threads": 1})
    told = pytest.raises(MachineTrouble, match=r"memory ran out.*4GB.*NIGHTLEDGER_DBT_THREADS=1.*clear the")
    with told, operations.stage(settings, "nightly/a", "dbt_features"):
        try:
            small.execute("create table t as select range as i, repeat('x', 100) from range(10000000)")
        except duckdb.Error as error:
            raise RuntimeError(f"Runtime Error in model a\n  {error}") from None
    assert "Lower NIGHTLEDGER_MEMORY_LIMIT" in str(trouble.explain(settings, MemoryError()))


def test_a_spill_that_found_no_room_is_told_with_what_to_do(settings, tmp_path):
    """Catches a query's spill that is told as a full disk, where nothing is full now; DuckDB's wording is
    real.
    """
    settings.home.mkdir()
    small = duckdb.connect(config={"memory_limit": "20MB", "temp_directory": str(tmp_path), "threads": 1})
    small.execute("set max_temp_directory_size = '1MB'")
    told = pytest.raises(
        MachineTrouble, match=r"more than 4GB of memory.*had no room.*NIGHTLEDGER_DBT_THREADS=1"
    )
    with told, operations.stage(settings, "nightly/a", "dbt_features"):
        small.execute("create table t as select range as i, md5(range::varchar) as t from range(2000000)")


def test_other_errors_stay_what_they_are(settings):
    """Catches a mistake in a model that is blamed on the machine, and retried for ever."""
    with pytest.raises(ValueError, match="mine"), operations.stage(settings, "nightly/a", "ingest"):
        raise ValueError("mine")
    assert trouble.explain(settings, ValueError("mine")) is None


@pytest.fixture
def locked(settings, monkeypatch):
    """Another process keeps operations.db locked for longer than a task waits."""
    operations.engine(settings)
    monkeypatch.setattr(operations, "PATIENCE", 0.1)
    operations._engine.cache_clear()
    other = sqlite3.connect(settings.home / "operations.db", isolation_level=None)
    other.execute("begin exclusive")
    yield other
    other.close()
    operations._engine.cache_clear()


def test_a_locked_database_is_told_with_what_to_do(settings, locked):
    """Catches a stage that did its work, could not say so, and passes for done."""
    told = pytest.raises(MachineTrouble, match=r"keeps .*operations\.db locked.*fuser")
    with told, operations.stage(settings, "nightly/a", "enrich"):
        pass
    with pytest.raises(MachineTrouble, match="fuser"):
        operations.publication_log(settings)


def test_a_failure_that_cannot_be_recorded_is_still_the_one_that_is_told(settings, locked):
    """Catches a locked database that hides why the stage failed."""
    with pytest.raises(ValueError, match="mine"), operations.stage(settings, "nightly/a", "ingest"):
        raise ValueError("mine")


def test_taking_over_tells_of_a_locked_database(settings, locked):
    """Catches a lock half taken over, and a traceback of SQLAlchemy at 3 a.m."""
    settings.builds.mkdir(parents=True)
    lock._write(settings, {"run": "nightly/dead", "base": None})
    with pytest.raises(MachineTrouble, match="fuser"):
        lock.take(settings, "nightly/b", lambda _run: False)
    locked.execute("rollback")
    assert lock.take(settings, "nightly/b", lambda _run: False)


def test_the_errors_of_sqlalchemy_are_known_by_their_text(settings):
    """Catches a driver whose wording has changed: then nobody is told what to do."""
    wrapped = sa.exc.OperationalError("select 1", {}, sqlite3.OperationalError("database or disk is full"))
    settings.home.mkdir()
    assert "Make room" in str(trouble.explain(settings, wrapped))
