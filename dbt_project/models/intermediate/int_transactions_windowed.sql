{%- set purchase_90d = "movement = 'purchase' and days_ago < 90" %}
{%- set periods = range(6) %}

with

transactions as (
    select * from {{ ref('int_transactions_as_of') }}
    where days_ago < 365
),

-- Sums of DECIMAL only: they do not depend on the order of rows, so neither does anything made from them.
summed as (
    select
        client_id,
        customer_id,
        as_of_date,
        count(*) filter (where is_customer_initiated) as transactions_365d,
        count(*) filter (where is_customer_initiated and days_ago < 90) as transactions_90d,
        count(*) filter (where is_customer_initiated and days_ago < 30) as transactions_30d,
        count(*) filter (where is_customer_initiated and days_ago between 30 and 119) as transactions_prior_90d,
        sum(spend_amount) as spend_365d,
        {%- for period in periods %}
        coalesce(
            sum(spend_amount) filter (where days_ago between {{ period * 30 }} and {{ period * 30 + 29 }}), 0
        ) as spend_{{ period }},
        {%- endfor %}
        count(*) filter (where {{ purchase_90d }}) as purchases,
        sum(-base_amount) filter (where {{ purchase_90d }}) as purchase_sum,
        -- The product of two DECIMAL(18,4) would stay 18 wide, and overflow at a million.
        sum(
            cast(base_amount as decimal(19, 4)) * cast(base_amount as decimal(19, 4))
        ) filter (where {{ purchase_90d }}) as purchase_square_sum,
        min(-base_amount) filter (where {{ purchase_90d }}) as purchase_min,
        max(-base_amount) filter (where {{ purchase_90d }}) as purchase_max,
        {{ median('-base_amount', purchase_90d) }} as purchase_median
    from transactions
    group by client_id, customer_id, as_of_date
),

-- Period 0 is the newest.
averaged as (
    select
        *,
        spend_0 + spend_1 + spend_2 as spend_90d,
        cast(
            {%- for period in periods %}
            {{ '+ ' if period }}spend_{{ period }}
            {%- endfor %} as double
        ) / 6 as spend_mean,
        cast(
            2.5 * (spend_0 - spend_5) + 1.5 * (spend_1 - spend_4) + 0.5 * (spend_2 - spend_3) as double
        ) / 17.5 as spend_slope,
        cast(purchase_sum as double) / purchases as purchase_mean
    from summed
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        transactions_365d,
        transactions_90d,
        transactions_30d,
        transactions_prior_90d,
        spend_365d,
        spend_90d,
        spend_0 as spend_30d,
        cast(purchase_mean as float) as avg_transaction_amount,
        cast(purchase_median as float) as median_transaction_amount_90d,
        cast(purchase_max as float) as max_transaction_amount_90d,
        cast(
            case
                when purchases < 2 then null
                when purchase_min = purchase_max then 0
                else sqrt(
                    greatest(cast(purchase_square_sum as double) - purchases * power(purchase_mean, 2), 0)
                    / (purchases - 1)
                )
            end as float
        ) as stddev_transaction_amount_90d,
        cast(case when spend_mean > 0 then spend_slope / spend_mean end as float) as spend_slope_180d,
        cast(
            case
                when spend_mean > 0 then sqrt(
                    (
                        {%- for period in periods %}
                        {{ '+ ' if period }}power(cast(spend_{{ period }} as double) - spend_mean, 2)
                        {%- endfor %}
                    ) / 5
                ) / spend_mean
            end as float
        ) as spend_volatility_180d
    from averaged
)

select * from windowed
