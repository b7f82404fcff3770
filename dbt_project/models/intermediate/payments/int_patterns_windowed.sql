{%- set customer = 'partition by customer_number order by stands_at' %}
{%- set instrument = 'partition by customer_number, instrument_number order by stands_at' %}
{%- set merchant = 'partition by customer_number, merchant_number order by stands_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}

with

-- A night's few transactions are looked at one by one; windows pay where dates share a history, and on a first date.
payments as (
    select * from {{ ref('int_payments_seen') }}
    where is_scored or (last_seen_on is null and not is_one_more)
),

-- Windows are sorted by numbers and carry what they count: with names and places they took half as long again.
{%- for name, of in [('customer', 'customer_id'), ('instrument', 'instrument'), ('merchant', 'merchant')] %}
{{ name }}s as (
    select
        client_id,
        {{ of }},
        row_number() over (order by client_id, {{ of }}) as {{ name }}_number
    from payments
    group by client_id, {{ of }}
),

{% endfor -%}
numbered as (
    select
        payments.client_id,
        payments.transaction_key,
        payments.first_seen_on,
        customers.customer_number,
        instruments.instrument_number,
        -- What has no merchant has no number of one: those are one partition of the customer.
        merchants.merchant_number,
        payments.event_at,
        payments.starts_at,
        coalesce(payments.event_at, payments.ends_at) as stands_at,
        payments.amount,
        payments.spend_amount,
        payments.is_customer_initiated,
        payments.is_purchase,
        payments.is_visit,
        payments.is_scored,
        payments.last_seen_on is null as counts
    from payments
    inner join customers
        on payments.client_id = customers.client_id and payments.customer_id = customers.customer_id
    left join instruments
        on payments.client_id = instruments.client_id and payments.instrument = instruments.instrument
    left join merchants
        on payments.client_id = merchants.client_id and payments.merchant = merchants.merchant
),

-- What stands on a day only is over at its end and looks back from its beginning.
entries as (
    select
        client_id,
        transaction_key,
        first_seen_on,
        customer_number,
        instrument_number,
        merchant_number,
        event_at,
        stands_at,
        amount,
        spend_amount,
        is_customer_initiated,
        is_purchase,
        is_visit,
        counts,
        is_scored and event_at is not null as looks_back
    from numbered
    union all
    select
        client_id,
        transaction_key,
        first_seen_on,
        customer_number,
        instrument_number,
        merchant_number,
        event_at,
        starts_at as stands_at,
        amount,
        spend_amount,
        is_customer_initiated,
        is_purchase,
        is_visit,
        false as counts,
        true as looks_back
    from numbered
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
        transaction_key,
        first_seen_on as as_of_date,
        previous_at,
        transactions_24h,
        spend_24h,
        spend_90d,
        median_amount,
        deviation,
        earlier_visits
    from windowed
    where looks_back
)

select * from patterns
