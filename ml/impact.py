"""Score a private copy of a publication and count what differs from its published scores.

`python -m ml.impact COPY` prints it as JSON; `nightledger.merchants.impact` asks for it.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ml import scoring
from ml.registry import RegistryError
from nightledger import warehouse
from nightledger.settings import Settings


def compare(settings: Settings, copy: Path) -> list[dict[str, Any]]:
    """Score the dates that the copy counts as tonight's, with the versions that scored them when published.

    Args:
        settings: registry, clients, threads.
        copy: a directory with a warehouse and an empty lake; its lake is written.

    Returns:
        By model: scores that both have, how many differ, how many of these in their band, the largest
        difference.
    """
    scoring.score_night(settings, copy)
    lake = str(copy / "lake" / "scores" / "*" / "*" / "*" / "*.parquet")
    with warehouse.connect(copy, settings=settings) as connection:
        rows = connection.execute(
            """
            select p.model, count(*) as scores, count(*) filter (where n.score <> p.score) as changed,
                   count(*) filter (where n.band is distinct from p.band) as bands,
                   coalesce(max(abs(n.score - p.score)), 0) as largest
            from marts.fct_scores as p
            join read_parquet($lake, hive_partitioning = false) as n
                using (client_id, model, model_version, entity, entity_id, as_of_date)
            group by p.model order by p.model
            """,
            {"lake": lake},
        ).fetchall()
    return [dict(zip(("model", "scores", "changed", "bands", "largest"), row, strict=True)) for row in rows]


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.impact", description=__doc__)
    parser.add_argument("copy", type=Path, help="directory of a private copy")
    given = parser.parse_args(arguments)
    try:
        found = compare(Settings(), given.copy)
    except (scoring.ScoringRefused, RegistryError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps({"models": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
