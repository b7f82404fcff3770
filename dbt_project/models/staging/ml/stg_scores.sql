{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('scores') }}",
    )
}}

-- A table: when a night is published its Parquet files move to the archive.
select
    client_id,
    model,
    model_version,
    entity,
    entity_id,
    role,
    band,
    receipt_id,
    score,
    margin,
    confidence,
    expected_value,
    as_of_date
from {{ source('lake', 'scores') }}
