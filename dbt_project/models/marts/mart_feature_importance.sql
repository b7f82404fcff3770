{{ config(materialized='table') }}

with

-- A replay of a past night must not know what later models looked at.
importances as (
    select *
    from {{ ref('stg_model_importances') }}
    where known_at < (select max(horizon.cutoff_at) from {{ ref('stg_horizon') }} as horizon)
),

compared as (
    select
        *,
        row_number() over (partition by model, version order by importance desc, feature asc) as rank,
        sum(importance) over (partition by model, version, feature_group) as group_importance,
        nullif(sum(importance) over (partition by model, version), 0) as total
    from importances
)

select
    model,
    version,
    feature,
    feature_group,
    cast(rank as integer) as rank,
    cast(importance as float) as importance,
    cast(cast(importance as double) / total as float) as share,
    cast(cast(group_importance as double) / total as float) as group_share,
    known_at
from compared
