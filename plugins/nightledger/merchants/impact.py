"""What a change of merchant rules and the corrections that wait for a night would change, before a night.

`python -m nightledger.merchants.impact` builds the working tree's rules and the waiting corrections on a
private copy of the publication, as if they had been known on its latest date, and prints how many
descriptors, transactions, features and scores of that date would be others. Nothing published changes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from nightledger import operations, warehouse
from nightledger.dbt import runner
from nightledger.engineering import comparing, diff, printing
from nightledger.engineering.comparing import TableDifference
from nightledger.engineering.session import DevError, Session, private_copy
from nightledger.merchants import nearest
from nightledger.publications import PublicationError
from nightledger.settings import Settings, SettingsError, read_settings

PROPOSALS = "model.nightledger.int_merchant_proposals"
"""What the rules lead to. Incremental models behind it are rebuilt whole by a change of rules."""
ANSWERS = ("merchant", "intermediary", "location", "subcategory", "tier", "confidence")
FEATURES = ("features_customers", "features_movements", "features_transactions", "features_velocity")

console = printing.make_console()


class ImpactError(RuntimeError):
    """The impact cannot be counted; the message says why."""


@dataclass
class Impact:
    """What would change."""

    publication: str
    as_of_date: date
    corrections: int
    """Entries that wait for a night."""
    others: list[str]
    """Models that differ from the published ones for other reasons than merchants."""
    descriptors: list[tuple[str, str, int]] = field(default_factory=list)
    """Tier before, tier after, descriptors."""
    transactions: dict[str, int] = field(default_factory=dict)
    """Transactions by what changes of them."""
    all_transactions: int = 0
    features: dict[str, TableDifference] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of the date by feature table."""
    scores: dict[str, Any] = field(default_factory=dict)


def measure(settings: Settings) -> Impact:
    """Build the change on a private copy and count.

    Raises:
        PublicationError: nothing is published.
        DevError: the copy cannot be made, or dbt cannot begin.
        ImpactError: a model could not be built.
    """
    publication = diff.find(settings, None)
    with private_copy(settings, publication) as copy:
        session = Session(settings, copy, publication)
        with warehouse.connect(copy, read_only=False, settings=settings) as connection:
            as_of_date = _begin(connection)
            waiting = _take_up(settings, connection)
        behind = _behind(session.manifest)
        others = sorted(name.rpartition(".")[2] for name in session.changed - behind)
        impact = Impact(publication.name, as_of_date, waiting, others)
        kinds = ("--resource-type", "model", "--resource-type", "seed")
        whole = ("--full-refresh",) if session.changed & behind else ()
        proposals = PROPOSALS.rpartition(".")[2]
        _build(session, [f"+{proposals}"], *kinds, *whole, "--exclude", proposals, "stg_transactions")
        with warehouse.connect(copy, read_only=False, settings=settings) as connection:
            nearest.resolve_nearest(connection)
        _build(
            session,
            ["path:models/intermediate", "path:models/features"],
            *(*kinds, "--exclude", *(name.rpartition(".")[2] for name in sorted(behind))),
        )
        _write_published(settings, publication, copy)
        with warehouse.connect(copy, settings=settings) as connection:
            literal = str(publication / warehouse.FILE).replace("'", "''")
            connection.execute(f"attach '{literal}' as published (read_only)")
            _count_merchants(connection, impact, copy)
            keys = comparing.keys(session.manifest)
            for table in FEATURES:
                relations = (("published", "features", table), ("warehouse", "features", table))
                if all(comparing.columns_of(connection, relation) for relation in relations):
                    impact.features[table] = comparing.compare(
                        connection, *relations, keys.get(f"features.{table}", ())
                    )
                    row = connection.execute(
                        f"select count(*) from features.{table} where as_of_date = ?",  # noqa: S608
                        [as_of_date],
                    ).fetchone()
                    impact.rows[table] = row[0] if row else 0
        impact.scores = _count_scores(copy)
    return impact


def _begin(connection: duckdb.DuckDBPyConnection) -> date:
    """Make the latest published date the one to build, and what is new known just before its cutoffs."""
    row = connection.execute("select max(as_of_date), min(cutoff_at) from ops.horizon").fetchone()
    if row is None or row[0] is None:
        raise ImpactError("the publication has no date")
    as_of_date, cutoff_at = row
    connection.execute("update ops.as_of_dates set is_tonight = (as_of_date = $day)", {"day": as_of_date})
    connection.execute("delete from ops.base_horizon")
    connection.execute(
        "insert into ops.base_horizon values ('', ?, ?)", [as_of_date, cutoff_at - timedelta(microseconds=1)]
    )
    day: date = as_of_date
    return day


def _behind(manifest: Mapping[str, Any]) -> set[str]:
    """The models that lead from staging to the proposals."""
    behind: set[str] = set()
    queue = list(manifest["parent_map"][PROPOSALS])
    while queue:
        name = queue.pop()
        if ".int_" in name and name not in behind:
            behind.add(name)
            queue += manifest["parent_map"][name]
    return behind


