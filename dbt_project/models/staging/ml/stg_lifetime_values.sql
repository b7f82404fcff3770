{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('lifetime_values') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    role,
    customer_id,
    measure,
    band,
    probability_alive,
    expected_visits,
    expected_value_each,
    lifetime_value,
    as_of_date
from {{ source('lake', 'lifetime_values') }}
