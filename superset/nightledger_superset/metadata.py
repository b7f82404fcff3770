"""How Superset keeps its own metadata when that is SQLite, as in the demo.

Superset writes several lines of its log for every answer, each in a transaction of its own. By SQLite's own
defaults each of them waits for the disk, and for everybody else who writes; together that takes longer than
the answer.
"""

import sqlite3
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

WAITS = 30
"""Seconds until a lock that somebody else has is an error."""


def engine_options(dsn: str) -> dict[str, Any]:
    """SQLALCHEMY_ENGINE_OPTIONS of this metadata database."""
    if not dsn.startswith("sqlite"):
        return {"pool_pre_ping": True}
    event.listen(Engine, "connect", _write_ahead)
    # Connections stay open: closing the last one folds its log into the database, and waits for the disk.
    return {"poolclass": QueuePool, "connect_args": {"timeout": WAITS, "check_same_thread": False}}


def _write_ahead(connection: object, _record: object) -> None:
    """Write ahead: readers do not wait for a writer, nor a writer for the disk.

    After a power failure the last lines of the log may be missing; nothing is broken.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
