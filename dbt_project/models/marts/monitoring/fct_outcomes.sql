{{ config(materialized='view') }}

select
    outcomes.client_id,
    outcomes.model,
    outcomes.model_version,
    outcomes.entity,
    outcomes.entity_id,
    outcomes.role,
    scores.band,
    scores.score,
    outcomes.label,
    outcomes.label_now,
    outcomes.budget_share,
    outcomes.matured_on,
    outcomes._judged_on,
    outcomes.as_of_date
from {{ ref('stg_outcomes') }} as outcomes
inner join {{ ref('stg_scores') }} as scores
    on
        outcomes.client_id = scores.client_id
        and outcomes.model = scores.model
        and outcomes.model_version = scores.model_version
        and outcomes.entity = scores.entity
        and outcomes.entity_id = scores.entity_id
        and outcomes.as_of_date = scores.as_of_date
