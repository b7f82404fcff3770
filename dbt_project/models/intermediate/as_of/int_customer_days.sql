{{ config(materialized='table') }}

with

days as (
    select
        *,
        ends_at = starts_at + interval '24' hour as is_whole
    from {{ ref('int_business_days') }}
),

-- Only windows of whole stretches look back further than 120 days, and a stretch ends there, so what is older is
-- counted by stretch. Between two midnights 24 hours apart the clocks do not change, and counting from the first costs
-- a tenth of asking for the local hour.
transactions as (
    select
        counted.*,
        case when counted.first_days_ago < 120 then counted.business_date else counted.stretch_end end as counted_on,
        categories.is_risky,
        case
            when counted.first_days_ago >= 90 then null
            when days.is_whole and counted.event_at >= days.starts_at and counted.event_at < days.ends_at
                then
                    counted.event_at < days.starts_at + interval '6' hour
                    or counted.event_at >= days.starts_at + interval '22' hour
            else {{ local_hour('counted.event_at', 'clients.timezone') }} not between 6 and 21
        end as is_night
    from {{ ref('int_transactions_to_count') }} as counted
    inner join {{ ref('stg_clients') }} as clients on counted.client_id = clients.client_id
    inner join {{ ref('categories') }} as categories on counted.subcategory = categories.subcategory
    inner join days on counted.client_id = days.client_id and counted.business_date = days.business_date
    where counted.first_days_ago < 365
),

summed as (
    select
        client_id,
        customer_id,
        counted_on as business_date,
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
        count(*) filter (where is_customer_initiated and is_night is not null) as timed_transactions,
        count(*) filter (where is_customer_initiated and is_night) as night_transactions,
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
    group by client_id, customer_id, counted_on, stretch_end, known_from, known_until
)

select * from summed
