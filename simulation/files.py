"""Writing the bank's daily files: gzipped, with manifests, reproducible to the byte, never written twice."""

import json
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from simulation import profiles, statements, text
from simulation.days import known_at
from simulation.events import draw_events, event_lines
from simulation.parameters import BLOCK_DAYS, Bank, Parameters
from simulation.statements import Statements
from simulation.transactions import draw_block
from simulation.truth import holds_truth, write_planted, write_truth
from simulation.world import World, build_world

GZIP_LEVEL = 1
GZIP_WINDOW = 31
"""zlib's code for a gzip container. It leaves the time stamp 0, so equal text gives equal bytes."""


@dataclass
class Written:
    """What one call of `make` has written.

    Attributes:
        days: business dates added.
        files: data files added, manifests not counted.
        transactions: records in the added transaction files; likewise `events`, `customers`.
    """

    days: int = 0
    files: int = 0
    transactions: int = 0
    events: int = 0
    customers: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True)
class _File:
    """One data file before compression; `total` is the sum of its amounts where it has any."""

    name: str
    text: bytes
    rows: int
    total: str | None = None


def make(bank: Bank, out: Path, through: date | None = None, parameters: Parameters | None = None) -> Written:
    """Write the files of a bank up to a date, and the truth behind them; files that are there stay untouched.

    Args:
        bank: which bank.
        out: gets `files/` (what the bank sends) and `truth/` (what nobody may look at).
        through: last business date to write, up to 120 days after the history; default: the history's last.
        parameters: other numbers than the defaults.

    Raises:
        ValueError: `through` is outside the simulated days.
        TruthError: `out` belongs to another bank.
    """
    parameters = parameters or Parameters()
    through = through or bank.last_day
    last = (through - bank.start).days
    if not 0 <= last < bank.horizon:
        raise ValueError(f"{through} is outside the {bank.horizon} simulated days from {bank.start}")
    files, truth = out / "files", out / "truth"
    has_truth = holds_truth(truth, bank, parameters)
    # A day's transactions are written after its other files, so their presence says that the day is whole.
    missing = [day for day in range(last + 1) if not (files / f"{_names(bank, day)[-1]}").exists()]
    if has_truth and not missing:
        return Written()
    world = build_world(bank, parameters)
    if not has_truth:
        write_truth(world, truth)
    files.mkdir(parents=True, exist_ok=True)
    return _Clerk(world, files, truth).write(missing)


def _names(bank: Bank, day: int) -> tuple[str, str, str]:
    """The data files of a day, in the order in which they are written."""
    on = bank.start + timedelta(days=day)
    return f"customers_{on}.csv.gz", f"events_{on}.jsonl.gz", f"transactions_{on}.csv.gz"


class _Clerk:
    """Writes the missing days of one bank."""

    def __init__(self, world: World, files: Path, truth: Path) -> None:
        self.world, self.files, self.truth = world, files, truth
        self.profiles = profiles.draw_profiles(world)
        self.closed_on = profiles.closed_day(world)
        self.written = Written()

    def write(self, missing: list[int]) -> Written:
        """Draw block after block and write what is missing of each; compression runs beside the drawing."""
        last: tuple[int, Statements | None] = (-1, None)
        with ThreadPoolExecutor(2) as pool:
            writing: list[Future[None]] = []
            for block in sorted({day // BLOCK_DAYS for day in missing}):
                before = last[1] if last[0] == block - 1 else self._statements(block - 1)
                current = self._statements(block)
                last = (block, current)
                parts = [part for part in (before, current) if part is not None]
                write_planted(self.world, self.truth, block, parts)
                days = [day for day in missing if day // BLOCK_DAYS == block]
                contents = list(self._contents(block, days, parts))
                for written in writing:  # one block at a time is held in memory
                    written.result()
                writing = [pool.submit(self._write_day, day, files) for day, files in contents]
            for written in writing:
                written.result()
        return self.written

    def _statements(self, block: int) -> Statements:
        return statements.write_up(self.world, draw_block(self.world, block), block)

    def _contents(
        self, block: int, days: list[int], parts: list[Statements]
    ) -> Iterator[tuple[int, list[_File]]]:
        events = draw_events(self.world, self.profiles.marketing, block)
        happened = text.Lines(event_lines(self.world, events), events.day)
        for day in days:
            customers_name, events_name, transactions_name = _names(self.world.bank, day)
            files = []
            who = profiles.reported(self.world, self.profiles, day)
            if len(who):
                lines = profiles.profile_lines(self.world, self.profiles, self.closed_on, day, who)
                body = (profiles.HEADER + "".join(lines.to_pylist())).encode()
                files.append(_File(customers_name, body, len(who)))
            body, count = happened.of(day)
            files.append(_File(events_name, body, count))
            # Follow-ups of the block before happened earlier, so they stand first, in the order of time.
            bodies = [part.lines.of(day) for part in parts]
            body = statements.HEADER.encode() + b"".join(one for one, _ in bodies)
            paise = sum(part.paise_of(day) for part in parts)
            files.append(_File(transactions_name, body, sum(n for _, n in bodies), text.rupees(paise)))
            self.written.days += 1
            self.written.files += len(files)
            self.written.customers += len(who)
            self.written.events += count
            self.written.transactions += files[-1].rows
            yield day, files

    def _write_day(self, day: int, files: list[_File]) -> None:
        on = self.world.bank.start + timedelta(days=day)
        for file in files:
            manifest: dict[str, Any] = {"rows": file.rows, "known_at": known_at(on)}
            if file.total is not None:
                manifest["sum"] = file.total
            target = self.files / file.name
            _put(target.with_name(f"{file.name}.manifest.json"), json.dumps(manifest).encode())
            compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
            _put(target, compressor.compress(file.text) + compressor.flush())


def _put(target: Path, content: bytes) -> None:
    """Write a file that is whole from the moment it has its name; one that is there is left alone."""
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(content)
    temporary.replace(target)
