"""Backup and restore of what nothing could make again: landing, archive, operational database, registry, key.

Publications are left out: nights make them again from the landing area, with the same content hash. A
backup is a plain directory `<to>/<UTC time>/` in the shape of a home, with a manifest of hashes. Files that
an earlier backup holds already are hard links to it. `python -m nightledger.backup` is for people.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nightledger import operations
from nightledger.backup_set import (
    KEY,
    MANIFEST,
    OPERATIONS,
    REGISTRY,
    Backup,
    BackupError,
    Entry,
    check_database,
    copy,
    newest,
    sha256,
    verify,
)
from nightledger.ingestion.landing import BYTES
from nightledger.settings import Settings, SettingsError, read_settings

log = logging.getLogger(__name__)


def make(settings: Settings, to: Path, now: datetime) -> Backup:
    """Write a backup beside the earlier ones; whole, or not at all.

    The databases are copied first and files after them: a file is always written before the row that names
    it, so the backup never names a file that it lacks. A night may run meanwhile.

    Args:
        settings: of the installation.
        to: directory of all backups, not inside what is backed up.
        now: names the backup (UTC without a zone).

    Raises:
        BackupError: nothing to back up, a damaged file of the landing area, or another backup going on.
    """
    if not settings.landing.is_dir():
        raise BackupError(f"there is nothing to back up in {settings.home}: no file has landed there yet")
    to = to.resolve()
    if to.is_relative_to(settings.home.resolve()):
        raise BackupError(f"{to} lies inside the home and would be lost with it; give another disk: TO=…")
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(to):
        for remains in to.glob("*.part"):
            shutil.rmtree(remains)
        earlier = newest(to)
        known = {entry.path: entry for entry in earlier.entries} if earlier else {}
        path = to / f"{now:%Y-%m-%dT%H-%M-%SZ}"
        if path.exists():
            raise BackupError(f"{path} exists already; wait a second")
        part = path.with_suffix(".part")
        part.mkdir(mode=0o700)
        made = Backup(path)
        try:
            _copy_databases(settings, part, made)
            for source in _files(settings):
                with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
                    _take(settings, source, part, earlier.path if earlier else None, known, made)
            _write_manifest(settings, part, made)
            part.rename(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    log.info("%s: %d files copied, %d linked", path.name, made.copied, made.linked)
    return made


def restore(settings: Settings, path: Path) -> Backup:
    """Make an empty home what it was when the backup was made, but for publications.

    Every file is compared with the manifest before anything is written, and again where it was written.

    Raises:
        BackupError: the home is not empty, the backup is damaged, or the token key is another one.
    """
    home = settings.home
    if home.exists() and any(home.iterdir()):
        raise BackupError(f"{home} is not empty; give an empty one: make restore FROM=… NIGHTLEDGER_HOME=…")
    found = verify(path)
    _check_key(settings, found)
    part = home.with_name(f"{home.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    for entry in found.entries:
        target = part / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy(found.path / entry.path, target) != entry.sha256:
            raise BackupError(
                f"{target} could not be written as it is in {found.path.name}; try another disk"
            )
        target.chmod(entry.mode)
        os.utime(target, ns=(entry.modified_ns, entry.modified_ns))
    if (part / "secrets").exists():
        (part / "secrets").chmod(0o700)
    for database in (OPERATIONS, REGISTRY):
        if (part / database).exists():
            check_database(part / database)
    part.replace(home)
    for dsn, database in ((settings.operations_dsn, OPERATIONS), (settings.registry_uri, REGISTRY)):
        if (home / database).exists() and _sqlite_file(dsn) != home / database:
            found.notes.append(f"{home / database} is restored, but the settings name another database")
    return found


def _copy_databases(settings: Settings, part: Path, made: Backup) -> None:
    """Copy SQLite databases by their own means, which gives one consistent moment while others write."""
    for dsn, name, dump in (
        (settings.operations_dsn, OPERATIONS, "operations.dump"),
        (settings.registry_uri, REGISTRY, "registry.dump"),
    ):
        file = _sqlite_file(dsn)
        if file is None:
            made.notes.append(_by_hand(dsn, made.path / dump))
            continue
        if not file.exists():
            continue
        target = part / name
        target.parent.mkdir(exist_ok=True)
        with (
            contextlib.closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=30)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
        check_database(target)
        target.chmod(0o600)
        stat = file.stat()
        made.entries.append(Entry(name, sha256(target), target.stat().st_size, 0o600, stat.st_mtime_ns))
        made.copied += 1


def _by_hand(dsn: str, dump: Path) -> str:
    """What a person must do about a database that is not a file."""
    url = sa.make_url(dsn)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() != "postgresql":
        return f"{shown} is NOT in this backup. Back it up now by its own means."
    plain = sa.URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database
    ).render_as_string()
    return (
        f"{shown} is NOT in this backup. Run now: pg_dump --format=custom --file={dump} '{plain}'; and "
        f"before the first night after a restore: pg_restore --clean --if-exists --dbname='{plain}' {dump}"
    )


def _sqlite_file(dsn: str) -> Path | None:
    url = sa.make_url(dsn)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _files(settings: Settings) -> Iterator[Path]:
    """Everything but the databases; what is half written carries other names and is left out."""
    yield from sorted(settings.landing.glob("*/*/*.arrival.json"))
    yield from sorted(settings.landing.glob(f"*/*/{BYTES}*"))  # after the records that name them
    for folder in (settings.archive, settings.registry):
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            half = any(name.endswith(".part") for name in inside.parts)
            if path.is_file() and not half and not path.name.startswith(Path(REGISTRY).name):
                yield path
    if (settings.home / KEY).exists():
        yield settings.home / KEY


def _take(
    settings: Settings, source: Path, part: Path, earlier: Path | None, known: dict[str, Entry], made: Backup
) -> None:
    """Put one file into the backup: a link where the earlier one holds it, a copy otherwise."""
    name = source.relative_to(settings.home).as_posix()
    stat, target = source.stat(), part / name
    target.parent.mkdir(parents=True, exist_ok=True)
    before = known.get(name)
    if earlier and before and (before.size, before.modified_ns) == (stat.st_size, stat.st_mtime_ns):
        try:
            target.hardlink_to(earlier / name)
        except OSError:
            pass  # no hard links there, or it has been removed: copied below
        else:
            made.entries.append(before)
            made.linked += 1
            return
    digest = copy(source, target)
    if source.name.startswith(BYTES) and source.parent.parent.parent == settings.landing:
        stated = source.parent.name
        if digest != stated:
            raise BackupError(
                f"{source} is not what had landed: its bytes no longer have their hash. Look for it in an "
                "earlier backup, or ask the sender for the file again"
            )
    if sha256(target) != digest:
        raise BackupError(f"{target} could not be written as it is; try another disk")
    target.chmod(0o600)
    made.entries.append(Entry(name, digest, target.stat().st_size, stat.st_mode & 0o777, stat.st_mtime_ns))
    made.copied += 1


def _write_manifest(settings: Settings, part: Path, made: Backup) -> None:
    content: dict[str, Any] = {
        "format": 1,
        "token_key": _key_check(settings),
        "notes": made.notes,
        "files": [asdict(entry) for entry in made.entries],
    }
    temporary = part / f".{MANIFEST}"
    temporary.write_text(json.dumps(content, indent=1))
    temporary.chmod(0o600)
    temporary.rename(part / MANIFEST)


def _key_check(settings: Settings) -> str | None:
    """What tells one token key from another without being it; None when there is no key yet."""
    if settings.token_key is None and not (settings.home / KEY).exists():
        return None
    return hashlib.sha256(b"nightledger backup" + settings.token_key_bytes()).hexdigest()[:16]


def _check_key(settings: Settings, found: Backup) -> None:
    stated = json.loads((found.path / MANIFEST).read_text())["token_key"]
    holds_key = any(entry.path == KEY for entry in found.entries)
    if settings.token_key is None and (holds_key or stated is None):
        return
    if _key_check(settings) != stated:
        raise BackupError(
            "NIGHTLEDGER_TOKEN_KEY is not the key that made the tokens of this backup: every person would "
            "get another token. Set the key of that time"
        )


@contextlib.contextmanager
def _alone(to: Path) -> Iterator[None]:
    with (to / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another backup to {to} is going on; wait for it") from None
        yield


def main(arguments: list[str] | None = None) -> int:
    """Make, check or restore a backup; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write a backup")
    making.add_argument("--to", type=Path, help="directory of all backups; default: <home>-backups")
    for name, words in (("verify", "compare a backup with its manifest"), ("restore", "fill an empty home")):
        command = commands.add_parser(name, help=words)
        command.add_argument("--from", dest="source", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        settings = read_settings()
        if given.command == "make":
            to = given.to or settings.home.with_name(f"{settings.home.name}-backups")
            done = make(settings, to, operations.clock())
            text = (
                f"{done.path}: {len(done.entries):,} files, {done.size / 1e6:,.1f} MB; {done.copied:,} "
                f"copied, {done.linked:,} shared with the backup before."
            )
        elif given.command == "verify":
            done = verify(given.source)
            text = f"{done.path}: {len(done.entries):,} files are as they were written."
        else:
            done = restore(settings, given.source)
            text = (
                f"{settings.home} restored from {done.path.name}: {len(done.entries):,} files, each compared "
                "with its hash. The publications are made again by the history and the nights: "
                "docs/runbooks/backup-and-restore.md"
            )
    except (BackupError, OSError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n".join([text, *done.notes]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
