-- Each understanding of a transaction in its own time: merchant, movement and pair are those that were believed then.
with

known as (
    select
        client_id,
        customer_id,
        account_id,
        card_token,
        terminal_id,
        transaction_key,
        version,
        merchant,
        category,
        subcategory,
        movement,
        payment_mode,
        channel,
        city,
        country,
        base_amount,
        spend_amount,
        income_amount,
        balance_after,
        is_customer_initiated,
        business_date,
        event_at,
        booked_at,
        version_known_at,
        known_at,
        superseded_at,
        _load_id,
        _record
    from {{ ref('int_transactions') }}
    where has_base_amount and (superseded_at is null or superseded_at > known_at)
)

select * from known
