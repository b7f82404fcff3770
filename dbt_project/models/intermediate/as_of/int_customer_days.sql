{{ config(materialized='table') }}

with

transactions as (
    select
        counted.*,
        categories.is_risky,
        case when counted.first_days_ago < 90 then {{ local_hour('counted.event_at', 'clients.timezone') }} end
            as local_hour
    from {{ ref('int_transactions_to_count') }} as counted
    inner join {{ ref('stg_clients') }} as clients on counted.client_id = clients.client_id
    inner join {{ ref('categories') }} as categories on counted.subcategory = categories.subcategory
    where counted.first_days_ago < 365
),

summed as (
    select
        client_id,
        customer_id,
        business_date,
        stretch_end,
        known_from,
        known_until,
        count(*) filter (where is_customer_initiated) as transactions,
        count(*) filter (
            where is_customer_initiated and (payment_mode is not null or channel is not null)
        ) as transactions_with_way,
        count(*) filter (
            where is_customer_initiated and (channel = 'online' or payment_mode in ('upi', 'wallet'))
        ) as digital_transactions,
        count(*) filter (where is_customer_initiated and local_hour is not null) as timed_transactions,
        count(*) filter (
            where is_customer_initiated and (local_hour >= 22 or local_hour < 6)
        ) as night_transactions,
        count(*) filter (where movement = 'purchase') as purchases,
        count(*) filter (where movement in ('refund', 'reversal')) as reversals,
        cast(sum(spend_amount) as decimal(18, 4)) as spend,
        cast(sum(income_amount) as decimal(18, 4)) as income,
        cast(sum(case when category = 'investments' then spend_amount else 0 end) as decimal(18, 4)) as investments,
        cast(sum(case when is_risky then spend_amount else 0 end) as decimal(18, 4)) as risky_spend,
        cast(sum(case when movement = 'rent' then spend_amount else 0 end) as decimal(18, 4)) as rent,
        cast(
            sum(case when movement = 'loan_instalment' then spend_amount else 0 end) as decimal(18, 4)
        ) as instalments,
        cast(
            sum(
                case when movement in ('fee', 'interest') and base_amount < 0 then -base_amount else 0 end
            ) as decimal(18, 4)
        ) as fees_and_interest
    from transactions
    group by client_id, customer_id, business_date, stretch_end, known_from, known_until
)

select * from summed
