{{ config(materialized='table') }}

with

transactions as (
    select * from {{ ref('int_transactions') }}
    where
        superseded_at is null
        and merchant_tier in ('name', 'unknown')
        and movement in ('purchase', 'refund', 'reversal', 'other')
),

suggestions as (
    select * from {{ ref('int_merchant_suggestions') }}
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

-- A near brand that does not begin like the name shares only a word of its kind (electronics, hardware): another shop.
compared as (
    select
        used.*,
        suggestions.merchant as nearest_brand,
        suggestions.subcategory as suggested_subcategory,
        suggestions.similarity,
        coalesce(
            suggestions.similarity >= 0.75
            and substring(lower(used.merchant), 1, 3) = substring(lower(suggestions.merchant), 1, 3),
            false
        ) as is_likely
    from used
    left join suggestions on used.descriptor = suggestions.descriptor
),

-- A clean name whose category the source or the merchant category code tells needs nobody.
listed as (
    select
        compared.client_id,
        compared.descriptor,
        compared.merchant,
        compared.merchant_tier,
        case when compared.is_likely then compared.nearest_brand end as suggested_merchant,
        compared.suggested_subcategory,
        case
            when compared.is_likely then 'brand_suggested'
            when compared.merchant_tier = 'unknown' then 'no_name'
            else 'no_category'
        end as reason,
        clients.base_currency as currency,
        compared.merchant_confidence,
        case when compared.is_likely then compared.similarity end as similarity,
        compared.transactions,
        compared.transactions_without_category,
        compared.amount,
        compared.first_date,
        compared.last_date
    from compared
    inner join clients on compared.client_id = clients.client_id
    where
        compared.is_likely
        or compared.merchant_tier = 'unknown'
        or compared.transactions_without_category > 0
)

select * from listed
