"""Publications: versioned, read-only directories, and the pointer that says which one counts.

`python -m nightledger.publications list` and `… rollback [--to ID] --reason TEXT` are for people.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

from nightledger import drift_reports, leases, operations, warehouse
from nightledger.settings import Settings, SettingsError, read_settings

log = logging.getLogger(__name__)

FILES = (warehouse.FILE, "manifest.json", "run_results.json", "audit.json", "publication.json")


class PublicationError(RuntimeError):
    """A build cannot be published, or a publication cannot be found; the message says what to do."""


class Damaged(PublicationError):
    """A publication is not what was once published."""


def current_id(settings: Settings) -> str | None:
    """Id of the publication that readers see, or None before the first one."""
    path = warehouse.publication_path(settings)
    return path.name if path else None


def describe(path: Path) -> dict[str, Any]:
    """What a publication says of itself (`publication.json`)."""
    try:
        content: dict[str, Any] = json.loads((path / "publication.json").read_text())
    except (OSError, ValueError) as error:
        reason = f"the publication.json of {path.name} cannot be read ({type(error).__name__})"
        raise Damaged(reason) from error
    return content


def damage(path: Path) -> str | None:
    """Why a publication must not be used, or None when its bytes are those that were published.

    Reads the whole warehouse: about a second for each 1.5 GB. DuckDB itself looks at the checksum of a block
    only when a query happens to need it.
    """
    try:
        stated = describe(path).get("warehouse_sha256")
    except Damaged as error:
        return str(error)
    file = path / warehouse.FILE
    if not file.exists():
        return f"the warehouse of {path.name} is missing"
    if stated not in (None, checksum(file)):  # none: published before the hash was written down
        return f"the warehouse of {path.name} is not what was published"
    return None


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(settings: Settings, publication_id: str) -> None:
    """Make sure that a publication is whole before anything is built on it.

    Raises:
        Damaged: it is not; the message gives the command that moves readers to the newest one that is.
    """
    reason = damage(settings.builds / publication_id)
    if reason is None:
        return
    others = [row["publication_id"] for row in reversed(on_disk(settings))]
    whole = (name for name in others if name != publication_id and damage(settings.builds / name) is None)
    to = next(whole, None)
    if to is None:
        raise Damaged(
            f"{reason}, and no other publication is whole. Restore a backup into an empty home "
            "(make restore FROM=… NIGHTLEDGER_HOME=…) and build it from the files again; see "
            "docs/runbooks/backup-and-restore.md."
        )
    raise Damaged(
        f"{reason}. Whoever reads it gets errors or wrong numbers. Move readers to {to}, the newest that is "
        f'whole: make rollback TO={to} REASON="{publication_id} is damaged". Then start the night again: the '
        f"new run begins at {to} and builds what is missing."
    )


def point(settings: Settings, name: str, target: str) -> None:
    """Move the symlink `builds/<name>` to the sibling directory `target` in one atomic step."""
    temporary = settings.builds / f".{name}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target, target_is_directory=True)
    temporary.replace(settings.builds / name)
    _sync(settings.builds)


def _sync(path: Path) -> None:
    """Force a file or a directory entry to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def next_id(settings: Settings, as_of: date) -> str:
    """`<as-of date>.<serial>`, never used before, not even by a publication that is gone."""
    logged = (row["publication_id"] for row in operations.publication_log(settings))
    on_disk = (
        path.name.removesuffix(".building").removesuffix(".part") for path in settings.builds.iterdir()
    )
    archived = (path.name for path in settings.archive.glob("*"))
    serials = [
        int(name.rpartition(".")[2])
        for name in (*logged, *on_disk, *archived)
        if name.rpartition(".")[0] == as_of.isoformat() and name.rpartition(".")[2].isdigit()
    ]
    return f"{as_of.isoformat()}.{max(serials, default=0) + 1}"


def ensure_logged(settings: Settings, path: Path) -> None:
    """Append a publication to the log unless it is there."""
    if path.name in {row["publication_id"] for row in operations.publication_log(settings)}:
        return
    description = describe(path)
    operations.record_publication(
        settings,
        action="published",
        publication_id=description["id"],
        base=description["base"],
        run_id=description["run"],
        as_of_date=date.fromisoformat(description["as_of_date"]),
        content_hash=description["content_hash"],
        reason=f"{description['kind']} night of {description['night_of']}",
    )


def published_by(settings: Settings, run_id: str) -> str | None:
    """The publication that a run has made, or None."""
    made = [
        row["publication_id"]
        for row in operations.publication_log(settings)
        if row["run_id"] == run_id and row["action"] == "published"
    ]
    return made[-1] if made else None


def seal(settings: Settings, publication_id: str, base: str | None) -> Path:
    """Turn the build `<id>.building` into the publication `<id>` and move the pointer to it.

    Each step can be repeated; a process killed between any two leaves readers on a whole publication.

    Raises:
        PublicationError: the pointer is no longer where the night started, or the build is not complete.
    """
    final = settings.builds / publication_id
    current = current_id(settings)
    if current not in (base, publication_id):
        raise PublicationError(
            f"refused to publish {publication_id}: it was built on {base}, but the current publication is "
            f"{current}. Run the night again: it will start from {current}."
        )
    build = settings.builds / f"{publication_id}.building"
    if build.exists():
        _check_complete(build)
        for path in sorted(build.iterdir()):
            if path.name in FILES:
                _sync(path)
                path.chmod(0o440)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        _sync(build)
        build.rename(final)
        _sync(settings.builds)
    final.chmod(0o550)
    point(settings, "current", publication_id)
    (settings.builds / "open").unlink(missing_ok=True)
    return final


