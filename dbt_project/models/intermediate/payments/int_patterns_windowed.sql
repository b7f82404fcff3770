{%- set customer = 'partition by client_id, customer_id order by stands_at' %}
{%- set instrument = 'partition by client_id, customer_id, instrument order by stands_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}

-- A night's few transactions are looked at one by one; windows pay where dates share a history.
with

payments as (
    select * from {{ ref('int_payments_seen') }}
),

customers as (
    select
        client_id,
        customer_id,
        min(business_date) as first_day
    from payments
    where is_scored
    group by client_id, customer_id
),

sides as (
    select 'itself' as side
    union all
    select 'looks back' as side
),

-- What stands on a day only is over at its end and looks back from its beginning.
entries as (
    select
        payments.*,
        case sides.side
            when 'itself' then coalesce(payments.event_at, payments.ends_at)
            else payments.starts_at
        end as stands_at,
        sides.side = 'itself' and payments.last_seen_on is null as counts,
        payments.is_scored and (sides.side = 'looks back' or payments.event_at is not null) as looks_back
    from payments
    inner join customers
        on payments.client_id = customers.client_id and payments.customer_id = customers.customer_id
    cross join sides
    where
        {{ days_between('payments.business_date', 'customers.first_day') }} <= 366
        and (sides.side = 'itself' or (payments.is_scored and payments.event_at is null))
        and (payments.is_scored or (payments.last_seen_on is null and not payments.is_only_date))
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
        ) as deviation
    from entries
    window
        instrument_year as ({{ instrument }} {{ frame.format('365 days') }}),
        instrument_day as ({{ instrument }} {{ frame.format('24 hours') }}),
        customer_day as ({{ customer }} {{ frame.format('24 hours') }}),
        customer_quarter as ({{ customer }} {{ frame.format('90 days') }})
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
        amount,
        previous_at,
        transactions_24h,
        spend_24h,
        spend_90d,
        median_amount,
        deviation,
        business_date,
        event_at
    from windowed
    where looks_back
)

select * from patterns
