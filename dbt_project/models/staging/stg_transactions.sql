with

transactions as (
    select * from {{ source('raw', 'transactions') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        transactions.*,
        row_number() over (
            partition by transactions.transaction_key
            order by transactions.known_at, transactions._load_id, transactions._record
        ) as telling
    from transactions
    inner join horizon on transactions.client_id = horizon.client_id
    where transactions.known_at < horizon.cutoff_at
),

-- The same transaction told again, in another file, is one transaction: known since it was told first.
-- True twins differ in their key by the occurrence number and both stay.
first_told as (
    select
        transaction_key,
        client_id,
        source,
        customer_id,
        account_id,
        transaction_id,
        original_transaction_id,
        description,
        merchant_name,
        merchant_id,
        terminal_id,
        mcc,
        source_category,
        card_token,
        counterparty_token,
        payment_mode,
        channel,
        status,
        city,
        region,
        country,
        remarks,
        currency,
        original_currency,
        amount,
        original_amount,
        fee_amount,
        balance_after,
        latitude,
        longitude,
        business_date,
        event_at,
        authorised_at,
        booked_at,
        known_at,
        _load_id,
        _record
    from known
    where telling = 1
)

select * from first_told
