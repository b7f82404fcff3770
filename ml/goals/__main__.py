"""Whether a learned ranker tells life events better than the rules: `make evaluate-goals CLIENT=… TRUTH=…`.

What happened is read from a file, as if it had been known at once; `make evaluate MODEL=life_events.<client>`
reads it from the feed `labels`, as it was told. Figures are printed and kept as CSV: in OUT, else below
`evaluations` in the home.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import duckdb
from rich.console import Console

from ml import config
from ml.datasets import read_publication
from ml.families import TooLittle
from ml.features import DatasetError
from ml.goals import learning, report
from ml.goals.cases import GoalsError, read_truth
from ml.goals.config import Goals
from nightledger import warehouse
from nightledger.settings import Settings, SettingsError, read_settings

MODEL = "life_events"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.goals", description=__doc__)
    parser.add_argument("--truth", type=Path, required=True, help="customer_id, kind, date of what happened")
    parser.add_argument("--client", required=True, help="name of a file in clients/")
    parser.add_argument(
        "--out", default="", help="file to write; default: evaluations/goals_<client>.csv in the home"
    )
    given = parser.parse_args(arguments)
    try:
        settings = read_settings()
        target = Path(given.out) if given.out else settings.home / "evaluations" / f"goals_{given.client}.csv"
        _run(settings, given.client, given.truth, target)
    except (GoalsError, TooLittle, DatasetError, SettingsError, OSError, duckdb.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _run(settings: Settings, client_id: str, truth: Path, target: Path) -> None:
    rules = cast(Goals, config.read(MODEL)).model_copy(update={"delay_days": 0})
    publication = read_publication(settings)
    happened = read_truth(truth)
    with warehouse.connect(publication.path, settings=settings) as connection:
        days = learning.open_dates(connection, rules, client_id, publication.as_of_date)
        sides = learning.latest_third(rules, days, client_id)
        result = learning.learn(
            connection, publication, rules, client_id, sides, happened, happened
        ).comparison
    report.write_figures(result, target)
    console = Console()
    report.show(rules, result, console)
    console.print(f"Figures: {target}")


if __name__ == "__main__":
    sys.exit(main())
