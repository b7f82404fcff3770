with

transactions as (
    select
        *,
        coalesce(nullif(trim(merchant_name), ''), description) as descriptor,
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

category_rules as (
    select * from {{ ref('movement_rules') }}
    where rule_on = 'source_category'
),

mode_rules as (
    select * from {{ ref('movement_rules') }}
    where rule_on = 'payment_mode'
),

-- What a row says it refunds or reverses comes first, then the source's own category, then the way of paying.
classified as (
    select
        transactions.*,
        case
            when
                transactions.direction = 'in'
                and transactions.original_transaction_id is not null
                and postings.posted_key is null
                then 'refund'
            when category_rules.movement is not null then category_rules.movement
            when mode_rules.movement is not null then mode_rules.movement
            when transactions.direction = 'out' then 'purchase'
            else 'other'
        end as movement,
        case
            when transactions.currency = clients.base_currency then transactions.amount
            when transactions.original_currency = clients.base_currency
                then cast(sign(transactions.amount) * abs(transactions.original_amount) as decimal(18, 4))
        end as base_amount
    from transactions
    inner join clients on transactions.client_id = clients.client_id
    left join postings on transactions.transaction_key = postings.posted_key
    left join category_rules
        on transactions.category_code = category_rules.value and transactions.direction = category_rules.direction
    left join mode_rules
        on transactions.payment_mode = mode_rules.value and transactions.direction = mode_rules.direction
)

select * from classified
