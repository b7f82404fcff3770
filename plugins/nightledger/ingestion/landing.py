"""The landing area: files as they arrived, by content hash, never changed.

`landing/<first two of the hash>/<sha256>/` holds the bytes once, and one `<name>.arrival.json` for each
name and contract under which they came. The time of arrival is written then and never again.
"""

import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from nightledger.ingestion.contract import ContractError, SourceContract
from nightledger.ingestion.messages import inert
from nightledger.settings import Settings

log = logging.getLogger(__name__)

MANIFEST = ".manifest.json"
BYTES = "content"


@dataclass(frozen=True)
class Page:
    """Which page of which pull a file is.

    Pulls of a contract are numbered by `window`; each asks for the days from `since` on and began on the
    local day `through`.
    """

    window: int
    since: date | None
    through: date
    number: int
    records: int
    is_last: bool


@dataclass(frozen=True)
class Arrival:
    """One file under one name."""

    file: str
    contract: str
    sha256: str
    size: int
    modified_ns: int
    arrived_at: datetime
    manifest: dict[str, Any] | None
    path: Path
    page: Page | None = None


class StillChanging(RuntimeError):
    """A file was written to while it was copied."""


@dataclass
class CollectReport:
    """What became of the files of the inbox."""

    landed: int = 0
    known: int = 0
    waiting: list[str] = field(default_factory=list)
    changing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One sentence for logs and messages."""
        parts = [f"{self.landed:,} files landed", f"{self.known:,} known already"]
        if self.waiting:
            parts.append(
                f"{len(self.waiting):,} wait for a manifest that can be read (first: {self.waiting[0]})"
            )
        if self.changing:
            parts.append(
                f"{len(self.changing):,} changed while they were copied and wait for the next run "
                f"(first: {self.changing[0]})"
            )
        if self.unreadable:
            parts.append(f"{len(self.unreadable):,} cannot be read (first: {self.unreadable[0]})")
        if self.ignored:
            parts.append(f"{len(self.ignored):,} match no contract (first: {self.ignored[0]})")
        return ", ".join(parts) + "."


def collect(settings: Settings, contracts: Iterable[SourceContract], now: datetime) -> CollectReport:
    """Take every file of the inbox that a contract describes into the landing area.

    Args:
        settings: of the installation.
        contracts: all of them.
        now: time of arrival of what is new (UTC without a zone).

    Raises:
        ContractError: two contracts claim the same file; names both.
    """
    contracts = list(contracts)
    report = CollectReport()
    seen = {
        (arrival.contract, arrival.file, arrival.size, arrival.modified_ns): arrival
        for arrival in arrivals(settings)
    }
    inbox = settings.inbox
    if inbox is None or not inbox.is_dir():
        return report
    for path in sorted(inbox.rglob("*")):
        if path.name.endswith(MANIFEST) or not path.is_file():
            continue
        name = file_name(path)
        claims = [contract for contract in contracts if contract.matches(name)]
        if len(claims) > 1:
            names = " and ".join(contract.name for contract in claims)
            raise ContractError(
                f"{inert(name)}: claimed by the contracts {names}; narrow `files` of one of them"
            )
        if not claims or _is_foreign_link(path):
            report.ignored.append(inert(name))
            continue
        contract = claims[0]
        try:
            stat = path.stat()
            manifest = _manifest(path)
            if contract.needs_manifest and manifest is None:
                report.waiting.append(inert(name))
                continue
            before = seen.get((contract.name, name, stat.st_size, stat.st_mtime_ns))
            if before is not None and (before.manifest == manifest or not contract.needs_manifest):
                report.known += 1
                continue
            # What corrects or replaces has an order: files found together come in that of their names.
            place = 0 if contract.delivery.mode == "append" else report.landed
            is_new = land(settings, path, contract, now + timedelta(microseconds=place))
        except StillChanging as error:
            log.warning("%s", error)
            report.changing.append(inert(name))
            continue
        except (FileNotFoundError, PermissionError) as error:
            if error.filename != str(path):
                raise
            log.warning("%s: cannot be read (%s); the next run tries again", inert(name), error.strerror)
            report.unreadable.append(inert(name))
            continue
        report.landed += is_new
        report.known += not is_new
    return report


def _is_foreign_link(path: Path) -> bool:
    """Whether a sender has made a link: it would let them read whatever this process may read."""
    return path.is_symlink() and path.lstat().st_uid != os.getuid()


def file_name(path: Path) -> str:
    """Name of a file as a text: bytes that are no UTF-8 would stop the ledger, so a sign stands for them."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _manifest(path: Path) -> dict[str, Any] | None:
    """What the manifest beside a file says; None while there is none, or half of one."""
    manifest = path.with_name(path.name + MANIFEST)
    try:
        stated = json.loads(manifest.read_text())
    except OSError as error:
        # A manifest's name is longer than its file's; and a sender may call a folder so.
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG, errno.EISDIR):
            return None
        raise
    except (ValueError, RecursionError):
        return None
    return stated if isinstance(stated, dict) else None


