"""Command line: `python -m simulation make …` and `python -m simulation ceiling …`."""

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path

from simulation.ceiling import compute_ceiling
from simulation.files import make
from simulation.parameters import Bank
from simulation.truth import TruthError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write a simulated bank's files; those that are there stay")
    making.add_argument("--out", type=Path, required=True, help="gets files/ and truth/")
    making.add_argument("--customers", type=int, default=2000)
    making.add_argument("--start", type=date.fromisoformat, required=True, help="first business date")
    making.add_argument("--days", type=int, default=730, help="length of the history")
    making.add_argument("--seed", type=int, default=7)
    making.add_argument(
        "--through", type=date.fromisoformat, help="last date to write; default: the history's last"
    )
    ceiling = commands.add_parser("ceiling", help="average precision of the true probability, as JSON")
    ceiling.add_argument("--truth", type=Path, required=True)
    ceiling.add_argument("--predictions", type=Path, required=True, help="Parquet with labels and scores")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; prints one JSON object, or the reason why not on standard error."""
    given = _parser().parse_args(arguments)
    started = time.perf_counter()
    try:
        if given.command == "make":
            bank = Bank(given.customers, given.start, given.days, given.seed)
            written = make(bank, given.out, given.through)
            result = {**written.as_dict(), "seconds": round(time.perf_counter() - started, 2)}
        else:
            result = compute_ceiling(given.truth, given.predictions).as_dict()
    except (TruthError, ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