def _take_up(settings: Settings, connection: duckdb.DuckDBPyConnection) -> int:
    """Let the copy know the corrections that no night has used yet; operations.db stays as it is."""
    operations.snapshot(settings, connection)
    row = connection.execute(
        "update operations.merchant_corrections"
        " set known_at = (select max(cutoff_at) from ops.base_horizon) where known_at is null"
    ).fetchone()
    return int(row[0]) if row else 0


def _build(session: Session, chosen: list[str], *others: str) -> None:
    broken = [node for node in session.run("build", chosen, *others) if node.status in runner.BROKEN]
    if broken:
        lines = "\n".join(f"- {node.name}: {node.message}" for node in broken)
        raise ImpactError(f"the rules cannot be built:\n{lines}")


def _write_published(settings: Settings, publication: Path, copy: Path) -> None:
    """Write what the publication says as Parquet: beside the copy, its views would read the copy."""
    with warehouse.connect(publication, settings=settings) as connection:
        for table in ("int_merchants", "int_transactions"):
            literal = str(copy / f"{table}.parquet").replace("'", "''")
            connection.execute(f"copy (from intermediate.{table} where superseded_at is null) to '{literal}'")


def _count_merchants(connection: duckdb.DuckDBPyConnection, impact: Impact, copy: Path) -> None:
    before, after = (
        f"row({', '.join(f'{side}.{name}' for name in ANSWERS)})" for side in ("before", "after")
    )
    impact.descriptors = connection.execute(
        f"""
        select before.tier, after.tier, count(*)
        from read_parquet($published) as before
        join (from intermediate.int_merchants where superseded_at is null) as after using (descriptor)
        where {before} is distinct from {after}
        group by all order by 3 desc, 1, 2
        """,  # noqa: S608 - fixed names
        {"published": str(copy / "int_merchants.parquet")},
    ).fetchall()
    names = ("merchant", "category", "subcategory", "movement", "spend_amount")
    differs = [f"before.{name} is distinct from after.{name}" for name in names]
    row = connection.execute(
        f"""
        select count(*), count(*) filter (where {" or ".join(differs)}),
               {", ".join(f"count(*) filter (where {condition})" for condition in differs)}
        from read_parquet($published) as before
        join (from intermediate.int_transactions where superseded_at is null) as after
            using (transaction_key, version)
        """,  # noqa: S608 - fixed names
        {"published": str(copy / "int_transactions.parquet")},
    ).fetchone() or (0,) * (2 + len(names))
    impact.all_transactions = row[0]
    impact.transactions = dict(zip(("anything", *names), row[1:], strict=True))


def _count_scores(copy: Path) -> dict[str, Any]:
    """Score the copy with the pinned models, in a process of its own: this package knows no models."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "ml.impact", str(copy)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return {"why": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "scoring failed"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def show(impact: Impact) -> None:
    """Print what would change."""
    console.print(
        f"Today's rules and the entries that wait ({impact.corrections:,}), beside publication "
        f"{impact.publication}, as if they had been known on {impact.as_of_date}:\n"
    )
    if impact.others:
        console.print(
            f"[yellow]These models have changed too, so not all below is due to merchants:[/] "
            f"{', '.join(impact.others)}\n"
        )
    rows = [[f"{before} → {after}", count] for before, after, count in impact.descriptors]
    total = sum(count for _, _, count in impact.descriptors)
    printing.show(console, "Descriptors by tier", ("tier", "would change"), [*rows, ["all", total]])
    rows = [[name, count] for name, count in impact.transactions.items()]
    title = f"Transactions, of {impact.all_transactions:,} current ones"
    printing.show(console, title, ("what", "would change"), rows)
    for name, difference in impact.features.items():
        if difference.shape or not difference.key:
            console.print(f"\n{name} cannot be compared: {'; '.join(difference.shape) or 'it has no key'}")
            continue
        title = f"{name}: {difference.changed:,} of {impact.rows[name]:,} rows would change"
        rows = [[column.name, column.rows, column.largest] for column in difference.columns]
        printing.show(console, title, ("feature", "rows", "by at most"), rows or [["none", 0, None]])
    if "why" in impact.scores:
        console.print(f"\nScores could not be compared: {impact.scores['why']}", markup=False)
        return
    if not impact.scores["models"]:
        console.print(f"\nNo model has scored {impact.as_of_date}.")
    headings = ("model", "scores", "changed", "bands", "largest")
    rows = [[score[name] for name in headings] for score in impact.scores["models"]]
    columns = ("model", "scores", "would change", "of these, band", "by at most")
    printing.show(console, f"Scores of {impact.as_of_date}", columns, rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.merchants.impact", description=__doc__)
    parser.parse_args(arguments)
    try:
        show(measure(read_settings()))
    except (DevError, ImpactError, PublicationError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