def state(stat: os.stat_result) -> tuple[int, int, int]:
    """What differs when a file was written to or replaced."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def land(
    settings: Settings, path: Path, contract: SourceContract, now: datetime, page: Page | None = None
) -> bool:
    """Copy a file into the landing area, whole or not at all.

    Landing it again keeps its bytes and its time of arrival; a manifest that was sent again
    replaces the first.

    Returns:
        Whether these bytes are new under this name and contract.

    Raises:
        StillChanging: somebody wrote to the file meanwhile, so that the copy may be half of it.
    """
    stat = path.stat()
    settings.landing.mkdir(parents=True, exist_ok=True)
    part = settings.landing / f".{os.getpid()}.part"
    digest = hashlib.sha256()
    try:
        with path.open("rb") as source, part.open("wb") as target:
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
        if state(path.stat()) != state(stat):
            raise StillChanging(
                f"{inert(file_name(path))} changed while it was copied; it stays in the inbox, and the "
                "next run lands it"
            )
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = settings.landing / digest.hexdigest()[:2] / digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".gz" if path.name.lower().endswith(".gz") else ""
    content = folder / f"{BYTES}{suffix}"
    if content.exists():
        part.unlink()
    else:
        part.chmod(0o440)
        part.rename(content)
    record = folder / f"{_safe(file_name(path))}.{contract.name}.arrival.json"
    is_new = not record.exists()
    arrival = Arrival(
        file=file_name(path),
        contract=contract.name,
        sha256=digest.hexdigest(),
        size=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        arrived_at=now if is_new else _read(record).arrived_at,
        manifest=_manifest(path),
        path=content,
        page=page,
    )
    temporary = record.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(asdict(arrival) | {"path": content.name}, default=str))
    if is_new:
        try:
            os.link(temporary, record)
        except FileExistsError:  # a waiting night landed it meanwhile, and its time of arrival stands
            is_new = False
        temporary.unlink()
    else:
        temporary.rename(record)
    return is_new


def _safe(name: str) -> str:
    """A name that is no path and shows no tricks; the true one stands inside the record."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[-120:]
    return f"{safe}.{hashlib.sha256(name.encode()).hexdigest()[:6]}" if safe != name else safe


def _read(record: Path) -> Arrival:
    values = json.loads(record.read_text())
    values["arrived_at"] = datetime.fromisoformat(values["arrived_at"])
    values["path"] = record.parent / values["path"]
    if page := values.get("page"):
        page["since"] = date.fromisoformat(page["since"]) if page["since"] else None
        values["page"] = Page(**page | {"through": date.fromisoformat(page["through"])})
    return Arrival(**values)


def arrivals(settings: Settings) -> list[Arrival]:
    """Every delivery that has ever arrived whole, in the order of arrival.

    The pages of a pull are one delivery: they count when the last of them is there, and all have its time
    of arrival. Pages without records have nothing to load.
    """
    records = _records(settings)
    ended = {
        (arrival.contract, arrival.page.window): arrival.arrived_at
        for arrival in records
        if arrival.page and arrival.page.is_last
    }
    found = []
    for arrival in records:
        if arrival.page is None:
            found.append(arrival)
        elif arrival.page.records and (at := ended.get((arrival.contract, arrival.page.window))):
            found.append(replace(arrival, arrived_at=at))
    return sorted(found, key=lambda arrival: (arrival.arrived_at, arrival.file, arrival.sha256))


def pages(settings: Settings, contract: SourceContract) -> list[tuple[Page, Path]]:
    """Every page that was ever pulled for a contract, of whole and of broken-off pulls, in order."""
    found = [
        (arrival.page, arrival.path)
        for arrival in _records(settings)
        if arrival.page and arrival.contract == contract.name
    ]
    return sorted(found, key=lambda entry: (entry[0].window, entry[0].number))


def _records(settings: Settings) -> list[Arrival]:
    return [_read(record) for record in settings.landing.glob("*/*/*.arrival.json")]
