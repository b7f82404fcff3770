{{ config(materialized='view') }}

select
    scores.client_id,
    scores.model,
    scores.model_version,
    scores.entity,
    scores.entity_id,
    scores.role,
    scores.band,
    scores.receipt_id,
    clients.base_currency as currency,
    scores.score,
    scores.margin,
    scores.confidence,
    scores.score_lo,
    scores.score_hi,
    scores.support,
    scores.exposure,
    scores.expected_value,
    scores.is_out_of_range,
    scores.as_of_date
from {{ ref('stg_scores') }} as scores
inner join {{ ref('stg_clients') }} as clients on scores.client_id = clients.client_id
