with

labels as (
    select * from {{ source('raw', 'labels') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        labels.client_id,
        labels.source,
        labels.entity,
        labels.entity_id,
        labels.label,
        labels.value,
        labels.said_by,
        labels.event_at,
        labels.known_at,
        labels._load_id,
        labels._record
    from labels
    inner join horizon on labels.client_id = horizon.client_id
    where labels.known_at < horizon.cutoff_at
)

select * from known
