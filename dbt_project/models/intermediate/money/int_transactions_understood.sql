with

transactions as (
    select
        *,
        case when amount < 0 then 'out' when amount > 0 then 'in' else 'none' end as direction,
        lower(replace(replace(trim(source_category), ' ', '_'), '-', '_')) as category_code
    from {{ ref('stg_transactions') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

postings as (
    select distinct posted_key from {{ ref('int_postings') }}
    where is_known_in_order
),

posted as (
    select
        pending_key,
        min(posted_known_at) as posted_at
    from {{ ref('int_postings') }}
    group by pending_key
),

merchants as (
    select * from {{ ref('int_merchants') }}
),

mcc_categories as (
    select * from {{ ref('mcc_categories') }}
),

source_categories as (
    select * from {{ ref('source_categories') }}
),

-- What is known of a merchant changes with rules and corrections. Each understanding of a version is valid in its own
-- time, so a later rule changes no earlier date.
understood as (
    select
        transactions.*,
        coalesce(merchants.merchant, 'unknown') as merchant,
        merchants.intermediary,
        merchants.location as merchant_location,
        coalesce(merchants.tier, 'unknown') as merchant_tier,
        cast(coalesce(merchants.confidence, 0) as decimal(4, 3)) as merchant_confidence,
        coalesce(merchants.subcategory, mcc_categories.subcategory) as merchant_subcategory,
        case
            when merchants.subcategory is not null then merchants.tier
            when mcc_categories.subcategory is not null then 'mcc'
        end as merchant_subcategory_tier,
        source_categories.subcategory as source_subcategory,
        postings.posted_key is not null as is_posting,
        case
            when transactions.currency = clients.base_currency then transactions.amount
            when transactions.original_currency = clients.base_currency
                then cast(sign(transactions.amount) * abs(transactions.original_amount) as decimal(18, 4))
        end as base_amount,
        -- To ask the calendar of each row costs twenty times as much as reading its answer.
        case
            when transactions.booked_at is not null
                then {{ local_date('transactions.booked_at', 'clients.timezone') }}
            else transactions.business_date
        end as booking_date,
        greatest(transactions.known_at, merchants.known_at) as valid_from,
        least(transactions.superseded_at, posted.posted_at, merchants.superseded_at) as valid_to
    from transactions
    inner join clients on transactions.client_id = clients.client_id
    left join merchants
        on
            transactions.descriptor = merchants.descriptor
            -- Comparisons of one side with the other: an `or` between the two would compare every pair of rows.
            and transactions.known_at < coalesce(merchants.superseded_at, cast('9999-12-31' as timestamp))
            and greatest(
                {{ dbt.dateadd('microsecond', 1, 'transactions.known_at') }},
                coalesce(transactions.superseded_at, cast('9999-12-31' as timestamp))
            ) > merchants.known_at
    left join mcc_categories on transactions.mcc = mcc_categories.mcc
    left join source_categories on transactions.category_code = source_categories.source_category
    left join postings on transactions.transaction_key = postings.posted_key
    left join posted on transactions.transaction_key = posted.pending_key
)

select * from understood
