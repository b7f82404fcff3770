with

events as (
    select * from {{ source('raw', 'events') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

-- The local days in which each day of UTC begins and ends, and when the second begins: to ask the calendar of each
-- event costs five times as much as of each day.
utc_days as (
    select distinct
        client_id,
        cast(event_at as date) as utc_day
    from events
),

local_days as (
    select
        utc_days.client_id,
        utc_days.utc_day,
        clients.timezone,
        {{ local_date('cast(utc_days.utc_day as timestamp)', 'clients.timezone') }} as first_day,
        {{ local_date(
            "cast(utc_days.utc_day as timestamp) + interval '1' day - interval '1' microsecond", 'clients.timezone'
        ) }} as last_day
    from utc_days
    inner join clients on utc_days.client_id = clients.client_id
),

midnights as (
    select
        *,
        {{ local_midnight("last_day - interval '1' day", 'timezone') }} as before_at,
        {{ local_midnight('last_day', 'timezone') }} as turns_at,
        {{ local_midnight("last_day + interval '1' day", 'timezone') }} as after_at
    from local_days
),

-- Days of 24 hours have the same clock all day; around others, twice a year, each event is asked for.
calendar as (
    select
        *,
        {{ days_between('first_day', 'last_day') }} between 0 and 1
        and before_at + interval '24' hour = turns_at
        and turns_at + interval '24' hour = after_at as is_regular
    from midnights
),

known as (
    select
        events.client_id,
        events.source,
        events.customer_id,
        events.event_type,
        events.channel,
        events.device_token,
        case
            when not calendar.is_regular then {{ local_date('events.event_at', 'calendar.timezone') }}
            when events.event_at < calendar.turns_at then calendar.first_day
            else calendar.last_day
        end as business_date,
        events.event_at,
        events.known_at,
        events._load_id,
        events._record
    from events
    inner join calendar
        on events.client_id = calendar.client_id and cast(events.event_at as date) = calendar.utc_day
    inner join horizon on events.client_id = horizon.client_id
    where events.known_at < horizon.cutoff_at
)

select * from known
