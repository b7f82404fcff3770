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

movements as (
    select * from {{ ref('int_movements') }}
),

merchants as (
    select * from {{ ref('int_merchants') }}
),

source_categories as (
    select * from {{ ref('source_categories') }}
),

categories as (
    select * from {{ ref('categories') }}
),

superseded as (
    select
        pending_key,
        min(posted_known_at) as superseded_at
    from {{ ref('int_postings') }}
    group by pending_key
),

versions as (
    select
        movements.transaction_key,
        movements.version,
        movements.client_id,
        movements.source,
        movements.customer_id,
        movements.account_id,
        movements.transaction_id,
        movements.original_transaction_id,
        movements.description,
        movements.descriptor,
        coalesce(merchants.merchant, 'unknown') as merchant,
        merchants.intermediary,
        merchants.location as merchant_location,
        coalesce(merchants.tier, 'unknown') as merchant_tier,
        cast(coalesce(merchants.confidence, 0) as decimal(4, 3)) as merchant_confidence,
        coalesce(categories.category, 'other') as category,
        coalesce(categories.subcategory, 'unknown') as subcategory,
        case
            when merchants.subcategory is not null then merchants.tier
            when source_categories.subcategory is not null then 'source_category'
            else 'unknown'
        end as category_tier,
        cast(null as varchar) as refunded_key,
        cast(null as varchar) as paired_key,
        movements.merchant_name,
        movements.merchant_id,
        movements.terminal_id,
        movements.mcc,
        movements.source_category,
        movements.movement,
        movements.card_token,
        movements.counterparty_token,
        movements.payment_mode,
        movements.channel,
        movements.status,
        movements.city,
        movements.region,
        movements.country,
        movements.remarks,
        movements.currency,
        movements.original_currency,
        movements.amount,
        movements.original_amount,
        movements.base_amount,
        case
            when movements.movement in ('own_transfer', 'card_repayment') then 0
            when movements.direction = 'out' or movements.movement = 'refund' then -coalesce(movements.base_amount, 0)
            else 0
        end as spend_amount,
        case when movements.movement = 'income' then coalesce(movements.base_amount, 0) else 0 end as income_amount,
        movements.fee_amount,
        movements.balance_after,
        movements.latitude,
        movements.longitude,
        movements.base_amount is not null as has_base_amount,
        -- Money that leaves without anybody acting on the day says nothing about whether the customer is still there.
        movements.direction = 'out'
        and coalesce(movements.payment_mode, '') not in ('direct_debit', 'standing_order', 'fee', 'interest')
        and movements.movement not in ('fee', 'interest') as is_customer_initiated,
        movements.business_date,
        movements.event_at,
        movements.authorised_at,
        movements.booked_at,
        movements.known_at,
        least(movements.superseded_at, superseded.superseded_at) as superseded_at,
        movements._load_id,
        movements._record
    from movements
    left join merchants on movements.descriptor = merchants.descriptor and merchants.superseded_at is null
    left join source_categories on movements.category_code = source_categories.source_category
    left join categories on coalesce(merchants.subcategory, source_categories.subcategory) = categories.subcategory
    left join superseded on movements.transaction_key = superseded.pending_key
    {%- if is_incremental() %}
    where
        (movements.client_id, movements.business_date) in (
            select
                touched.client_id,
                touched.business_date
            from {{ ref('stg_touched_days') }} as touched
        )
    {%- endif %}
)

select * from versions
