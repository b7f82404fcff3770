"""The words of OpenLineage's events: jobs, tables with their columns, and the events themselves."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from openlineage.client import set_producer
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated import (
    data_quality_assertions_dataset as assertions,
)
from openlineage.client.generated import (
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)

from nightledger import warehouse
from nightledger.settings import Settings

PRODUCER = "urn:nightledger"
set_producer(PRODUCER)


@dataclass(frozen=True)
class JobRun:
    """A run of a job, and the run that it is part of."""

    namespace: str
    name: str
    id: str
    parent_name: str
    parent_id: str


@dataclass(frozen=True)
class Table:
    """A table as the warehouse has it."""

    rows: int | None
    columns: tuple[tuple[str, str], ...]
    """Name and DuckDB's type."""


def tables_of(build: Path, settings: Settings) -> dict[str, Table]:
    """Every table and view of a build."""
    columns: dict[str, list[tuple[str, str]]] = {}
    with warehouse.connect(build, settings=settings) as connection:
        for schema, table, column, data_type in connection.execute(
            "select schema_name, table_name, column_name, data_type from duckdb_columns()"
            " where database_name = 'warehouse' order by schema_name, table_name, column_index"
        ).fetchall():
            columns.setdefault(f"{schema}.{table}", []).append((column, data_type))
        rows = {
            f"{schema}.{table}": size
            for schema, table, size in connection.execute(
                "select schema_name, table_name, estimated_size from duckdb_tables()"
                " where database_name = 'warehouse'"
            ).fetchall()
        }
    return {name: Table(rows.get(name), tuple(of)) for name, of in columns.items()}


def warehouse_of(job: JobRun) -> str:
    """Namespace of the tables, by which events and dbt speak of the same ones."""
    return f"{job.namespace}://warehouse"


def read_set(job: JobRun, name: str) -> InputDataset:
    """A table that is read."""
    return InputDataset(namespace=warehouse_of(job), name=name)


def written_set(
    job: JobRun,
    name: str,
    tables: Mapping[str, Table],
    tested: assertions.DataQualityAssertionsDatasetFacet | None = None,
) -> OutputDataset:
    """A table that is written, with its columns and rows as the warehouse has them, and what was tested."""
    table = tables.get(name)
    facets: dict[str, Any] = {"schema": schema_of(table.columns)} if table else {}
    if tested is not None:
        facets["dataQualityAssertions"] = tested
    counted: dict[str, Any] = {}
    if table is not None and table.rows is not None:
        counted["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=table.rows
        )
    return OutputDataset(namespace=warehouse_of(job), name=name, facets=facets, outputFacets=counted)


@cache
def schema_of(columns: tuple[tuple[str, str], ...]) -> schema_dataset.SchemaDatasetFacet:
    """Columns as a facet; made once, as several jobs tell the same table."""
    return schema_dataset.SchemaDatasetFacet(
        fields=[schema_dataset.SchemaDatasetFacetFields(name=name, type=of) for name, of in columns]
    )


def arrow_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """Columns of a kind of rows that the models leave for dbt."""
    return tuple((column.name, str(column.type)) for column in warehouse.LAKE_SCHEMAS[kind])


def id_within(job: JobRun, unique_id: str, completed_at: str) -> str:
    """Id of a job's run within another: the same for a node that a later try found done already."""
    return str(uuid.uuid5(uuid.UUID(job.parent_id), f"{unique_id}/{completed_at}"))


def event(
    state: RunState,
    job: JobRun,
    at: datetime,
    kind: str,
    inputs: list[InputDataset] | None = None,
    outputs: list[OutputDataset] | None = None,
    facets: Mapping[str, Any] | None = None,
) -> RunEvent:
    """One event of a run: `kind` says what sort of job it is."""
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=job.parent_id),
        job=parent_run.Job(namespace=job.namespace, name=job.parent_name),
    )
    integration = "DBT" if kind in ("MODEL", "SEED") else "NIGHTLEDGER"
    job_type = job_type_job.JobTypeJobFacet(processingType="BATCH", integration=integration, jobType=kind)
    return RunEvent(
        eventType=state,
        eventTime=at.isoformat(),
        run=Run(runId=job.id, facets={"parent": parent, **(facets or {})}),
        job=Job(namespace=job.namespace, name=job.name, facets={"jobType": job_type}),
        inputs=inputs or [],
        outputs=outputs or [],
        producer=PRODUCER,
    )
