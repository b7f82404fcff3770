"""Command line: `python -m simulation make …`, `ceiling …`, `difficulty …`, `compare …`."""

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from simulation.drift import DRIFTS, Drift
from simulation.parameters import Bank
from simulation.truth import TruthError

TASKS = ("churn", "fraud", "default", "purchase", "spend", "life")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write a simulated bank's files; those that are there stay")
    making.add_argument("--out", type=Path, required=True, help="gets files/ and truth/")
    making.add_argument("--customers", type=int, default=2000, help="of the neobank; the others have fewer")
    making.add_argument("--start", type=date.fromisoformat, required=True, help="first business date")
    making.add_argument("--days", type=int, default=730, help="length of the history")
    making.add_argument("--seed", type=int, default=7)
    making.add_argument(
        "--through", type=date.fromisoformat, help="last date to write; default: the history's last"
    )
    making.add_argument("--clients", default="neobank", help="of neobank, wallet, lender, joined by commas")
    making.add_argument("--difficulty", type=float, default=0.5, help="0 (easy) to 1 (hard)")
    making.add_argument(
        "--drift",
        type=Drift.parse,
        action="append",
        default=[],
        help=f"kind:size:day, the day counted from --start; kinds: {', '.join(DRIFTS)}",
    )
    making.add_argument(
        "--more-events",
        action="store_true",
        help="cars, saving for retirement, consent to sensitive things too",
    )
    contacting = commands.add_parser("contact", help="plant a campaign in the days that are made from now on")
    contacting.add_argument("--out", type=Path, required=True, help="the made bank: files/ and truth/")
    contacting.add_argument("--targets", type=Path, required=True, help="CSV with customer_id (make targets)")
    contacting.add_argument("--on", type=date.fromisoformat, required=True, help="as-of date of the list")
    contacting.add_argument("--uplift", type=float, required=True, help="share that responds because of it")
    ceiling = commands.add_parser("ceiling", help="what the truth reaches in a task, as JSON")
    ceiling.add_argument(
        "--truth",
        action="append",
        required=True,
        help="a truth folder; for predictions of several clients CLIENT=FOLDER, once for each",
    )
    ceiling.add_argument("--task", choices=TASKS, default="churn")
    ceiling.add_argument(
        "--predictions", type=Path, help="churn, default, fraud, purchase: Parquet, labels and scores"
    )
    ceiling.add_argument("--write", type=Path, help="gets the predictions' rows with the true probability")
    ceiling.add_argument("--months", type=int, default=12, help="default: length of the window of outcomes")
    ceiling.add_argument("--days", type=int, help="churn, purchase: length of the window of outcomes")
    ceiling.add_argument("--category", default="home_improvement", help="purchase: what is bought")
    ceiling.add_argument(
        "--judged-after", type=int, help="fraud: labels are what was reported so many days later"
    )
    ceiling.add_argument(
        "--judged-on", type=date.fromisoformat, help="fraud: labels are what was reported by this day"
    )
    difficulty = commands.add_parser("difficulty", help="how far a threshold on one feature gets, as a table")
    difficulty.add_argument("--seed", type=int, default=7)
    difficulty.add_argument("--difficulty", type=float, default=0.5)
    compare = commands.add_parser("compare", help="pictures of the bank beside real files")
    compare.add_argument("--bank", type=Path, required=True, help="files/ of a made bank")
    compare.add_argument("--real", type=Path, required=True, help="folder with birmingham/ and sparkov/")
    compare.add_argument("--out", type=Path, required=True, help="folder for the page's pictures")
    return parser


def _run(given: argparse.Namespace) -> dict[str, Any]:
    # Each command imports what only it needs.
    if given.command == "make":
        from simulation.clients import make_clients

        started = time.perf_counter()
        bank = Bank(
            *(given.customers, given.start, given.days, given.seed, given.difficulty),
            *(tuple(given.drift), given.more_events),
        )
        written = make_clients(bank, given.out, given.clients.split(","), given.through)
        return {**written, "seconds": round(time.perf_counter() - started, 2)}
    if given.command == "contact":
        from simulation.ceilings import read_identity
        from simulation.responses import contact
        from simulation.world import build_world

        world = build_world(*read_identity(given.out / "truth"))
        return contact(world, given.out, given.targets, given.on, given.uplift)
    if given.command == "ceiling" and given.task == "churn":
        from simulation.ceiling import WINDOW_DAYS, compute_ceiling

        if given.predictions is None:
            raise ValueError("the ceiling of churn is that of given rows: name them with --predictions")
        return compute_ceiling(
            _truth(given), given.predictions, given.days or WINDOW_DAYS, given.write
        ).as_dict()
    if given.command == "ceiling" and given.task == "purchase":
        from simulation.ceilings import PURCHASE_DAYS, purchase_ceiling_of_rows

        if given.predictions is None:
            raise ValueError("the ceiling of purchases is that of given rows: name them with --predictions")
        return purchase_ceiling_of_rows(
            _truth(given), given.predictions, given.category, given.days or PURCHASE_DAYS, given.write
        ).as_dict()
    if given.command == "ceiling" and given.task == "default":
        from simulation.ceilings import default_ceiling, default_ceiling_of_rows

        if given.months < 1:
            raise ValueError("--months must be 1 or more")
        if given.predictions:
            return default_ceiling_of_rows(
                _truth(given), given.predictions, given.months, given.write
            ).as_dict()
        return default_ceiling(Path(given.truth[0]), given.months)
    if given.command == "ceiling" and given.task == "fraud" and given.predictions:
        from simulation.ceilings import fraud_ceiling_of_rows

        return fraud_ceiling_of_rows(
            _truth(given), given.predictions, given.write, given.judged_after, given.judged_on
        ).as_dict()
    if given.command == "ceiling":
        from simulation.ceilings import TASKS as ceilings

        return ceilings[given.task](Path(given.truth[0]))
    from simulation.compare import compare

    return dict(compare(given.bank, given.real, given.out))


def _truth(given: argparse.Namespace) -> Path | dict[str, Path]:
    """The truth folder, or one by client."""
    named = dict(one.split("=", 1) for one in given.truth if "=" in one)
    return {client: Path(folder) for client, folder in named.items()} or Path(given.truth[0])


def main(arguments: list[str] | None = None) -> int:
    """Run one command; prints one JSON object or a table, or the reason why not on standard error."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "difficulty":
            from simulation.difficulty import as_text, measure_all

            sys.stdout.write(as_text(measure_all(given.seed, given.difficulty)))
            return 0
        result = _run(given)
    except (TruthError, ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
