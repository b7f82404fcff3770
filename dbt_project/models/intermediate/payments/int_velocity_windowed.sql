{%- set card = 'partition by client_id, customer_id, instrument, as_of_date order by stands_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}
{%- set stand = ['stands_at', 'transaction_key'] %}

with

visits as (
    select
        client_id,
        customer_id,
        transaction_key,
        version,
        instrument,
        amount,
        case when longitude is not null then latitude end as latitude,
        case when latitude is not null then longitude end as longitude,
        is_scored,
        first_seen_on,
        coalesce(last_seen_on, cast('9999-12-31' as date)) as last_seen_on,
        event_at,
        coalesce(event_at, starts_at) as looks_back_from,
        coalesce(event_at, ends_at) as stands_at
    from {{ ref('int_payments_seen') }}
    where is_visit
),

reaches as (
    select
        client_id,
        customer_id,
        first_seen_on as as_of_date,
        min(looks_back_from) - interval '30 days' as from_at,
        max(looks_back_from) as until_at
    from visits
    where is_scored
    group by client_id, customer_id, first_seen_on
),

-- Thirty days are short enough for each date to have its own history, as it knew it: nothing is to be put right later.
histories as (
    select
        visits.*,
        reaches.as_of_date,
        visits.is_scored and visits.first_seen_on = reaches.as_of_date as is_described
    from reaches
    inner join visits
        on
            reaches.client_id = visits.client_id
            and reaches.customer_id = visits.customer_id
            and reaches.from_at <= visits.stands_at
            and reaches.until_at >= visits.stands_at
            and reaches.as_of_date >= visits.first_seen_on
            and reaches.as_of_date <= visits.last_seen_on
),

-- What stands on a day only is over at its end and looks back from its beginning.
entries as (
    select
        client_id,
        customer_id,
        transaction_key,
        instrument,
        amount,
        latitude,
        longitude,
        as_of_date,
        event_at,
        stands_at,
        true as counts,
        event_at is not null and latitude is not null as is_located,
        is_described and event_at is not null as looks_back
    from histories
    union all
    select
        client_id,
        customer_id,
        transaction_key,
        instrument,
        amount,
        latitude,
        longitude,
        first_seen_on as as_of_date,
        event_at,
        looks_back_from as stands_at,
        false as counts,
        false as is_located,
        true as looks_back
    from visits
    where is_scored and event_at is null
),

windowed as (
    select
        client_id,
        transaction_key,
        as_of_date,
        latitude,
        longitude,
        event_at,
        looks_back,
        count(*) filter (where counts) over card_week as card_transactions_7d,
        sum(amount) filter (where counts) over card_week as card_amount_7d,
        max(amount) filter (where counts) over card_month as card_max_amount_30d,
        max(event_at) filter (where is_located) over card_month as located_at,
        {{ value_at_last('latitude', stand) }} filter (where is_located) over card_month as from_latitude,
        {{ value_at_last('longitude', stand) }} filter (where is_located) over card_month as from_longitude
    from entries
    window
        card_week as ({{ card }} {{ frame.format('7 days') }}),
        card_month as ({{ card }} {{ frame.format('30 days') }})
),

described as (
    select
        client_id,
        transaction_key,
        as_of_date,
        latitude,
        longitude,
        event_at,
        card_transactions_7d,
        card_amount_7d,
        card_max_amount_30d,
        located_at,
        from_latitude,
        from_longitude
    from windowed
    where looks_back
)

select * from described
