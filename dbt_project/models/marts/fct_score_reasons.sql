{{ config(materialized='view') }}

select
    client_id,
    model,
    model_version,
    entity,
    entity_id,
    rank,
    feature,
    reason_code,
    text,
    value,
    contribution,
    as_of_date
from {{ ref('stg_score_reasons') }}
