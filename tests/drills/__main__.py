"""`python -m tests.drills`: every fault of the night, and the table of what became of it."""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from tests.drills import children, disk, kills, others, table
from tests.drills.bench import Bench
from tests.drills.drill import Drill, Result
from tests.helpers.steps import without_data_tests

TABLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.md"

GROUPS: dict[str, Callable[[Drill], None]] = {
    "kills": kills.at_random,
    "open": lambda drill: kills.at_steps(drill, "open", take_over_every=2),
    "publish": lambda drill: kills.at_steps(drill, "publish", take_over_every=4),
    "disk": disk.full,
    "reader": others.held_reader,
    "two": others.two_nights,
    "clock": others.clocks,
    "files": others.changing_files,
    "base": others.damaged_base,
    "locked": others.locked_database,
}


LANES = (("kills", "open", "two", "locked"), ("publish", "disk", "reader", "clock", "files", "base"))
"""Worked through side by side, each in a home of its own; about as long as one another."""


def quick(drill: Drill) -> None:
    """A minute's worth, for every change, compared with the undisturbed night, which passed dbt's tests."""
    with without_data_tests():
        kills.at_steps(drill, "publish", take_over_every=3, at_most=3)
        kills.at_steps(drill, "open", take_over_every=2, at_most=1)
        others.damaged_base(drill, ("bytes flipped in the middle",))
        others.locked_database(drill, ("publish",))


def main() -> int:
    """Run the groups that were asked for; 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="tests.drills", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[*GROUPS], default=[*GROUPS])
    parser.add_argument("--quick", action="store_true", help="a few faults of each kind")
    parser.add_argument("--start", type=Path, help="a home to begin from; default: one is made")
    parser.add_argument("--seed", type=int, default=4, help="of the random instants")
    parser.add_argument("--table", type=Path, help="default: the page in docs/reference, if all groups ran")
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.in_namespace:
        _enter_namespace()
    started = time.monotonic()
    children.preload()
    lanes = [[name for name in lane if name in arguments.only] for lane in LANES]
    with ProcessPoolExecutor(len(LANES), mp_context=children.FORK) as pool:
        ended = pool.map(
            _run_lane,
            [["quick"]] if arguments.quick else [lane for lane in lanes if lane],
            itertools.repeat(arguments.seed),
            itertools.repeat(arguments.start),
        )
        results = list(ended)
    rows = [row for result in results for row in result.rows]
    seconds = time.monotonic() - started
    console = Console(soft_wrap=True)
    lost = [row for row in rows if row.wrong]
    console.print(f"{len(rows)} faults, {len(lost)} with losses, {seconds / 60:.0f} min")
    is_whole = set(arguments.only) == set(GROUPS) and not arguments.quick
    target = arguments.table or (TABLE if is_whole else None)
    if target:
        table.write(target, results, arguments.seed, seconds)
        console.print(f"The table is in {target}.")
    return 1 if lost else 0


def _run_lane(names: Sequence[str], seed: int, start: Path | None) -> Result:
    """Make a start and run groups of faults on it; called in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="nightledger-drill-") as folder:
        drill = Drill(Bench(Path(folder), made=start), Console(soft_wrap=True), seed)
        drill.prepare()
        for name in names:
            (GROUPS | {"quick": quick})[name](drill)
        return Result(drill.rows, drill.seconds, drill.bench.customers, drill.bench.days)


def _enter_namespace() -> None:
    """Go on in a mount namespace of our own, where the small disk harms nobody and ends with us.

    Where the system allows none, the drill goes on without: disks are then made full by a limit.
    """
    unshare = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    try:
        allowed = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if allowed:
        again = [sys.executable, "-m", "tests.drills", *sys.argv[1:], "--in-namespace"]
        os.execvp(unshare[0], [*unshare, *again])


if __name__ == "__main__":
    sys.exit(main())
