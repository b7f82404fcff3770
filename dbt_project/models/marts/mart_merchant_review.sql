{{ config(materialized='table') }}

with

transactions as (
    select * from {{ ref('int_transactions') }}
    where
        superseded_at is null
        and merchant_tier in ('name', 'unknown')
        and movement in ('purchase', 'refund', 'reversal', 'other')
),

-- Of nearer brands some are right; what is further away is a hint, and no reason to ask somebody.
suggestions as (
    select
        *,
        coalesce(similarity >= 0.75, false) as is_likely
    from {{ ref('int_merchant_suggestions') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

used as (
    select
        client_id,
        descriptor,
        merchant,
        merchant_tier,
        merchant_confidence,
        count(*) as transactions,
        count(*) filter (where subcategory = 'unknown') as transactions_without_category,
        cast(sum(abs(coalesce(base_amount, 0))) as decimal(18, 4)) as amount,
        min(business_date) as first_date,
        max(business_date) as last_date
    from transactions
    group by client_id, descriptor, merchant, merchant_tier, merchant_confidence
),

-- A clean name whose category the source or the merchant category code tells needs nobody.
listed as (
    select
        used.client_id,
        used.descriptor,
        used.merchant,
        used.merchant_tier,
        suggestions.merchant as suggested_merchant,
        suggestions.subcategory as suggested_subcategory,
        case
            when suggestions.is_likely then 'brand_suggested'
            when used.merchant_tier = 'unknown' then 'no_name'
            else 'no_category'
        end as reason,
        clients.base_currency as currency,
        used.merchant_confidence,
        suggestions.similarity,
        used.transactions,
        used.transactions_without_category,
        used.amount,
        used.first_date,
        used.last_date
    from used
    inner join clients on used.client_id = clients.client_id
    left join suggestions on used.descriptor = suggestions.descriptor
    where
        suggestions.is_likely
        or used.merchant_tier = 'unknown'
        or used.transactions_without_category > 0
)

select * from listed
