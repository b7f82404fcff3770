with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

transactions as (
    select * from {{ ref('int_transactions') }}
    where has_base_amount
),

-- The one place that decides which transactions a past date knew. Readers bound it by days_ago.
known as (
    select
        dates.client_id,
        transactions.customer_id,
        dates.as_of_date,
        transactions.account_id,
        transactions.merchant,
        transactions.category,
        transactions.subcategory,
        transactions.city,
        transactions.payment_mode,
        transactions.channel,
        transactions.balance_after,
        transactions.event_at,
        transactions.movement,
        transactions.base_amount,
        transactions.spend_amount,
        transactions.income_amount,
        transactions.is_customer_initiated,
        transactions.business_date,
        {{ days_between('transactions.business_date', 'dates.as_of_date') }} as days_ago
    from dates
    inner join transactions
        on
            dates.client_id = transactions.client_id
            and dates.as_of_date >= transactions.business_date
            and dates.cutoff_at > transactions.known_at
            and (transactions.superseded_at is null or dates.cutoff_at <= transactions.superseded_at)
)

select * from known
