-- A client without an events feed has unknown log-ins, not none.
with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

first_events as (
    select
        client_id,
        business_date,
        min(known_at) as known_at
    from {{ ref('stg_events') }}
    group by client_id, business_date
),

with_feed as (
    select distinct
        dates.client_id,
        dates.as_of_date
    from dates
    inner join first_events
        on
            dates.client_id = first_events.client_id
            and dates.as_of_date >= first_events.business_date
            and dates.cutoff_at > first_events.known_at
)

select * from with_feed
