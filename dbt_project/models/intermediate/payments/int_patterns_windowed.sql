{%- set customer = 'partition by client_id, customer_id order by stands_at' %}
{%- set instrument = 'partition by client_id, customer_id, instrument order by stands_at' %}
{%- set merchant = 'partition by client_id, customer_id, merchant order by stands_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}

with

-- A night's few transactions are looked at one by one; windows pay where dates share a history, and on a first date.
payments as (
    select * from {{ ref('int_payments_seen') }}
    where is_scored or (last_seen_on is null and not is_one_more)
),

-- What stands on a day only is over at its end and looks back from its beginning.
entries as (
    select
        *,
        coalesce(event_at, ends_at) as stands_at,
        last_seen_on is null as counts,
        is_scored and event_at is not null as looks_back
    from payments
    union all
    select
        *,
        starts_at as stands_at,
        false as counts,
        true as looks_back
    from payments
    where is_scored and event_at is null
),

windowed as (
    select
        *,
        max(event_at) filter (where counts and is_customer_initiated) over instrument_year as previous_at,
        count(*) filter (where counts and is_customer_initiated and event_at is not null)
            over instrument_day as transactions_24h,
        sum(spend_amount) filter (where counts) over customer_day as spend_24h,
        sum(spend_amount) filter (where counts) over customer_quarter as spend_90d,
        cast(
            {{ median('amount', 'counts and is_purchase') }} over customer_quarter as decimal(24, 6)
        ) as median_amount,
        cast(
            {{ median_absolute_deviation('amount', 'counts and is_purchase') }} over customer_quarter as decimal(24, 6)
        ) as deviation,
        count(*) filter (where counts and is_visit) over merchant_year as earlier_visits
    from entries
    window
        instrument_year as ({{ instrument }} {{ frame.format('365 days') }}),
        instrument_day as ({{ instrument }} {{ frame.format('24 hours') }}),
        customer_day as ({{ customer }} {{ frame.format('24 hours') }}),
        customer_quarter as ({{ customer }} {{ frame.format('90 days') }}),
        merchant_year as ({{ merchant }} {{ frame.format('365 days') }})
),

patterns as (
    select
        client_id,
        customer_id,
        transaction_key,
        version,
        first_seen_on as as_of_date,
        payment_mode,
        city,
        country,
        place,
        amount,
        previous_at,
        transactions_24h,
        spend_24h,
        spend_90d,
        median_amount,
        deviation,
        earlier_visits,
        business_date,
        event_at,
        starts_at,
        ends_at
    from windowed
    where looks_back
)

select * from patterns
