{%- set card = 'partition by reach, card order by stands_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}

-- Every CTE is read once, and payments are read again instead: to keep all of them as a CTE fills memory and the disk.
with

-- Windows are sorted by numbers, which costs two thirds of texts and a date.
cards as (
    select
        client_id,
        instrument,
        row_number() over (order by client_id, instrument) as card
    from {{ ref('int_payments_seen') }}
    where is_visit
    group by client_id, instrument
),

reaches as (
    select
        client_id,
        customer_id,
        first_seen_on as as_of_date,
        row_number() over (order by client_id) as reach,
        min(coalesce(event_at, starts_at)) - interval '30 days' as from_at,
        max(coalesce(event_at, starts_at)) as until_at
    from {{ ref('int_payments_seen') }}
    where is_visit and is_scored
    group by client_id, customer_id, first_seen_on
),

-- Thirty days are short enough for each date to have its own history, as it knew it: nothing is to be put right later.
{%- for name, condition in [
    ('histories', 'visits.is_visit'),
    ('located', 'visits.is_visit and visits.event_at is not null and visits.latitude is not null')
] %}
{{ name }} as (
    select
        reaches.reach,
        cards.card,
        visits.client_id,
        visits.transaction_key,
        visits.amount,
        case when visits.longitude is not null then visits.latitude end as latitude,
        case when visits.latitude is not null then visits.longitude end as longitude,
        visits.is_scored and visits.first_seen_on = reaches.as_of_date as is_described,
        reaches.as_of_date,
        visits.event_at,
        coalesce(visits.event_at, visits.ends_at) as stands_at
    from {{ ref('int_payments_seen') }} as visits
    inner join cards on visits.client_id = cards.client_id and visits.instrument = cards.instrument
    inner join reaches
        on
            visits.client_id = reaches.client_id
            and visits.customer_id = reaches.customer_id
            and reaches.from_at <= coalesce(visits.event_at, visits.ends_at)
            and reaches.until_at >= coalesce(visits.event_at, visits.ends_at)
            and visits.first_seen_on <= reaches.as_of_date
            and coalesce(visits.last_seen_on, cast('9999-12-31' as date)) >= reaches.as_of_date
    where {{ condition }}
),

{% endfor -%}
-- What stands on a day only is over at its end and looks back from its beginning.
entries as (
    select
        client_id,
        transaction_key,
        as_of_date,
        reach,
        card,
        amount,
        latitude,
        longitude,
        event_at,
        stands_at,
        true as counts,
        is_described and event_at is not null as looks_back
    from histories
    union all
    select
        visits.client_id,
        visits.transaction_key,
        reaches.as_of_date,
        reaches.reach,
        cards.card,
        visits.amount,
        visits.latitude,
        visits.longitude,
        visits.event_at,
        visits.starts_at as stands_at,
        false as counts,
        true as looks_back
    from {{ ref('int_payments_seen') }} as visits
    inner join cards on visits.client_id = cards.client_id and visits.instrument = cards.instrument
    inner join reaches
        on
            visits.client_id = reaches.client_id
            and visits.customer_id = reaches.customer_id
            and visits.first_seen_on = reaches.as_of_date
    where visits.is_visit and visits.is_scored and visits.event_at is null
),

windowed as (
    select
        *,
        count(*) filter (where counts) over card_week as card_transactions_7d,
        sum(amount) filter (where counts) over card_week as card_amount_7d,
        max(amount) filter (where counts) over card_month as card_max_amount_30d,
        -- Many sources tell no coordinates, and what has none comes from nowhere.
        case
            when event_at is not null and latitude is not null
                then max(event_at) filter (where counts and latitude is not null) over card_month
        end as last_located_at
    from entries
    window
        card_week as ({{ card }} {{ frame.format('7 days') }}),
        card_month as ({{ card }} {{ frame.format('30 days') }})
),

places as (
    select
        reach,
        card,
        event_at,
        {{ value_at_last('latitude', ['transaction_key']) }} as latitude,
        {{ value_at_last('longitude', ['transaction_key']) }} as longitude
    from located
    where latitude is not null
    group by reach, card, event_at
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
        places.event_at as located_at,
        places.latitude as from_latitude,
        places.longitude as from_longitude
    from windowed
    left join places
        on
            windowed.reach = places.reach
            and windowed.card = places.card
            and windowed.last_located_at = places.event_at
    where windowed.looks_back
)

select * from described
