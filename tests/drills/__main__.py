"""`python -m tests.drills`: every fault of the night, and the table of what became of it."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.drills import children, disk, kills, others
from tests.drills.bench import Bench
from tests.drills.drill import Drill

GROUPS = {
    "publish": lambda drill: kills.at_steps(drill, "publish", take_over_every=4),
    "open": lambda drill: kills.at_steps(drill, "open", take_over_every=2),
    "kills": kills.at_random,
    "disk": disk.full,
    "reader": others.held_reader,
    "two": others.two_nights,
    "clock": others.clocks,
    "files": others.changing_files,
    "base": others.damaged_base,
    "locked": others.locked_database,
}


def main() -> int:
    """Run the groups that were asked for; 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="tests.drills", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[*GROUPS], default=[*GROUPS])
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    started = time.monotonic()
    console = Console(soft_wrap=True)
    children.preload()
    with tempfile.TemporaryDirectory(prefix="nightledger-drill-") as folder:
        drill = Drill(Bench(Path(folder)), console, arguments.seed)
        drill.prepare()
        for name in arguments.only:
            GROUPS[name](drill)
    lost = [row for row in drill.rows if row.wrong]
    console.print(f"{len(drill.rows)} faults, {len(lost)} with losses, {time.monotonic() - started:.0f} s")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
