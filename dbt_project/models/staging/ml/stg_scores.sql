{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        on_schema_change='append_new_columns',
        pre_hook={"sql": "{{ delete_lake_partitions('scores') }}", "transaction": false},
    )
}}

-- A table: when a night is published its Parquet files move to the archive. The hook stays out of the transaction, in
-- which no column could be added to a table that has just lost rows.
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
    score_lo,
    score_hi,
    support,
    exposure,
    expected_value,
    is_out_of_range,
    as_of_date
from {{ source('lake', 'scores') }}