def _check_complete(build: Path) -> None:
    missing = [name for name in FILES if not (build / name).exists()]
    if missing:
        raise PublicationError(
            f"{build.name} lacks {', '.join(missing)}; run the night's steps before publish"
        )
    if (build / f"{warehouse.FILE}.wal").exists():
        raise PublicationError(
            f"{build.name} still has a write-ahead log: a writer has not closed its connection"
        )


def remove(path: Path) -> None:
    """Delete a publication or build directory, read-only or not."""
    path.chmod(0o750)
    shutil.rmtree(path)


def on_disk(settings: Settings) -> list[dict[str, Any]]:
    """Log entries of publications that still exist, oldest first; the log decides the order, never names."""
    published = {
        row["publication_id"]: row
        for row in operations.publication_log(settings)
        if row["action"] == "published" and (settings.builds / row["publication_id"]).is_dir()
    }
    return list(published.values())


def prune(settings: Settings, run_id: str) -> list[str]:
    """Remove publications but the last `keep_publications`, the last of each month, and what is in use.

    In use are the current one, its base (what changed since is looked for there, and a rollback goes to it)
    and those that a run has leased.
    """
    existing = on_disk(settings)
    current = current_id(settings)
    last_of_month = {row["as_of_date"].strftime("%Y-%m"): row["publication_id"] for row in existing}
    keep = {row["publication_id"] for row in existing[-settings.keep_publications :]}
    keep |= {*last_of_month.values(), *leases.leased(settings), current}
    keep |= {row["base"] for row in existing if row["publication_id"] == current}
    removed = [row["publication_id"] for row in existing if row["publication_id"] not in keep]
    for publication_id in removed:
        remove(settings.builds / publication_id)
        operations.record_publication(
            settings,
            action="pruned",
            publication_id=publication_id,
            run_id=run_id,
            reason=f"beyond the last {settings.keep_publications} and not the last of its month",
        )
    drift_reports.prune(settings, removed)
    return removed


def rollback(settings: Settings, reason: str, to: str | None = None) -> str:
    """Move the pointer back to an earlier publication and log it. The next night starts from there.

    Args:
        settings: of the installation.
        reason: why, for the log.
        to: the publication's id; default: the one that the current one was built on.

    Raises:
        PublicationError: there is no such publication, or it is damaged; the message lists those there are.
    """
    bases: dict[str, str | None] = {row["publication_id"]: row["base"] for row in on_disk(settings)}
    existing = list(bases)
    current = current_id(settings)
    if to is None and current is not None:
        to = bases.get(current)
    if to is None or to not in existing or to == current:
        there = ", ".join(name for name in existing if name != current) or "none"
        raise PublicationError(
            f"cannot roll back from {current} to {to or 'an earlier one'}. There are: {there}"
        )
    verify(settings, to)
    point(settings, "current", to)
    description = describe(settings.builds / to)
    operations.record_publication(
        settings,
        action="rolled_back",
        publication_id=to,
        base=current,
        as_of_date=date.fromisoformat(description["as_of_date"]),
        content_hash=description["content_hash"],
        reason=reason,
    )
    log.info("rolled back from %s to %s: %s", current, to, reason)
    return to


def _print_log(settings: Settings) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    current = current_id(settings)
    table = Table(title="Publications, oldest first", title_justify="left", box=None, pad_edge=False)
    for heading in ("recorded (UTC)", "action", "publication", "built on", "content"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold")
    there = {row["id"] for row in on_disk(settings)}
    log_rows = operations.publication_log(settings)
    moved = [row["id"] for row in log_rows if row["publication_id"] == current and row["action"] != "pruned"]
    for row in log_rows:
        current_row = row["id"] == moved[-1]
        gone = row["action"] == "published" and row["id"] not in there
        mark = " [green]← current[/]" if current_row else " [dim](pruned)[/]" if gone else ""
        by = "" if row["run_id"] else ", by a person"
        table.add_row(
            f"{row['recorded_at']:%Y-%m-%d %H:%M}",
            row["action"].replace("_", " "),
            row["publication_id"],
            row["base"] or "–",
            (row["content_hash"] or "")[:8],
            f"{escape(row['reason'])}{by}{mark}",
        )
    Console(soft_wrap=False, width=max(110, Console().width)).print(table)


def main() -> int:
    """List publications or roll back."""
    parser = argparse.ArgumentParser(prog="nightledger.publications", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what was published, when, from what, why")
    back = commands.add_parser("rollback", help="move the pointer to an earlier publication")
    back.add_argument("--to", help="publication id; default: the one before the current one")
    back.add_argument("--reason", required=True, help="why, for the log")
    arguments = parser.parse_args()
    try:
        settings = read_settings()
        if not (settings.builds / "current").is_symlink():
            raise PublicationError(
                f"Nothing has been published in {settings.home} yet. `make demo` makes a first night."
            )
        if arguments.command == "rollback":
            if not arguments.reason.strip():
                raise PublicationError('say why, for the log: make rollback REASON="..."')
            to = rollback(settings, reason=arguments.reason, to=arguments.to or None)
            sys.stdout.write(f"Readers now see {to}.\n")
        else:
            _print_log(settings)
    except (PublicationError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
