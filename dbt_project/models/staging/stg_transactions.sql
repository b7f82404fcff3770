with

raw_transactions as (
    select * from {{ source('raw', 'transactions') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

-- Whatever was told once and never taken back has no history, and that is nearly everything.
histories as (
    select * from {{ ref('stg_transactions_retold') }}
),

versions as (
    select
        told.transaction_key,
        coalesce(histories.version, 1) as version, -- noqa: RF04
        told.client_id,
        told.source,
        told.customer_id,
        told.account_id,
        told.transaction_id,
        told.original_transaction_id,
        told.description,
        {{ descriptor('told.merchant_name', 'told.description') }} as descriptor,
        told.merchant_name,
        told.merchant_id,
        told.terminal_id,
        told.mcc,
        told.source_category,
        told.card_token,
        told.counterparty_token,
        told.payment_mode,
        told.channel,
        told.status,
        told.city,
        told.region,
        told.country,
        told.remarks,
        told.currency,
        told.original_currency,
        told.amount,
        told.original_amount,
        told.fee_amount,
        told.balance_after,
        told.latitude,
        told.longitude,
        told.business_date,
        told.event_at,
        told.authorised_at,
        told.booked_at,
        told.known_at,
        histories.superseded_at,
        told._load_id,
        told._record
    from raw_transactions as told
    inner join horizon on told.client_id = horizon.client_id
    left join histories
        on
            told.transaction_key = histories.transaction_key
            and told._load_id = histories._load_id
            and told._record = histories._record
    where
        {{ after_join('told.known_at < horizon.cutoff_at') }}
        and coalesce(histories.is_new, true)
)

select * from versions
