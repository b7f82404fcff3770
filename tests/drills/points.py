"""Every step in which a stage changes what is on disk, counted, so that it can be killed before each.

Python announces what it is about to do with files to audit hooks, SQLAlchemy what it writes: so the steps are
found without a line in the product. What DuckDB writes by itself is hit by kills at random instants.
"""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_EVENTS = frozenset(
    {"open", "shutil.copyfile"}
    | {f"os.{name}" for name in ("rename", "remove", "rmdir", "mkdir", "symlink", "link", "chmod")}
)
_WRITES = os.O_WRONLY | os.O_RDWR


def watch(home: Path, reached: Callable[[str], None]) -> None:
    """Call `reached` with a label before each change under `home` from now on, in this process."""
    root = f"{home}/"

    def label(event: str, args: tuple[Any, ...]) -> str | None:
        names = [os.fsdecode(a) for a in args if isinstance(a, str | bytes | os.PathLike)]
        if event == "open":
            if not isinstance(args[0], str | bytes | os.PathLike) or not args[2] & _WRITES:
                return None
            names = names[:1]
        in_a_tree = event in ("os.remove", "os.rmdir") and not names[0].startswith("/")
        if not in_a_tree and not any(name.startswith(root) for name in names):
            return None
        shown = " → ".join(name.removeprefix(root) for name in names)
        return f"{event.rpartition('.')[2]} {re.sub(rf'{os.getpid()}', 'PID', shown)}"

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _EVENTS:
            text = label(event, args)
            if text:
                reached(text)

    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        reached(f"fsync {str(Path(f'/proc/self/fd/{descriptor}').readlink()).removeprefix(root)}")
        fsync(descriptor)

    os.fsync = watched_fsync
    sys.addaudithook(hook)

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        if words[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            table = words[2] if words[0].upper() != "UPDATE" else words[1]
            _connection.info["wrote"] = table
            reached(f"operations.db: {words[0].lower()} {table}")

    def commit(connection: Any) -> None:
        if table := connection.info.pop("wrote", None):
            reached(f"operations.db: commit {table}")

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    sa.event.listen(sa.Engine, "commit", commit)


def recorded(home: Path, function: Callable[[], Any]) -> list[str]:
    """Run a function and return the labels of all its points; to be called in a child."""
    seen: list[str] = []
    watch(home, seen.append)
    function()
    return seen


def kill_before(home: Path, number: int) -> Callable[[Any], None]:
    """A plant that kills the child before its point `number` (from 0), having told the label."""

    def plant(pipe: Any) -> None:
        count = 0

        def reached(text: str) -> None:
            nonlocal count
            if count == number:
                pipe.send(("point", text))
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        watch(home, reached)

    return plant


def worth_killing(labels: list[str]) -> list[int]:
    """Numbers of all points; of making or removing a tree only the first, middle and last."""
    chosen: list[int] = []
    run: list[int] = []
    for number, text in enumerate([*labels, "end"]):
        in_tree = text.startswith("mkdir ") or (text.startswith(("remove ", "rmdir ")) and "/" not in text)
        if in_tree:
            run.append(number)
            continue
        chosen += sorted({run[0], run[len(run) // 2], run[-1]}) if run else []
        run = []
        if number < len(labels):
            chosen.append(number)
    return chosen
