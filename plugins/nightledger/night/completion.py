"""Writes everything that a publication consists of into an audited build; publishing it comes next."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

from nightledger import operations, publications, warehouse
from nightledger.night import about
from nightledger.night.lock import Night
from nightledger.publications import PublicationError, damage
from nightledger.settings import Settings

ARCHIVED = (
    *("id", "as_of_date", "as_of_dates", "kind", "night_of", "run", "base", "code_revision", "duckdb"),
    *("models", "content_hash", "warehouse_sha256"),
)
"""What the archive keeps of `publication.json`; the rest, tables and files, is long."""


def complete(settings: Settings, night: Night, build: Path) -> None:
    """Write manifest, results, description and archive; may be repeated.

    Raises:
        PublicationError: the warehouse holds a relation that nobody declared.
    """
    if (build / "publication.json").exists() and damage(build) is None:
        # A try that died while it was sealing: dbt's own files may be gone, and nothing has changed since.
        archive_scores(settings, night.publication_id, build)
        return
    shutil.copyfile(build / "target" / "manifest.json", build / "manifest.json")
    results = {
        path.stem.removeprefix("run_results_"): json.loads(path.read_text())
        for path in sorted(build.glob("run_results_*.json"))
    }
    (build / "run_results.json").write_text(json.dumps(results))
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        settle_relations(settings, night.base, build, connection)
        checks = json.loads((build / "audit.json").read_text())["checks"]
        late = about.late_sources(connection, night.run)
        about.write(connection, night, checks, late, operations.clock())
        dates, models, loads, horizon = (
            connection.execute(query).fetchall()
            for query in (
                "select distinct as_of_date::varchar from ops.as_of_dates where is_tonight order by 1",
                "select model, as_of_date::varchar as as_of_date, model_version, role from ops.model_pins"
                " where as_of_date in (select as_of_date from ops.as_of_dates where is_tonight) order by all",
                "select load_id from ops.loads order by 1",
                "select max(as_of_date)::varchar from ops.horizon",
            )
        )
        connection.execute("checkpoint warehouse")
    content, checksum = _fingerprints(settings, build)
    description = {
        "id": night.publication_id,
        "as_of_date": horizon[0][0],
        "kind": night.kind,
        "night_of": night.night_of,
        "as_of_dates": [row[0] for row in dates],
        "run": night.run,
        "base": night.base,
        "code_revision": night.code_revision,
        "duckdb": duckdb.__version__,
        "models": [dict(zip(("model", "as_of_date", "version", "role"), row, strict=True)) for row in models],
        "warehouse_sha256": checksum,
        "content_hash": content["hash"],
        "tables": content["tables"],
        "load_ids": [row[0] for row in loads],
    }
    (build / "publication.json").write_text(json.dumps(description, indent=1))
    archive_scores(settings, night.publication_id, build)


def _fingerprints(settings: Settings, build: Path) -> tuple[dict[str, Any], str]:
    """What the closed warehouse says (`warehouse.content_hash`) and its bytes' SHA-256, read side by side."""
    with (
        ThreadPoolExecutor(max_workers=1) as bytes_of_it,
        warehouse.connect(build, settings=settings) as connection,
    ):
        checksum = bytes_of_it.submit(publications.checksum, build / warehouse.FILE)
        return warehouse.content_hash(connection), checksum.result()


def archive_scores(settings: Settings, publication_id: str, build: Path) -> None:
    """Keep what scoring wrote, so that a score can be replayed after its publication is gone.

    Scores, reasons, vectors and what they were made with are copied as they are; beside them
    stands of which publication, and by which git revision.
    """
    archived = settings.archive / publication_id
    if archived.exists():
        return
    part = archived.with_name(f"{publication_id}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(build / "lake", part, ignore=shutil.ignore_patterns("model=_empty"))
    description = publications.describe(build)
    (part / "publication.json").write_text(
        json.dumps({name: description[name] for name in ARCHIVED if name in description}, indent=1)
    )
    part.rename(archived)


def settle_relations(
    settings: Settings, base: str | None, build: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    """Drop what a deleted model left behind; refuse relations that nobody declared."""
    known = _declared(build)
    # Tables of one source only: ingestion makes them, and no dbt project can know all sources.
    made = connection.execute("select table_name from ops.raw_tables").fetchall()
    known |= {("raw", name) for (name,) in made}
    before = _declared(settings.builds / base) if base else set()
    for schema, name, kind in warehouse.relations(connection):
        if (schema, name) in known or schema in warehouse.RUN_SCHEMAS:
            continue
        if (schema, name) not in before:
            raise PublicationError(
                f"{schema}.{name} is in the warehouse, but the dbt project declares no such model or source. "
                "Declare it, or find out who wrote it; nothing is published until then."
            )
        connection.execute(f'drop {"view" if kind == "VIEW" else "table"} "{schema}"."{name}" cascade')


def _declared(path: Path) -> set[tuple[str, str]]:
    """(schema, name) of every relation that a manifest knows."""
    content = json.loads((path / "manifest.json").read_text())
    nodes = [*content["nodes"].values(), *content["sources"].values()]
    return {(node["schema"], node.get("alias") or node.get("identifier") or node["name"]) for node in nodes}
