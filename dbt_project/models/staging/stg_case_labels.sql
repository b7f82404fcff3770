with

entries as (
    select * from {{ source('operations', 'case_labels') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

ended as (
    select
        event_id,
        client_id,
        transaction_key,
        verdict,
        known_at,
        lead(known_at) over (partition by client_id, transaction_key order by event_id) as withdrawn_at
    from entries
),

labels as (
    select
        ended.event_id,
        ended.client_id,
        ended.transaction_key,
        ended.verdict,
        ended.known_at,
        case when ended.withdrawn_at < horizon.cutoff_at then ended.withdrawn_at end as withdrawn_at
    from ended
    inner join horizon on ended.client_id = horizon.client_id
    where
        ended.verdict is not null
        and ended.known_at < horizon.cutoff_at
        -- Closed and reopened between two nights: no date has known it.
        and (ended.withdrawn_at is null or ended.withdrawn_at > ended.known_at)
)

select * from labels
