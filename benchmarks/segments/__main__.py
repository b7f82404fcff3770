"""`make bench-segments` writes docs/reference/segments-measured.md from the current publication."""

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import cast

import sklearn

from benchmarks.segments import challengers, million, year
from ml import config
from ml.datasets import read_publication
from ml.families import TooLittle
from ml.features import read_features
from ml.segments.config import Segments
from nightledger import warehouse
from nightledger.settings import read_settings

MODELS = ("segments_rfm", "segments_spend")


def page(client: str, rows: int, customers: int) -> str:
    """Everything measured, as Markdown.

    Args:
        client: whose customers.
        rows: that the methods are compared on, at most.
        customers: that are assigned.
    """
    settings = read_settings()
    publication = read_publication(settings)
    parts = [
        "# Segments, measured",
        "",
        f"Written by `make bench-segments` on publication {publication.id}, client {client}. "
        f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, scikit-learn "
        f"{sklearn.__version__}. What the figures mean: [segments](segments.md).",
        "",
        "Each row is a fit on the year before a quarter's end, which carries over the names of the one "
        "above. **Same name**: customers of its last month-end whom both versions call the same. **Same "
        "number**: the same if segments had no names and were numbered by the coordinates of their centres. "
        "**Stability**: mean (and least) agreement with the bootstraps.",
    ]
    compared: list[str] = []
    with warehouse.connect(publication.path, settings=settings) as connection:
        for model in MODELS:
            described = cast(Segments, config.read(model))
            parts += ["", f"## {model}: do names hold over a year?", ""]
            try:
                found = year.refits(connection, described, read_features(publication.path, described), client)
            except TooLittle as refused:
                parts.append(str(refused))
                continue
            parts += year.lines(found, year.stayed(connection, found, described, client))
            scaled, owners = year.scaled_rows(connection, described, client, rows)
            k, rules = found[-1].fitted.chosen.k, described.clusters
            results = challengers.compare(scaled, owners, k, described.seed)
            best, why = challengers.winner(
                results, rules.mean_agreement, rules.least_agreement, rules.smallest_share
            )
            people = len(set(owners.tolist()))
            compared += ["", f"### {model}, {len(scaled):,} rows of {people:,} customers", ""]
            compared += _compared(results)
            compared += ["", f"**{best} wins**: {why}."]
    parts += ["", "## K-Means beside a density method and an autoencoder", ""]
    parts += [" ".join((challengers.__doc__ or "").split("\n\n")[1].split())]
    parts += [
        "",
        "Silhouettes are those of the scaled space in which K-Means looks for its centres and in which "
        "segments are described to people; a method that finds other shapes is at a disadvantage there.",
        *compared,
    ]
    parts += ["", "## A million customers", "", " ".join((million.__doc__ or "").split())]
    parts += [f"Load average of the last quarter of an hour before: {os.getloadavg()[2]:.1f}.", ""]
    parts += ["| model | customers | wall s (CPU s) | peak GB | |", "|---|---:|---:|---:|---|"]
    for model in MODELS:
        took = million.measure(model, customers)
        reached = took["seconds"] <= million.MOST_SECONDS and took["peak_gb"] < million.MOST_GB
        parts.append(
            f"| {model} | {took['rows']:,} | {took['seconds']:.1f} ({took['cpu_seconds']:.1f}), at most "
            f"{million.MOST_SECONDS:g} | {took['peak_gb']:.2f}, under {million.MOST_GB:g} | "
            f"{'reached' if reached else '**missed**'} |"
        )
    return "\n".join(parts) + "\n"


def _compared(results: list[challengers.Result]) -> list[str]:
    return [
        "| method | segments | mean agreement | least agreement | silhouette | smallest share "
        "| put nowhere | CPU s of a fit |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {one.method} | {one.segments} | {one.mean_agreement:.3f} | {one.least_agreement:.3f} "
            f"| {one.silhouette:.3f} | {one.smallest:.1%} | {one.unassigned:.1%} | {one.seconds:.2f} |"
            for one in results
        ),
    ]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", default="demo_bank")
    parser.add_argument("--rows", type=int, default=5000, help="that the methods are compared on, at most")
    parser.add_argument("--customers", type=int, default=1_000_000, help="that are assigned")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    text = page(given.client, given.rows, given.customers)
    sys.stdout.write(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
