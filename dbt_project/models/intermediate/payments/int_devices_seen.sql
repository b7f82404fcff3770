{#- The first use of a device as each date knew it: a file that comes late may tell of an earlier one. -#}
{%- set told_before = 'partition by client_id, customer_id, device_token order by known_at' %}

with

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

scored as (
    select
        client_id,
        customer_id,
        transaction_key,
        first_seen_on as as_of_date,
        coalesce(event_at, starts_at) as looks_back_from
    from {{ ref('int_payments_seen') }}
    where is_scored
),

customers as (
    select distinct
        client_id,
        customer_id
    from scored
),

uses as (
    select
        client_id,
        customer_id,
        device_token,
        event_at,
        known_at
    from {{ ref('stg_events') }}
    where device_token is not null
),

-- A client whose log-ins tell no device has unknown devices, not none.
telling as (
    select
        client_id,
        min(known_at) as known_at
    from uses
    group by client_id
),

told as (
    select
        uses.client_id,
        uses.customer_id,
        uses.device_token,
        uses.known_at,
        min(uses.event_at) as first_at
    from uses
    inner join customers on uses.client_id = customers.client_id and uses.customer_id = customers.customer_id
    group by uses.client_id, uses.customer_id, uses.device_token, uses.known_at
),

compared as (
    select
        *,
        min(first_at) over ({{ told_before }} rows between unbounded preceding and 1 preceding) as first_until_then
    from told
),

firsts as (
    select
        client_id,
        customer_id,
        device_token,
        first_at,
        known_at,
        coalesce(lead(known_at) over ({{ told_before }}), cast('9999-12-31' as timestamp)) as superseded_at
    from compared
    where first_until_then is null or first_at < first_until_then
),

counted as (
    select
        scored.client_id,
        scored.transaction_key,
        scored.as_of_date,
        max(firsts.first_at) as new_device_at,
        count(firsts.first_at) filter (where firsts.first_at >= scored.looks_back_from - interval '7 days')
            as new_devices_7d
    from scored
    inner join dates on scored.client_id = dates.client_id and scored.as_of_date = dates.as_of_date
    inner join telling on dates.client_id = telling.client_id and dates.cutoff_at > telling.known_at
    left join firsts
        on
            scored.client_id = firsts.client_id
            and scored.customer_id = firsts.customer_id
            and scored.looks_back_from > firsts.first_at
            and dates.cutoff_at > firsts.known_at
            and dates.cutoff_at <= firsts.superseded_at
    group by scored.client_id, scored.transaction_key, scored.as_of_date
)

select * from counted
