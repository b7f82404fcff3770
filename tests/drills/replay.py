"""`python -m tests.drills.replay`: the same nights twice from the same start, compared hash by hash.

Two homes start as copies of one: a simulated bank's history and a model trained on it. Then each night runs
in both, each home in a process of its own, and the content hashes of what they publish are compared. Exit
code 1 when a night differs; the tables that differ are named.
"""

import argparse
import logging
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from nightledger import publications
from nightledger.governance import ledger
from nightledger.settings import Settings
from tests.helpers.steps import LAST, first_model, run_night

SHOWN = 16
"""Characters of a hash in the table; all of it is compared."""
HEADER = ("night", "publication", "content hash A", "content hash B", "same", "rows", "scores", "seconds")


@dataclass(frozen=True)
class Bank:
    """The simulated bank that both homes read."""

    folder: Path
    customers: int
    start: date
    days: int
    seed: int

    def write(self, through: date) -> None:
        """Let the bank write its files up to a day."""
        subprocess.run(
            [
                *(sys.executable, "-m", "simulation", "make", "--out", str(self.folder)),
                *("--seed", str(self.seed), "--customers", str(self.customers)),
                *("--start", str(self.start), "--days", str(self.days), "--through", str(through)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def settings(self, home: Path) -> Settings:
        """Settings of a home that reads this bank's files."""
        return Settings(home=home, inbox=self.folder / "files", _env_file=None)


@dataclass(frozen=True)
class Result:
    """What one night published in one home."""

    publication: str
    content_hash: str
    tables: dict[str, list[object]]
    seconds: float


def run(settings: Settings, day: date, kind: str = "nightly") -> Result:
    """Run one night in this process."""
    logging.disable(logging.WARNING)
    started = time.monotonic()
    published = run_night(settings, f"{kind}/{day}", day, kind)
    if published is None:
        raise RuntimeError(f"the night of {day} had nothing to do")
    path = settings.builds / published["publication_id"]
    seconds = time.monotonic() - started
    return Result(path.name, published["content_hash"], publications.describe(path)["tables"], seconds)


def start(settings: Settings, day: date) -> str:
    """History up to a day and a model trained on it; returns what the model is, in words."""
    run(settings, day, "history")
    first_model(settings)
    decision = ledger.last_decision(settings, "churn")
    if decision is None or decision["decision"] != "promoted":
        reason = decision["reason"].rstrip(".") if decision else "none was trained"
        return f"no model, so no scores: {reason}"
    return f"scores by churn {decision['version']}"


def compare(one: Result, two: Result) -> list[str]:
    """Tables whose content differs."""
    names = sorted(one.tables.keys() | two.tables.keys())
    return [name for name in names if one.tables.get(name) != two.tables.get(name)]


def row(day: date, one: Result, two: Result) -> tuple[str, ...]:
    """One line of the table."""
    counts = [count for count, _ in one.tables.values() if isinstance(count, int)]
    scores = one.tables.get("staging.stg_scores", [0])[0]
    same = "yes" if one.content_hash == two.content_hash else "NO"
    hashes = (one.content_hash[:SHOWN], two.content_hash[:SHOWN])
    seconds = f"{max(one.seconds, two.seconds):.1f}"
    return (str(day), one.publication, *hashes, same, f"{sum(counts):,}", f"{scores:,}", seconds)


def replay(bank: Bank, nights: list[date], folder: Path, console: Console) -> tuple[list[str], bool]:
    """Run the nights in two homes; returns the lines of the report and whether all nights were the same."""
    with console.status("The bank writes its history …"):
        bank.write(nights[0] - timedelta(days=1))
    context = multiprocessing.get_context("spawn")
    homes = [bank.settings(folder / name) for name in ("a", "b")]
    with ProcessPoolExecutor(1, context) as first, ProcessPoolExecutor(1, context) as second:
        with console.status("History and a first model …"):
            model = first.submit(start, homes[0], nights[0] - timedelta(days=1)).result()
            shutil.copytree(homes[0].home, homes[1].home, symlinks=True)
        console.print(f"{len(nights)} nights, {bank.customers:,} customers, {model}.")
        lines = [f"{bank.customers:,} customers, seed {bank.seed}, history from {bank.start}; {model}.", ""]
        lines += [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
        all_same = True
        for number, day in enumerate(nights, 1):
            bank.write(day)
            pending = [pool.submit(run, home, day) for pool, home in zip((first, second), homes, strict=True)]
            one, two = (future.result() for future in pending)
            cells = row(day, one, two)
            lines.append(f"| {' | '.join(cells)} |")
            console.print(f"[{number:>2}/{len(nights)}] {'  '.join(cells)}", highlight=False)
            if different := compare(one, two):
                all_same = False
                console.print(f"        differs in {', '.join(different)}", style="red")
                lines += ["", f"The night of {day} differs in {', '.join(different)}.", ""]
    return lines, all_same


def main() -> int:
    """Run the comparison; 1 when a night differs."""
    parser = argparse.ArgumentParser(prog="tests.drills.replay", description=__doc__)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument(
        "--last", type=date.fromisoformat, default=LAST, help="business date of the last night"
    )
    parser.add_argument("--customers", type=int, default=400)
    parser.add_argument(
        "--days", type=int, default=420, help="length of the bank's life, the nights included"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", type=Path, help="write the table to this page")
    given = parser.parse_args()
    if given.nights < 1 or given.nights >= given.days:
        parser.error("there must be at least one night, and some history before the first")
    nights = [given.last - timedelta(days=ago) for ago in reversed(range(given.nights))]
    # Asked to stop, end the two worker processes as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=max(120, Console().width))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nightledger-replay-") as folder:
        begin = given.last - timedelta(days=given.days - 1)
        bank = Bank(Path(folder) / "bank", given.customers, begin, given.days, given.seed)
        try:
            lines, all_same = replay(bank, nights, Path(folder), console)
        except RuntimeError as error:
            console.print(
                f"A night failed, so nothing more can be compared: {error}", style="red", markup=False
            )
            return 1
        finally:
            for path in Path(folder).rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o750)  # publications are read-only
    minutes = (time.monotonic() - started) / 60
    verdict = "every night is the same" if all_same else "NOT every night is the same"
    summary = f"{len(nights)} nights run twice in {minutes:.1f} min: {verdict}."
    console.print(summary, style="green" if all_same else "red")
    if given.write:
        page = [
            "# The same nights twice",
            "",
            f"Written by `make drill-replay NIGHTS={len(nights)}`. Two homes start as copies of one, with a",
            "history and a model; each night runs in both, each home in a process of its own. The hash",
            "covers every row of every published table, and all its characters are compared; rows and",
            "scores are those of A.",
            "",
            f"{summary} {lines[0]}",
            *lines[1:],
        ]
        given.write.parent.mkdir(parents=True, exist_ok=True)
        given.write.write_text("\n".join(page) + "\n")
    return 0 if all_same else 1


if __name__ == "__main__":
    sys.exit(main())
