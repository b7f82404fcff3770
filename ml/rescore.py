"""Score the last date of the current publication again, aside, and say what each model says.

`make score` prints a line a model: rows, bands, the money expected to be at stake, and whether every score is
the published one. Nothing is published, and the home is left as it was.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml import scoring
from ml.datasets import read_publication
from ml.features import DatasetError
from ml.registry import RegistryError
from nightledger import warehouse
from nightledger.settings import Settings, SettingsError, read_settings


def rescore(settings: Settings) -> list[dict[str, Any]]:
    """Score with the versions that are pinned to the publication's last date.

    Returns:
        By model, version, role and client: rows, bands (`{name: rows}`), expected (sum of the expected values
        in base currency; None without exposure), new (scores that were not published) and changed (scores
        that differ from the published ones in any bit).

    Raises:
        ml.features.DatasetError: nothing is published.
        ml.scoring.ScoringRefused: a version does not fit the features.
        ml.registry.RegistryError: a version is gone or was changed.
    """
    publication = read_publication(settings)
    with tempfile.TemporaryDirectory(prefix="nightledger-score-") as folder:
        aside = Path(folder)
        for name in (warehouse.FILE, "manifest.json"):
            (aside / name).symlink_to(publication.path / name)
        scoring.score_night(settings, aside)
        lake = str(aside / "lake" / "scores" / "*" / "*" / "*" / "*.parquet")
        if not any(aside.glob("lake/scores/*/*/*/*.parquet")):
            return []
        with warehouse.connect(aside, settings=settings) as connection:
            found = connection.execute(
                """
                with counted as (
                    select n.model, n.model_version, n.role, n.client_id, n.band, count(*) as rows,
                        sum(n.expected_value) as expected,
                        count(*) filter (where p.score is null) as new,
                        count(*) filter (where p.score is not null and p.score <> n.score) as changed
                    from read_parquet($lake, hive_partitioning = false) as n
                    left join marts.fct_scores as p
                        using (client_id, model, model_version, entity, entity_id, as_of_date)
                    group by all
                )
                select model, model_version, role, client_id, sum(rows)::bigint as rows,
                    map(list(band order by band), list(rows order by band)) as bands,
                    sum(expected) as expected, sum(new)::bigint as new, sum(changed)::bigint as changed
                from counted group by all order by all
                """,
                {"lake": lake},
            )
            names = [column for column, *_ in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def main(arguments: list[str] | None = None) -> int:
    """Score aside and print; returns the exit code: 1 when a score differs from the published one."""
    argparse.ArgumentParser(prog="ml.rescore", description=__doc__).parse_args(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    started = time.monotonic()
    try:
        rows = rescore(read_settings())
    except (DatasetError, scoring.ScoringRefused, RegistryError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not rows:
        console.print("No model version is pinned to the last date: `make train`, then a night.")
        return 0
    table = Table(box=None, pad_edge=False, title="Scored aside", title_justify="left", title_style="bold")
    for name in ("model", "version", "role", "client", "rows", "bands", "expected value", "as published"):
        table.add_column(name, justify="right" if name in ("rows", "expected value") else "left")
    for row in rows:
        same = (
            "yes" if not row["new"] and not row["changed"] else f"{row['new']} new, {row['changed']} differ"
        )
        table.add_row(
            *(row["model"], row["model_version"], row["role"], row["client_id"], f"{row['rows']:,}"),
            ", ".join(f"{count:,} {band}" for band, count in row["bands"].items()),
            "" if row["expected"] is None else f"{row['expected']:,.2f}",
            same,
        )
    console.print(table)
    console.print(f"{sum(row['rows'] for row in rows):,} scores in {time.monotonic() - started:.1f} s.")
    return 1 if any(row["changed"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
