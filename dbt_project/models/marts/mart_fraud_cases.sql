-- A view: what people do by day is no part of what a night computes, and a replay does not repeat it.
{{ config(materialized='view') }}

with

events as (
    select
        *,
        row_number() over (
            partition by client_id, transaction_key, action in ('close', 'reopen') order by version desc
        ) as decisions_ago,
        row_number() over (
            partition by client_id, transaction_key, action = 'assign' order by version desc
        ) as assignments_ago
    from {{ ref('stg_case_events') }}
),

cases as (
    select
        client_id,
        transaction_key,
        max(case when action = 'assign' and assignments_ago = 1 then assignee end) as assignee,
        max(case when action = 'close' and decisions_ago = 1 then verdict end) as verdict,
        max(case when action = 'close' and decisions_ago = 1 then who end) as closed_by,
        count(*) as events,
        min(recorded_at) as opened_at,
        max(recorded_at) as last_event_at,
        max(case when action = 'close' and decisions_ago = 1 then recorded_at end) as closed_at
    from events
    group by client_id, transaction_key
)

select
    client_id,
    transaction_key,
    case when verdict is null then 'open' else 'closed' end as state,
    verdict,
    assignee,
    closed_by,
    cast(events as integer) as events,
    opened_at,
    last_event_at,
    closed_at
from cases
