"""A backup as it lies on disk: a directory in the shape of a home, and a manifest of hashes."""

import contextlib
import hashlib
import json
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "manifest.json"
OPERATIONS, REGISTRY, KEY = "operations.db", "registry/mlflow.db", "secrets/token.key"
_BLOCK = 1 << 20


class BackupError(RuntimeError):
    """A backup cannot be made or restored; the message names the file and says what to do."""


@dataclass(frozen=True)
class Entry:
    """One file of a backup; `modified_ns` is that of the original."""

    path: str
    sha256: str
    size: int
    mode: int
    modified_ns: int


@dataclass
class Backup:
    """A backup that was made or found."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    copied: int = 0
    linked: int = 0
    notes: list[str] = field(default_factory=list)
    """What a person must do besides."""

    @property
    def size(self) -> int:
        """Bytes of all files, however many backups share them."""
        return sum(entry.size for entry in self.entries)


def verify(path: Path) -> Backup:
    """Find a backup and compare every file with its manifest.

    Args:
        path: a backup, or a directory of backups, of which the newest is meant.

    Raises:
        BackupError: there is none, or a file is missing or damaged; names it.
    """
    found = _read(path) if (path / MANIFEST).exists() else newest(path)
    if found is None:
        raise BackupError(f"{path} holds no backup (a directory with {MANIFEST})")
    for entry in found.entries:
        _check_place(found, entry)
        file = found.path / entry.path
        if not file.is_file():
            raise BackupError(f"{found.path.name}: {entry.path} is missing; use another backup")
        if file.stat().st_size != entry.size or sha256(file) != entry.sha256:
            raise BackupError(f"{found.path.name}: {entry.path} is damaged; use another backup")
    return found


def _check_place(found: Backup, entry: Entry) -> None:
    """A manifest from elsewhere must not write outside the home."""
    path = Path(entry.path)
    if path.is_absolute() or ".." in path.parts:
        raise BackupError(
            f"{found.path.name}: the manifest names {entry.path!r}, which lies outside; do not use it"
        )


def _read(path: Path) -> Backup:
    try:
        content = json.loads((path / MANIFEST).read_text())
        entries = [Entry(**values) for values in content["files"]]
    except (ValueError, TypeError, KeyError) as error:
        raise BackupError(f"{path / MANIFEST} is damaged; use another backup") from error
    return Backup(path, entries, notes=list(content.get("notes", ())))


def newest(to: Path) -> Backup | None:
    """The last whole backup of a directory of backups."""
    made = sorted(path.parent for path in to.glob(f"*/{MANIFEST}") if path.parent.suffix != ".part")
    return _read(made[-1]) if made else None


def copy(source: Path, target: Path) -> str:
    """Copy the bytes down to the disk; returns their hash."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(_BLOCK):
            digest.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def sha256(file: Path) -> str:
    """Hash of a file."""
    with file.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def check_database(file: Path) -> None:
    """Let SQLite check a database.

    Raises:
        BackupError: it is damaged.
    """
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        answer = connection.execute("pragma integrity_check").fetchone()
    if answer != ("ok",):
        raise BackupError(
            f"{file} is damaged (SQLite's own check failed); use another backup, or mend the original"
        )
