{{ config(materialized='table') }}

with

metrics as (
    select * from {{ ref('stg_model_metrics') }}
),

-- A replay of a past night must not know how later models did.
horizon as (
    select
        '' as client_id,
        max(cutoff_at) as cutoff_at
    from {{ ref('stg_horizon') }}
    union all
    select
        client_id,
        cutoff_at
    from {{ ref('stg_horizon') }}
)

select
    metrics.model,
    metrics.version,
    metrics.client_id,
    metrics.dataset,
    metrics.window_label,
    metrics.metric,
    metrics.baseline,
    metrics.value,
    metrics.lo,
    metrics.hi,
    metrics.n,
    metrics.base_rate,
    metrics.known_at
from metrics
inner join horizon on metrics.client_id = horizon.client_id
where metrics.known_at < horizon.cutoff_at
