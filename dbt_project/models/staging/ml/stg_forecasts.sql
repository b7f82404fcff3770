{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('forecasts') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    role,
    measure,
    level,
    entity,
    category,
    grain,
    method,
    yhat,
    lo80,
    hi80,
    lo95,
    hi95,
    target,
    as_of_date
from {{ source('lake', 'forecasts') }}
