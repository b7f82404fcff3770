"""What OpenLineage is told of a stage: its jobs, the tables that they read and wrote, and their columns.

Names of tables are `<schema>.<table>` of the warehouse; files are told by client and source, what the models
say by kind: never by a customer.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent, RunState
from openlineage.client.generated import (
    data_quality_assertions_dataset as assertions,
)
from openlineage.client.generated import (
    dataset_version_dataset,
    error_message_run,
    input_statistics_input_dataset,
)

from nightledger import operations, publications, warehouse
from nightledger.lineage.model import (
    JobRun,
    arrow_columns,
    event,
    id_within,
    read_set,
    schema_of,
    tables_of,
    warehouse_of,
    written_set,
)
from nightledger.model_files import ModelFile, model_files
from nightledger.settings import Settings

LOADED = "loaded"
_ENDED = {"success": RunState.COMPLETE, "pass": RunState.COMPLETE, "warn": RunState.COMPLETE}


@dataclass
class Found:
    """What a stage has read and written, and the events of the jobs within it."""

    inputs: list[InputDataset] = field(default_factory=list)
    outputs: list[OutputDataset] = field(default_factory=list)
    within: list[RunEvent] = field(default_factory=list)


def started(job: JobRun, at: datetime) -> RunEvent:
    """The event that a stage begins."""
    return event(RunState.START, job, at, "TASK")


def ended(job: JobRun, at: datetime, found: Found, error: BaseException | None) -> RunEvent:
    """The event that a stage has ended. Of an error its type is told; its words may hold a value."""
    facets = {}
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=f"{type(error).__name__}; the log of the task says more", programmingLanguage="python"
        )
    state = RunState.COMPLETE if error is None else RunState.FAIL
    return event(state, job, at, "TASK", found.inputs, found.outputs, facets)


def of_stage(settings: Settings, job: JobRun, run_id: str, stage: str, *, is_done: bool) -> Found:
    """What a stage of a run has read and written so far.

    Args:
        settings: of the installation.
        job: the stage's run.
        run_id: `<dag_id>/<run_id>`.
        stage: one of `nightledger.lineage.STAGES`.
        is_done: whether it ended well; otherwise only dbt's nodes are told, each of which ended by itself.
    """
    selector = stage.removeprefix("dbt_")
    if selector != stage:
        return _of_dbt(settings, job, selector)
    if not is_done:
        return Found()
    match stage:
        case "ingest":
            return _of_ingestion(settings, job, run_id)
        case "enrich":
            read = ("intermediate.int_merchant_matches", "intermediate.int_merchant_keys", "staging.brands")
            return _of_tables(settings, job, read, ("enrichment.nearest_brands",))
        case "score":
            return _of_scoring(settings, job)
        case _:
            return _of_publication(settings, job, run_id)


def _of_ingestion(settings: Settings, job: JobRun, run_id: str) -> Found:
    """The sources whose files a run has loaded, and the raw tables that ingestion fills."""
    files: dict[str, list[int]] = {}
    for row in operations.file_verdicts(settings, run_id):
        if row["verdict"] == LOADED:
            of = files.setdefault(f"{row['client_id']}/{row['source']}", [0, 0])
            of[0] += 1
            of[1] += row["records"] or 0
    tables = tables_of(settings.builds / "open", settings)
    written = sorted(name for name in tables if name.startswith("raw.")) if files else []
    return Found(
        inputs=[
            InputDataset(
                namespace=f"{job.namespace}://inbox",
                name=name,
                inputFacets={
                    "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                        rowCount=records, fileCount=count
                    )
                },
            )
            for name, (count, records) in sorted(files.items())
        ],
        outputs=[written_set(job, name, tables) for name in written],
    )


def _of_tables(settings: Settings, job: JobRun, read: Iterable[str], written: Iterable[str]) -> Found:
    tables = tables_of(settings.builds / "open", settings)
    return Found([read_set(job, name) for name in read], [written_set(job, name, tables) for name in written])


def _of_dbt(settings: Settings, job: JobRun, selector: str) -> Found:
    """A job for each model and seed that dbt has built, with the tests of its table."""
    build = settings.builds / "open"
    results = json.loads((build / f"run_results_{selector}.json").read_text())["results"]
    manifest = json.loads((build / "target" / "manifest.json").read_text())
    nodes = {**manifest["nodes"], **manifest["sources"]}
    tables = tables_of(build, settings)
    tests = _tests(results, nodes)
    found = Found()
    read: set[str] = set()
    written: set[str] = set()
    for row in results:
        node = nodes.get(row["unique_id"])
        times = [timing for timing in row["timing"] if timing.get("completed_at")]
        if node is None or node["resource_type"] not in ("model", "seed") or not times:
            continue
        name = _name(node)
        parents = sorted(
            {
                _name(nodes[parent])
                for parent in node.get("depends_on", {}).get("nodes", [])
                if parent in nodes
            }
        )
        inner = JobRun(
            namespace=job.namespace,
            name=f"{job.parent_name}.dbt.{name}",
            id=id_within(job, row["unique_id"], times[-1]["completed_at"]),
            parent_name=job.name,
            parent_id=job.id,
        )
        state = _ENDED.get(row["status"], RunState.FAIL)
        outputs = [written_set(inner, name, tables, tests.get(row["unique_id"]))]
        kind = node["resource_type"].upper()
        found.within.append(event(RunState.START, inner, _time(times[0]["started_at"]), kind))
        found.within.append(
            event(
                state,
                inner,
                _time(times[-1]["completed_at"]),
                kind,
                [read_set(inner, parent) for parent in parents],
                outputs if state is RunState.COMPLETE else [],
            )
        )
        read.update(parents)
        written.add(name)
    found.inputs = [read_set(job, name) for name in sorted(read - written)]
    found.outputs = [written_set(job, name, {}) for name in sorted(written)]
    return found


def _tests(
    results: list[dict[str, Any]], nodes: Mapping[str, Any]
) -> dict[str, assertions.DataQualityAssertionsDatasetFacet]:
    """By node, what the tests on its table found."""
    found: dict[str, list[assertions.Assertion]] = {}
    for row in results:
        node = nodes.get(row["unique_id"])
        attached = (node or {}).get("attached_node")
        if (
            node is None
            or node["resource_type"] != "test"
            or not attached
            or row["status"] in ("skipped", "error")
        ):
            continue
        found.setdefault(attached, []).append(
            assertions.Assertion(
                assertion=(node.get("test_metadata") or {}).get("name") or node["name"],
                success=row["status"] != "fail",
                column=node.get("column_name"),
            )
        )
    return {
        name: assertions.DataQualityAssertionsDatasetFacet(assertions=rows) for name, rows in found.items()
    }


def _of_scoring(settings: Settings, job: JobRun) -> Found:
    """A job for each model: the feature tables that its file names, and the kinds of rows it left for dbt.

    What forecasts and lifetime values read is no feature table, and is not told.
    """
    build = settings.builds / "open"
    wrote: dict[str, set[str]] = {}
    for path in sorted(build.glob("lake/*/model=[!_]*/*/*/part.parquet")):
        kind, model = path.relative_to(build / "lake").parts[:2]
        if kind in warehouse.LAKE_SCHEMAS and kind != "outcomes":  # these judge what was said before
            wrote.setdefault(model.removeprefix("model="), set()).add(kind)
    files = model_files(settings.folders_of_models)
    found = Found()
    read: set[str] = set()
    now = datetime.now(UTC)
    for model, kinds in wrote.items():
        features = _features(files.get(model.partition(".")[0]))
        read.update(features)
        inner = JobRun(
            namespace=job.namespace,
            name=f"{job.name}.{model}",
            id=id_within(job, model, job.id),
            parent_name=job.name,
            parent_id=job.id,
        )
        inputs, outputs = (
            [read_set(inner, name) for name in features],
            [_lake(inner, kind) for kind in sorted(kinds)],
        )
        found.within.append(event(RunState.START, inner, now, "MODEL_VERSION"))
        found.within.append(event(RunState.COMPLETE, inner, now, "MODEL_VERSION", inputs, outputs))
    found.inputs = [read_set(job, name) for name in sorted(read)]
    found.outputs = [_lake(job, kind) for kind in sorted(set().union(*wrote.values()))]
    return found


def _features(file: ModelFile | None) -> list[str]:
    """The tables that a model's file names; those of attributes are a source's own, in `raw`."""
    named = file.said().get("features", []) if file else []
    return [
        f"raw.attributes_{name.removeprefix('attributes.')}"
        if name.startswith("attributes.")
        else f"features.{name}"
        for name in named
    ]


def _lake(job: JobRun, kind: str) -> OutputDataset:
    return OutputDataset(
        namespace=warehouse_of(job), name=f"lake.{kind}", facets={"schema": schema_of(arrow_columns(kind))}
    )


def _of_publication(settings: Settings, job: JobRun, run_id: str) -> Found:
    """The tables that readers see, and the publication that has them."""
    name = publications.published_by(settings, run_id)
    if name is None:
        return Found()
    tables = tables_of(settings.builds / name, settings)
    version = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=name)
    return Found(
        inputs=[
            read_set(job, table) for table in sorted(tables) if table.startswith(("marts.", "features."))
        ],
        outputs=[OutputDataset(namespace=warehouse_of(job), name="publication", facets={"version": version})],
    )


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node.get('alias') or node.get('identifier') or node['name']}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
