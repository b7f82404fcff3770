{{ config(materialized='view') }}

select
    client_id,
    model,
    model_version,
    entity,
    entity_id,
    rank,
    feature,
    value,
    typical,
    score,
    score_without,
    as_of_date
from {{ ref('stg_what_if') }}
