"""Writing the bank's daily files: gzipped, with manifests, reproducible to the byte, never written twice."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from simulation import labels, profiles, statements, text
from simulation.books import Books
from simulation.delivery import DataFile, Written, known_at, put_file
from simulation.events import Events, draw_events, event_lines
from simulation.parameters import BLOCK_DAYS, TIMEZONE, Bank, Parameters
from simulation.responses import read_responses
from simulation.statements import Statements
from simulation.truth import holds_truth, write_block, write_truth
from simulation.world import World, build_world


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
    parameters = (parameters or Parameters()).at(bank.difficulty)
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
    """The data files that every day may have, in the order in which they are written."""
    on = bank.start + timedelta(days=day)
    return f"customers_{on}.csv.gz", f"events_{on}.jsonl.gz", f"transactions_{on}.csv.gz"


class _Clerk:
    """Writes the missing days of one bank."""

    def __init__(self, world: World, files: Path, truth: Path) -> None:
        self.world, self.files, self.truth = world, files, truth
        self.profiles = profiles.draw_profiles(world)
        self.closed_on = profiles.closed_day(world)
        self.account_numbers = statements.account_numbers(len(world.people))
        self.books, self.desk = Books(world, read_responses(world, truth)), labels.Desk(world)
        self.written = Written()

    def write(self, missing: list[int]) -> Written:
        """Keep the books block after block and write what is missing; compression runs beside the drawing."""
        last = missing[-1] // BLOCK_DAYS
        with ThreadPoolExecutor(2) as pool:
            writing: list[Future[None]] = []
            for block, (drawn, rows) in enumerate(self.books.blocks(last)):
                reports = self.desk.of_block(rows, block)
                days = [day for day in missing if day // BLOCK_DAYS == block]
                if not days:
                    continue
                current = statements.write_up(self.world, rows, block)
                events = draw_events(self.world, self.profiles.marketing, block)
                write_block(self.world, self.truth, block, drawn, rows, current, events)
                contents = list(self._contents(days, current, reports, events))
                for written in writing:  # one block at a time is held in memory
                    written.result()
                writing = [pool.submit(self._write_day, day, files) for day, files in contents]
            for written in writing:
                written.result()
        return self.written

    def _contents(
        self, days: list[int], current: Statements, reports: labels.Reports, events: Events
    ) -> Iterator[tuple[int, list[DataFile]]]:
        happened = text.Lines(event_lines(self.world, events), events.day)
        reported = text.Lines(labels.report_lines(self.world, reports), reports.day)
        for day in days:
            customers_name, events_name, transactions_name = _names(self.world.bank, day)
            on = self.world.days.date(day)
            files = []
            who = profiles.reported(self.world, self.profiles, day)
            if len(who):
                lines = profiles.profile_lines(self.world, self.profiles, self.closed_on, day, who)
                files.append(DataFile(customers_name, _table(profiles.HEADER, lines), len(who)))
            holders = profiles.with_news_of_accounts(self.world, day)
            if len(holders):
                lines = profiles.account_lines(
                    self.world, self.closed_on, self.books.overdraft_limit, self.account_numbers, day, holders
                )
                files.append(
                    DataFile(f"accounts_{on}.csv.gz", _table(profiles.ACCOUNT_HEADER, lines), len(lines))
                )
            body, count = reported.of(day)
            if count:
                files.append(DataFile(f"labels_{on}.csv.gz", labels.HEADER.encode() + body, count))
            body, count = happened.of(day)
            files.append(DataFile(events_name, body, count))
            self.written.events += count
            body, count = current.lines.of(day)
            total = text.rupees(current.paise_of(day))
            files.append(DataFile(transactions_name, statements.HEADER.encode() + body, count, total))
            self.written.days += 1
            self.written.files += len(files)
            self.written.customers += len(who)
            self.written.transactions += count
            yield day, files

    def _write_day(self, day: int, files: list[DataFile]) -> None:
        on = self.world.bank.start + timedelta(days=day)
        for file in files:
            put_file(self.files, file, known_at(on, TIMEZONE))


def _table(header: str, lines: Any) -> bytes:
    return (header + "".join(lines.to_pylist())).encode()
