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

known as (
    select
        events.client_id,
        events.source,
        events.customer_id,
        events.event_type,
        events.channel,
        events.device_token,
        {{ local_date('events.event_at', 'clients.timezone') }} as business_date,
        events.event_at,
        events.known_at,
        events._load_id,
        events._record
    from events
    inner join clients on events.client_id = clients.client_id
    inner join horizon on events.client_id = horizon.client_id
    where events.known_at < horizon.cutoff_at
)

select * from known
