with

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 90
),

purchases as (
    select
        client_id,
        customer_id,
        -base_amount as amount,
        business_date,
        known_from,
        known_until
    from {{ ref('int_transactions_to_count') }}
    where movement = 'purchase' and first_days_ago < 90
),

summed as (
    select
        purchases.client_id,
        purchases.customer_id,
        days.as_of_date,
        count(*) as purchases,
        sum(purchases.amount) as amount_sum,
        -- The product of two DECIMAL(18,4) would stay 18 wide, and overflow at a million.
        sum(cast(purchases.amount as decimal(19, 4)) * cast(purchases.amount as decimal(19, 4))) as square_sum,
        min(purchases.amount) as amount_min,
        max(purchases.amount) as amount_max,
        {{ median('purchases.amount') }} as amount_median
    from days
    inner join purchases
        on
            days.client_id = purchases.client_id
            and days.business_date = purchases.business_date
            and days.cutoff_at > purchases.known_from
            and days.cutoff_at <= purchases.known_until
    group by purchases.client_id, purchases.customer_id, days.as_of_date
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(cast(amount_sum as double) / purchases as float) as avg_transaction_amount,
        cast(amount_median as float) as median_transaction_amount_90d,
        cast(amount_max as float) as max_transaction_amount_90d,
        cast(
            case
                when purchases < 2 then null
                when amount_min = amount_max then 0
                else sqrt(
                    greatest(cast(square_sum as double) - power(cast(amount_sum as double), 2) / purchases, 0)
                    / (purchases - 1)
                )
            end as float
        ) as stddev_transaction_amount_90d
    from summed
)

select * from windowed
