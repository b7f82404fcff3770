-- Both sides are read from the table: to keep all payments as a CTE fills memory, then the disk.
with

days as (
    select 0 as days_ago
    union all
    select -1 as days_ago
),

-- Whatever happened in 24 hours happened on the same day (of UTC) or the one before: a join by day compares few rows.
described as (
    select
        visits.client_id,
        visits.customer_id,
        visits.transaction_key,
        visits.instrument,
        visits.first_seen_on,
        visits.event_at,
        cast({{ dbt.dateadd('day', 'days.days_ago', 'cast(visits.event_at as date)') }} as date) as looked_at_day
    from {{ ref('int_payments_seen') }} as visits
    cross join days
    where visits.is_visit and visits.is_scored and visits.event_at is not null
),

earlier as (
    select
        client_id,
        customer_id,
        instrument,
        nullif(merchant, 'unknown') as merchant,
        amount,
        first_seen_on,
        coalesce(last_seen_on, cast('9999-12-31' as date)) as last_seen_on,
        cast(event_at as date) as event_day,
        event_at
    from {{ ref('int_payments_seen') }}
    where is_visit and event_at is not null
),

pairs as (
    select
        described.client_id,
        described.transaction_key,
        described.first_seen_on as as_of_date,
        earlier.merchant,
        earlier.amount,
        described.instrument = earlier.instrument as is_same_card,
        earlier.event_at >= described.event_at - interval '1 hour' as is_of_hour
    from described
    inner join earlier
        on
            described.client_id = earlier.client_id
            and described.customer_id = earlier.customer_id
            and described.looked_at_day = earlier.event_day
            and described.event_at > earlier.event_at
            and described.event_at <= earlier.event_at + interval '24 hours'
            and described.first_seen_on >= earlier.first_seen_on
            and described.first_seen_on <= earlier.last_seen_on
),

counted as (
    select
        client_id,
        transaction_key,
        as_of_date,
        count(*) filter (where is_same_card and is_of_hour) as card_transactions_1h,
        sum(amount) filter (where is_same_card and is_of_hour) as card_amount_1h,
        sum(amount) filter (where is_same_card) as card_amount_24h,
        count(*) as customer_transactions_24h,
        count(distinct merchant) as customer_merchants_24h
    from pairs
    group by client_id, transaction_key, as_of_date
)

select * from counted
