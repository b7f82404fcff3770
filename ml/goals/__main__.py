"""Whether a learned ranker tells life events better than the rules: `make evaluate-goals CLIENT=… TRUTH=…`.

It may take the place of the rules where it beats popularity and the rules, beyond doubt; else the rules
stand. Popularity is that of the customer's segment, and by age where there was none. Figures are printed and
kept as CSV: in OUT, else below `evaluations` in the home.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
from rich.console import Console
from rich.table import Table

from ml.goals.cases import GoalsError, read, read_truth
from ml.goals.ranking import AT, LISTS, Comparison, compare
from ml.intervals import Estimate
from nightledger import warehouse
from nightledger.settings import Settings, SettingsError, read_settings


def show(result: Comparison, console: Console) -> None:
    """Print the comparison and what follows from it."""
    metrics = tuple(dict.fromkeys(metric for _, metric in result.found))
    table = Table(
        title=f"The first {AT} events; {result.judged:,} cases judged, {result.learnt:,} learnt from"
    )
    for column in ("list", *metrics):
        table.add_column(column)
    for name in LISTS:
        table.add_row(name, *(_said(result.found[name, metric]) for metric in metrics))
    for better, than in dict.fromkeys((better, than) for better, than, _ in result.gained):
        table.add_row(
            f"{better} − {than}", *(_said(result.gained[better, than, metric], "+") for metric in metrics)
        )
    console.print(table)
    console.print(
        f"Popularity goes by the segment (segments_rfm) in {result.by_segment:.0%} of the cases judged, by"
        " the age where nobody had a segment yet on the date."
    )
    console.print(
        f"Of the cases judged with any evidence, {result.several:.0%} have it for two events or more: what is"
        " told first can be another event in these only."
    )
    console.print(
        "The ranker is better than popularity and the rules, beyond doubt: it may rank."
        if result.ranker_wins
        else "The ranker is not better than both popularity and the rules in both metrics: the rules stand."
    )


def _said(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.3f} ({one.lo:{sign}.3f} … {one.hi:{sign}.3f})"


def write(result: Comparison, target: Path) -> None:
    """Keep the figures as CSV."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [(name, "", metric, one) for (name, metric), one in result.found.items()]
    rows += [(name, than, metric, one) for (name, than, metric), one in result.gained.items()]
    table = pa.table(
        {
            "list": [row[0] for row in rows],
            "minus": [row[1] for row in rows],
            "metric": [row[2] for row in rows],
            **{end: [getattr(row[3], end) for row in rows] for end in ("value", "lo", "hi")},
        }
    )
    pa_csv.write_csv(table, target)


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
    except (GoalsError, SettingsError, OSError, duckdb.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _run(settings: Settings, client_id: str, truth: Path, target: Path) -> None:
    path = warehouse.publication_path(settings)
    if path is None:
        raise GoalsError(f"nothing has been published in {settings.home} yet: run a history first")
    with warehouse.connect(path, settings=settings) as connection:
        result = compare(read(connection, client_id, read_truth(truth)))
    write(result, target)
    console = Console()
    show(result, console)
    console.print(f"Figures: {target}")


if __name__ == "__main__":
    sys.exit(main())
