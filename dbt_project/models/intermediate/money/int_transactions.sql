-- A view: what can have a match is few rows, and all others are joined with nothing.
with

movements as (
    select * from {{ ref('int_movements') }}
),

matches as (
    select * from {{ ref('int_matches') }}
),

-- What a pair or a refund's purchase decides is valid from when both were known.
matched as (
    select
        movements.*,
        matches.refunded_key,
        matches.paired_key,
        coalesce(matches.movement, movements.movement) as matched_movement,
        coalesce(matches.category, movements.category) as matched_category,
        coalesce(matches.subcategory, movements.subcategory) as matched_subcategory,
        coalesce(matches.category_tier, movements.category_tier) as matched_category_tier,
        coalesce(matches.known_at, movements.valid_from) as understood_at,
        case when matches.transaction_key is null then movements.valid_to else matches.superseded_at end
            as superseded_then_at
    from movements
    left join matches
        on
            movements.match_key = matches.transaction_key
            and movements.version = matches.version
            and movements.valid_from = matches.row_from
),

versions as (
    select
        transaction_key,
        version,
        client_id,
        source,
        customer_id,
        account_id,
        transaction_id,
        original_transaction_id,
        description,
        descriptor,
        merchant,
        intermediary,
        merchant_location,
        merchant_tier,
        merchant_confidence,
        matched_category as category,
        matched_subcategory as subcategory,
        matched_category_tier as category_tier,
        refunded_key,
        paired_key,
        merchant_name,
        merchant_id,
        terminal_id,
        mcc,
        source_category,
        matched_movement as movement,
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
        base_amount,
        case
            when matched_movement in ('own_transfer', 'card_repayment') then 0
            when direction = 'out' or matched_movement in ('refund', 'reversal') then -coalesce(base_amount, 0)
            else 0
        end as spend_amount,
        case when matched_movement in ('salary', 'other_income') then coalesce(base_amount, 0) else 0 end
            as income_amount,
        fee_amount,
        balance_after,
        latitude,
        longitude,
        base_amount is not null as has_base_amount,
        -- Money that leaves without anybody acting on the day says nothing about whether the customer is still there.
        direction = 'out'
        and coalesce(payment_mode, '') not in ('direct_debit', 'standing_order', 'fee', 'interest')
        and matched_movement not in ('fee', 'interest') as is_customer_initiated,
        understood_at > known_at as is_reinterpreted,
        business_date,
        booking_date,
        event_at,
        authorised_at,
        booked_at,
        known_at as version_known_at,
        understood_at as known_at,
        superseded_then_at as superseded_at,
        _load_id,
        _record
    from matched
)

select * from versions
