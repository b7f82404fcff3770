{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('reasons') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    entity,
    entity_id,
    feature,
    reason_code,
    text,
    rank,
    value,
    contribution,
    as_of_date
from {{ source('lake', 'reasons') }}
