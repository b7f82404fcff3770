{%- set card = 'partition by reach, instrument order by stands_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}

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

-- Windows are sorted by a number, which costs two thirds of three texts and a date.
reaches as (
    select
        client_id,
        customer_id,
        first_seen_on as as_of_date,
        row_number() over (order by client_id) as reach,
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
        reaches.reach,
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
        reach,
        transaction_key,
        instrument,
        amount,
        latitude,
        longitude,
        as_of_date,
        event_at,
        stands_at,
        true as counts,
        is_described and event_at is not null as looks_back
    from histories
    union all
    select
        visits.client_id,
        reaches.reach,
        visits.transaction_key,
        visits.instrument,
        visits.amount,
        visits.latitude,
        visits.longitude,
        reaches.as_of_date,
        visits.event_at,
        visits.looks_back_from as stands_at,
        false as counts,
        true as looks_back
    from visits
    inner join reaches
        on
            visits.client_id = reaches.client_id
            and visits.customer_id = reaches.customer_id
            and visits.first_seen_on = reaches.as_of_date
    where visits.is_scored and visits.event_at is null
),

windowed as (
    select
        client_id,
        reach,
        transaction_key,
        instrument,
        as_of_date,
        latitude,
        longitude,
        event_at,
        looks_back,
        count(*) filter (where counts) over card_week as card_transactions_7d,
        sum(amount) filter (where counts) over card_week as card_amount_7d,
        max(amount) filter (where counts) over card_month as card_max_amount_30d
    from entries
    window
        card_week as ({{ card }} {{ frame.format('7 days') }}),
        card_month as ({{ card }} {{ frame.format('30 days') }})
),

-- Many sources tell no coordinates, and what has none comes from nowhere: places follow each other apart.
places as (
    select
        reach,
        instrument,
        event_at,
        {{ value_at_last('latitude', ['transaction_key']) }} as latitude,
        {{ value_at_last('longitude', ['transaction_key']) }} as longitude
    from entries
    where event_at is not null and latitude is not null
    group by reach, instrument, event_at
),

followed as (
    select
        reach,
        instrument,
        event_at,
        lag(event_at) over places_of_card as located_at,
        lag(latitude) over places_of_card as from_latitude,
        lag(longitude) over places_of_card as from_longitude
    from places
    window places_of_card as (partition by reach, instrument order by event_at)
),

described as (
    select
        windowed.client_id,
        windowed.transaction_key,
        windowed.as_of_date,
        windowed.latitude,
        windowed.longitude,
        windowed.event_at,
        windowed.card_transactions_7d,
        windowed.card_amount_7d,
        windowed.card_max_amount_30d,
        followed.located_at,
        followed.from_latitude,
        followed.from_longitude
    from windowed
    left join followed
        on
            windowed.reach = followed.reach
            and windowed.instrument = followed.instrument
            and windowed.event_at = followed.event_at
            and windowed.event_at <= followed.located_at + interval '30 days'
    where windowed.looks_back
)

select * from described
