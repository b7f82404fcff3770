-- depends_on: {{ ref('stg_touched_days') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }}
            where (client_id, business_date) in (select client_id, business_date from {{ ref('stg_touched_days') }})
            {% endif %}
        ",
    )
}}

with

transactions as (
    select * from {{ ref('int_transactions_understood') }}
    {%- if is_incremental() %}
    where
        (client_id, business_date) in (
            select
                touched.client_id,
                touched.business_date
            from {{ ref('stg_touched_days') }} as touched
        )
    {%- endif %}
),

rules as (
    select * from {{ ref('movement_rules') }}
),

defaults as (
    select * from {{ ref('movements') }}
),

categories as (
    select * from {{ ref('categories') }}
),

-- What a row says it refunds comes first, then the source's own category, then the way of paying, then what its
-- merchant is paid for. Money that comes in from a shop is a refund only where nothing says how it came: shops pay
-- salaries too, by transfer.
ruled as (
    select
        transactions.*,
        by_source.movement as source_movement,
        case
            when by_merchant.movement <> 'refund' or transactions.payment_mode is null then by_merchant.movement
        end as merchant_movement,
        case
            when
                transactions.direction = 'in'
                and transactions.original_transaction_id is not null
                and not transactions.is_posting
                then 'refund'
            else coalesce(by_word.movement, by_source.movement, by_mode.movement)
        end as stated_movement
    from transactions
    left join rules as by_word
        on
            transactions.category_code = by_word.value
            and transactions.direction = by_word.direction
            and by_word.rule_on = 'source_category'
    left join rules as by_source
        on
            transactions.source_subcategory = by_source.value
            and transactions.direction = by_source.direction
            and by_source.rule_on = 'subcategory'
    left join rules as by_mode
        on
            transactions.payment_mode = by_mode.value
            and transactions.direction = by_mode.direction
            and by_mode.rule_on = 'payment_mode'
    left join rules as by_merchant
        on
            transactions.merchant_subcategory = by_merchant.value
            and transactions.direction = by_merchant.direction
            and by_merchant.rule_on = 'subcategory'
),

moved as (
    select
        *,
        coalesce(
            stated_movement, merchant_movement, case when direction = 'out' then 'purchase' else 'other' end
        ) as movement
    from ruled
),

-- A movement has one default subcategory, which its merchant or source may tell more exactly. Purchases and what gives
-- them back have none: the merchant comes before the source's own word.
chosen as (
    select
        moved.*,
        case
            when
                moved.merchant_subcategory is not null
                and (defaults.subcategory is null or moved.merchant_movement = moved.movement)
                then moved.merchant_subcategory_tier
            when defaults.subcategory is not null then 'movement'
            when moved.source_subcategory is not null then 'source_category'
            else 'unknown'
        end as chosen_tier,
        case when moved.source_movement = moved.movement then moved.source_subcategory end as own_subcategory,
        defaults.subcategory as default_subcategory
    from moved
    left join defaults on moved.movement = defaults.movement
),

-- Money that goes out is never income, whatever its source or merchant is called.
categorised as (
    select
        chosen.transaction_key,
        chosen.version,
        chosen.client_id,
        chosen.source,
        chosen.customer_id,
        chosen.account_id,
        chosen.transaction_id,
        chosen.original_transaction_id,
        chosen.description,
        chosen.descriptor,
        chosen.merchant,
        chosen.intermediary,
        chosen.merchant_location,
        chosen.merchant_tier,
        chosen.merchant_confidence,
        chosen.merchant_name,
        chosen.merchant_id,
        chosen.terminal_id,
        chosen.mcc,
        chosen.source_category,
        chosen.card_token,
        chosen.counterparty_token,
        chosen.payment_mode,
        chosen.channel,
        chosen.status,
        chosen.city,
        chosen.region,
        chosen.country,
        chosen.remarks,
        chosen.currency,
        chosen.original_currency,
        chosen.amount,
        chosen.original_amount,
        chosen.base_amount,
        chosen.fee_amount,
        chosen.balance_after,
        chosen.latitude,
        chosen.longitude,
        chosen.direction,
        chosen.movement,
        chosen.business_date,
        chosen.booking_date,
        chosen.event_at,
        chosen.authorised_at,
        chosen.booked_at,
        chosen.known_at,
        chosen.valid_from,
        chosen.valid_to,
        chosen._load_id,
        chosen._record,
        coalesce(categories.category, 'other') as category,
        coalesce(categories.subcategory, 'unknown') as subcategory,
        case when categories.subcategory is null then 'unknown' else chosen.chosen_tier end as category_tier,
        -- Null in nearly all rows: they have nothing to be matched with, and joining on null costs nothing.
        case
            when
                chosen.movement in (
                    'own_transfer', 'card_repayment', 'transfer_to_people', 'other', 'refund', 'reversal'
                )
                or (
                    chosen.movement = 'purchase'
                    and categories.subcategory is null
                    and coalesce(chosen.payment_mode, 'transfer') in ('transfer', 'standing_order')
                )
                then chosen.transaction_key
        end as match_key
    from chosen
    left join categories
        on
            case when chosen.direction = 'out' then 'income' else '' end <> categories.category
            and case
                when chosen.chosen_tier = 'movement'
                    then coalesce(chosen.own_subcategory, chosen.default_subcategory)
                when chosen.chosen_tier = 'source_category' then chosen.source_subcategory
                else chosen.merchant_subcategory
            end = categories.subcategory
)

select * from categorised
