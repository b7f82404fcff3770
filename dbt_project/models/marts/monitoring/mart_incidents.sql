-- A view: who looks into what, and when, is no part of what a night computes, and a replay does not repeat it.
{{ config(materialized='view') }}

with

incidents as (
    select * from {{ ref('stg_incidents') }}
)

select
    incident_id,
    client_id,
    kind,
    about,
    title,
    severity,
    coalesce(cause_kind, 'not looked for') as cause_kind,
    cause,
    weighted_drift,
    state = 'open' as is_open,
    cast({{ days_between('first_date', 'last_date') }} + 1 as integer) as days_long,
    first_date,
    last_date,
    opened_at
from incidents
