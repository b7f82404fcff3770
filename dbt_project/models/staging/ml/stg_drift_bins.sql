{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('profiles') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    role,
    feature,
    bin_kind,
    bin,
    upper_edge,
    rows as row_count,
    training_rows,
    last_year_rows,
    usual_psi,
    last_year_date,
    as_of_date
from {{ source('lake', 'profiles') }}
