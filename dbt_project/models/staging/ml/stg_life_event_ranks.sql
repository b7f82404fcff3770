{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('life_event_ranks') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    role,
    customer_id,
    event,
    score,
    as_of_date
from {{ source('lake', 'life_event_ranks') }}
