{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('segments') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    role,
    customer_id,
    name,
    state,
    segment_id,
    distance,
    as_of_date
from {{ source('lake', 'segments') }}
