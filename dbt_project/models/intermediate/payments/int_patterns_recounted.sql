-- A table: of a view DuckDB expects as many rows as of the payments it corrects, and hashes those instead of these few.
{{ config(materialized='table', schema='as_of') }}

-- Windows see what the last date sees. Looked at one by one are payments after a row that came late or was superseded,
-- and those of one date more: they are few, and their history is that of few customers.
with

scored as (
    select
        client_id,
        customer_id,
        transaction_key,
        instrument,
        merchant,
        event_at,
        coalesce(event_at, starts_at) as looks_back_from,
        first_seen_on as as_of_date,
        is_one_more
    from {{ ref('int_payments_seen') }}
    where is_scored
),

unsteady as (
    select
        client_id,
        customer_id,
        coalesce(event_at, ends_at) as stands_at,
        first_seen_on,
        last_seen_on
    from {{ ref('int_payments_seen') }}
    where (is_late or last_seen_on is not null) and not is_visit
),

disturbed as (
    select scored.*
    from scored
    inner join unsteady
        on
            scored.client_id = unsteady.client_id
            and scored.customer_id = unsteady.customer_id
            and scored.looks_back_from > unsteady.stands_at
            and scored.looks_back_from <= unsteady.stands_at + interval '365 days'
    where
        case
            when unsteady.last_seen_on is null then scored.as_of_date < unsteady.first_seen_on
            else scored.as_of_date between unsteady.first_seen_on and unsteady.last_seen_on
        end
    union
    select *
    from scored
    where is_one_more
),

earlier as (
    select
        *,
        coalesce(event_at, ends_at) as stands_at
    from {{ ref('int_payments_seen') }}
),

histories as (
    select
        disturbed.client_id,
        disturbed.transaction_key,
        disturbed.as_of_date,
        earlier.event_at,
        earlier.spend_amount,
        earlier.amount,
        earlier.is_purchase and disturbed.looks_back_from <= earlier.stands_at + interval '90 days' as is_purchase_90d,
        earlier.stands_at >= disturbed.looks_back_from - interval '90 days' as is_in_90d,
        earlier.stands_at >= disturbed.looks_back_from - interval '24 hours' as is_in_24h,
        earlier.is_customer_initiated
        and earlier.event_at is not null
        and earlier.instrument = disturbed.instrument as is_same_instrument,
        earlier.is_visit
        and (
            earlier.merchant = disturbed.merchant or (earlier.merchant is null and disturbed.merchant is null)
        ) as is_same_merchant
    from disturbed
    left join earlier
        on
            disturbed.client_id = earlier.client_id
            and disturbed.customer_id = earlier.customer_id
            and disturbed.looks_back_from > earlier.stands_at
            and disturbed.looks_back_from <= earlier.stands_at + interval '365 days'
            and disturbed.as_of_date >= earlier.first_seen_on
            and coalesce(earlier.last_seen_on, cast('9999-12-31' as date)) >= disturbed.as_of_date
),

recounted as (
    select
        client_id,
        transaction_key,
        as_of_date,
        max(event_at) filter (where is_same_instrument) as previous_at,
        count(*) filter (where is_same_instrument and is_in_24h) as transactions_24h,
        sum(spend_amount) filter (where is_in_24h) as spend_24h,
        sum(spend_amount) filter (where is_in_90d) as spend_90d,
        cast({{ median('amount', 'is_purchase_90d') }} as decimal(24, 6)) as median_amount,
        cast({{ median_absolute_deviation('amount', 'is_purchase_90d') }} as decimal(24, 6)) as deviation,
        count(*) filter (where is_same_merchant) as earlier_visits
    from histories
    group by client_id, transaction_key, as_of_date
)

select * from recounted
