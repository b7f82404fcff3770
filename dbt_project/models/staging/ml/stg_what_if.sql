{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('what_if') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    entity,
    entity_id,
    feature,
    rank,
    value,
    typical,
    score,
    score_without,
    as_of_date
from {{ source('lake', 'what_if') }}
