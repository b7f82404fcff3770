"""What a publication says of itself inside its own file, for readers that open nothing else.

`ops.about_publication` is written last of all, when the audit has passed. Schema `ops` is left out of the
content hash, so the id and the clock in it change no hash.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from nightledger import warehouse
from nightledger.night.lock import Night

TABLE = """
    create or replace table ops.about_publication (
        client_id varchar primary key, client_name varchar, publication_id varchar, data_through date,
        built_at timestamp, audit_result varchar, audit_warnings varchar, late_sources varchar,
        models varchar, records bigint, quarantined bigint)
"""

ROWS = r"""
    with days as (
        select
            client_id,
            coalesce(
                max(business_date) filter (where feed = 'transactions'), max(business_date)
            ) as data_through
        from ops.coverage
        where arrived
        group by client_id
    ),

    files as (
        select client_id, sum(records) as records, sum(quarantined) as quarantined
        from ops.loads
        where verdict = 'loaded'
        group by client_id
    ),

    pinned as (
        select
            horizon.client_id,
            split_part(pins.model, '.', 1) as model,
            pins.model_version,
            regexp_extract(pins.model_version, '^\d{4}-\d{2}-\d{2}') as trained_on
        from ops.horizon as horizon
        inner join ops.model_pins as pins
            on
                pins.as_of_date = horizon.as_of_date
                and pins.role = 'champion'
                and (
                    split_part(pins.model, '.', 2) = horizon.client_id
                    or list_contains($scored, horizon.client_id || '.' || pins.model)
                )
    ),

    -- Most were trained on the same day: said once, all models fit into the two lines that people see.
    by_day as (
        select
            client_id,
            trained_on,
            string_agg(
                model || ' ' || case when trained_on = '' then model_version else model_version[12:] end,
                ', ' order by model
            ) as models
        from pinned
        group by client_id, trained_on
    ),

    champions as (
        select
            client_id,
            string_agg(
                case when trained_on = '' then models else trained_on || ': ' || models end,
                '; ' order by trained_on
            ) as models
        from by_day
        group by client_id
    )

    insert into ops.about_publication
    select
        horizon.client_id,
        coalesce(clients.name, horizon.client_id),
        $publication_id,
        days.data_through,
        $built_at,
        $audit_result,
        $audit_warnings,
        array_to_string(
            list_filter($late::varchar[], lambda name: starts_with(name, horizon.client_id || '/')), ', '
        ),
        coalesce(champions.models, ''),
        coalesce(files.records, 0),
        coalesce(files.quarantined, 0)
    from ops.horizon as horizon
    left join ops.clients as clients on clients.client_id = horizon.client_id
    left join days on days.client_id = horizon.client_id
    left join files on files.client_id = horizon.client_id
    left join champions on champions.client_id = horizon.client_id
"""


def write(
    connection: duckdb.DuckDBPyConnection,
    night: Night,
    checks: Sequence[Mapping[str, Any]],
    late: Sequence[str],
    built_at: datetime,
) -> None:
    """Write `ops.about_publication`, one row a client; may be repeated.

    Args:
        connection: on the audited build.
        night: the open night.
        checks: results of its audit; none of them stops publication any more.
        late: its late sources, as `client/source`.
        built_at: UTC.
    """
    warned = sorted(row["check"] for row in checks if row["status"] == "failed")
    words = f"passed with {len(warned)} warning{'s' if len(warned) > 1 else ''}" if warned else "passed"
    connection.execute(TABLE)
    connection.execute(
        ROWS,
        {
            "publication_id": night.publication_id,
            "built_at": built_at,
            "audit_result": words,
            "audit_warnings": ", ".join(warned),
            "late": list(late),
            "scored": _scored(connection),
        },
    )


def late_sources(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[str]:
    """What the ingestion of a run found late, from the facts about runs in the build."""
    row = connection.execute(
        "select detail from operations.stages"
        " where run_id = ? and stage = 'ingest' and state = 'done' order by id desc limit 1",
        [run_id],
    ).fetchone()
    found: list[str] = json.loads(row[0]).get("late", []) if row else []
    return found


def _scored(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """`client.model` of every score in the build: a model for all clients need not score each of them."""
    if ("marts", "fct_scores", "VIEW") not in warehouse.relations(connection):
        return []  # the night of a project without scores
    rows = connection.execute("select distinct client_id || '.' || model from marts.fct_scores").fetchall()
    return [row[0] for row in rows]
