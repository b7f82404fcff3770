with

revenue as (
    select
        client_id,
        customer_id,
        account_id,
        transaction_key,
        version,
        currency,
        fees,
        interest,
        interchange,
        revenue,
        business_date,
        known_at,
        superseded_at
    from {{ ref('int_transactions_valued') }}
    where fees <> 0 or interest <> 0 or interchange <> 0
)

select * from revenue
