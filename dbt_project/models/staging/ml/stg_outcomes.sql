{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_lake_partitions('outcomes') }}",
    )
}}

select
    client_id,
    model,
    model_version,
    entity,
    entity_id,
    role,
    label,
    label_now,
    cast(budget_share as decimal(9, 6)) as budget_share,
    matured_on,
    as_of_date,
    -- Which night looked last: nights that make up for others say the same, later.
    judged_on as _judged_on
from {{ source('lake', 'outcomes') }}
