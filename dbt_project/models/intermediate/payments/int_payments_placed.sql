-- Each understanding of a payment in its own time: merchant, movement and pair are those that were believed then.
with

days as (
    select * from {{ ref('int_days_in_order') }}
),

placed as (
    select
        transactions.client_id,
        transactions.customer_id,
        transactions.transaction_key,
        transactions.version,
        coalesce(transactions.card_token, transactions.account_id, '') as instrument,
        transactions.payment_mode,
        transactions.city,
        transactions.country,
        transactions.merchant,
        coalesce(transactions.terminal_id, transactions.merchant) as place,
        transactions.terminal_id,
        transactions.latitude,
        transactions.longitude,
        abs(transactions.base_amount) as amount,
        transactions.spend_amount,
        transactions.is_customer_initiated,
        transactions.movement = 'purchase' as is_purchase,
        transactions.is_customer_initiated and (
            days.previous_as_of_date is null
            or transactions.business_date > days.previous_as_of_date
            or transactions.version_known_at >= days.previous_cutoff_at
        ) as is_new,
        days.is_one_more,
        transactions.known_at >= days.first_cutoff_at as is_late,
        coalesce(transactions.superseded_at < days.last_cutoff_at, false) as has_ended,
        transactions.business_date,
        days.first_date,
        transactions.event_at,
        transactions.version_known_at,
        transactions.known_at,
        transactions.superseded_at,
        days.last_cutoff_at,
        days.starts_at,
        days.ends_at
    from {{ ref('int_transactions') }} as transactions
    inner join days
        on transactions.client_id = days.client_id and transactions.business_date = days.business_date
    where
        transactions.has_base_amount
        and (
            transactions.is_customer_initiated
            or transactions.movement = 'purchase'
            or transactions.spend_amount <> 0
        )
        and {{ after_join('transactions.known_at < days.last_cutoff_at') }}
        and (
            transactions.superseded_at is null
            or (
                transactions.superseded_at > transactions.known_at
                and transactions.superseded_at >= days.first_cutoff_at
            )
        )
)

select * from placed
