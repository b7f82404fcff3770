with

transactions as (
    select * from {{ ref('int_transactions') }}
    where has_base_amount
),

days as (
    select * from {{ ref('int_business_days') }}
),

-- Nearly every row is known by the first date that can count it and never superseded: such rows get the same two
-- moments, so that rows of a day can be added up before any date looks at them. Exact moments stay where a date
-- depends on them.
counted as (
    select
        transactions.client_id,
        transactions.customer_id,
        transactions.account_id,
        transactions.merchant,
        transactions.category,
        transactions.subcategory,
        transactions.movement,
        transactions.payment_mode,
        transactions.channel,
        transactions.city,
        transactions.base_amount,
        transactions.spend_amount,
        transactions.income_amount,
        transactions.is_customer_initiated,
        days.first_days_ago,
        transactions.business_date,
        days.stretch_end,
        days.first_date,
        transactions.event_at,
        case
            when transactions.known_at < days.first_cutoff_at then cast('1970-01-01' as timestamp)
            else transactions.known_at
        end as known_from,
        case
            when transactions.superseded_at < days.last_cutoff_at then transactions.superseded_at
            else cast('9999-12-31' as timestamp)
        end as known_until
    from transactions
    inner join days
        on transactions.client_id = days.client_id and transactions.business_date = days.business_date
    where
        {{ after_join('transactions.known_at < days.last_cutoff_at') }}
        and (transactions.superseded_at is null or transactions.superseded_at >= days.first_cutoff_at)
)

select * from counted
