"""What the machine does to a night: a full disk, too little memory, a locked database.

Told in words, with what to do.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from nightledger.settings import Settings

_FULL = (
    "no space left",
    "disk is full",
    "disk quota exceeded",
    "file too large",
)
_SPILLED = ("failed to offload",)  # DuckDB: its spill has reached the free disk, by default, or its own limit
_MEMORY = ("out of memory error",)  # DuckDB, also where dbt quotes it
_LOCKED = ("database is locked", "database table is locked")
_FULL_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_SAFE = (
    "Nothing is lost, and readers still see the last publication. Then clear the failed task, and the run "
    "goes on from there; or start the night again."
)


class MachineTrouble(RuntimeError):
    """The machine stopped a step, not the data; the same step succeeds once the cause is gone."""


def explain(settings: Settings, error: BaseException) -> MachineTrouble | None:
    """The trouble of the machine behind an error, with what to do; None when it is of another kind."""
    for cause in _chain(error):
        text = str(cause).lower()
        if isinstance(cause, MachineTrouble):
            return None
        if any(words in text for words in _SPILLED):
            return MachineTrouble(
                f"a query needed more than {settings.memory_limit} of memory, and the disk had no room for "
                f"the rest of what it works on: {_free(settings):,.0f} MB are free under {settings.home}, "
                "now that the step has ended. Make room, set NIGHTLEDGER_DBT_THREADS=1, so that one model is "
                "built at a time, or raise NIGHTLEDGER_MEMORY_LIMIT as far as the machine allows. "
                f"{_SAFE}"
            )
        if getattr(cause, "errno", None) in _FULL_NUMBERS or any(words in text for words in _FULL):
            return MachineTrouble(
                f"the disk is full: {_free(settings):,.0f} MB are free under {settings.home}, now that the "
                f"step has ended. Make room: what dead runs left, {settings.builds / 'abandoned'}, may go "
                f"first. {_SAFE}"
            )
        if isinstance(cause, MemoryError):
            return MachineTrouble(
                "the machine has no more memory. Lower NIGHTLEDGER_MEMORY_LIMIT or NIGHTLEDGER_THREADS, or "
                f"end what else runs there. {_SAFE}"
            )
        if any(words in text for words in _MEMORY):
            return MachineTrouble(
                f"memory ran out; queries may use {settings.memory_limit}. Raise NIGHTLEDGER_MEMORY_LIMIT "
                "as far as the machine allows, or set NIGHTLEDGER_DBT_THREADS=1, so that one model is built "
                f"at a time; if that is not enough, lower NIGHTLEDGER_THREADS. {_SAFE}"
            )
        if any(words in text for words in _LOCKED):
            where = settings.operations_dsn.partition("///")[2] or "the operational database"
            return MachineTrouble(
                f"another process keeps {where} locked. Find it with `fuser {where}` (usually a SQL shell "
                f"with an open transaction) and end it. {_SAFE}"
            )
    return None


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Raise `MachineTrouble` in place of an error that the machine is to blame for."""
    try:
        yield
    except Exception as error:
        problem = explain(settings, error)
        if problem is None:
            raise
        raise problem from error


def _free(settings: Settings) -> float:
    """Free disk of the home (MB)."""
    return shutil.disk_usage(settings.home).free / 1e6


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
