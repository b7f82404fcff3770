{{ config(materialized='table') }}

with

months as (
    select * from {{ ref('int_months') }}
    where months_ago <= 12
),

sums as (
    {%- for category in ['category', "''"] %}
    select
        sums.client_id,
        sums.customer_id,
        {{ category }} as category,
        sums.month_start,
        cast(sum(sums.spend) as decimal(18, 4)) as spend
    from {{ ref('int_categories_monthly') }} as sums
    inner join months on sums.client_id = months.client_id and sums.month_start = months.month_start
    group by sums.client_id, sums.customer_id{{ ', sums.category' if category == 'category' }}, sums.month_start
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

-- A customer's months begin with the first one that has any movement at all.
firsts as (
    select
        client_id,
        customer_id,
        min(month_start) as first_month
    from sums
    group by client_id, customer_id
),

-- A sensitive category has a line of its own only with consent; the line of all categories counts it always.
spent as (
    select distinct
        sums.client_id,
        sums.customer_id,
        sums.category
    from sums
    inner join {{ ref('dim_customers') }} as customers
        on sums.client_id = customers.client_id and sums.customer_id = customers.customer_id
    where
        sums.spend > 0
        and {{ may_be_shown('sums.category', 'customers.consents') }}
),

-- A month without spend is a month of 0.
series as (
    select
        spent.client_id,
        spent.customer_id,
        spent.category,
        months.month_start,
        months.months_ago,
        coalesce(sums.spend, 0) as spend
    from spent
    inner join firsts on spent.client_id = firsts.client_id and spent.customer_id = firsts.customer_id
    inner join months on spent.client_id = months.client_id and firsts.first_month <= months.month_start
    left join sums
        on
            spent.client_id = sums.client_id
            and spent.customer_id = sums.customer_id
            and spent.category = sums.category
            and months.month_start = sums.month_start
),

surrounded as (
    select
        *,
        count(*) over three_before as months_before,
        sum(spend) over three_before as sum_before,
        min(spend) over three_before as least_before,
        max(spend) over three_before as most_before,
        count(*) over three_from as months_from,
        sum(spend) over three_from as sum_from,
        min(spend) over three_from as least_from,
        max(spend) over three_from as most_from
    from series
    window
        three_before as (
            partition by client_id, customer_id, category order by month_start
            rows between 3 preceding and 1 preceding
        ),
        three_from as (
            partition by client_id, customer_id, category order by month_start
            rows between current row and 2 following
        )
),

-- A break: three months that all lie above, or all below, the three before, and whose mean moved by at least half.
summed as (
    select
        client_id,
        customer_id,
        category,
        count(*) as months,
        sum(case when months_ago <= 3 then spend else 0 end) as spend_3m,
        sum(spend) as spend_sum,
        sum(cast(spend as decimal(19, 4)) * cast(spend as decimal(19, 4))) as spend_squares,
        sum(months_ago) as ago_sum,
        sum(months_ago * months_ago) as ago_squares,
        sum(cast(months_ago * spend as decimal(38, 4))) as ago_spend,
        max(
            case
                when
                    months_before = 3 and months_from = 3
                    and (
                        (least_from > most_before and sum_from >= 1.5 * sum_before)
                        or (most_from < least_before and 1.5 * sum_from <= sum_before)
                    )
                    then month_start
            end
        ) as last_break_month
    from surrounded
    group by client_id, customer_id, category
),

-- Months ago count backwards, so their slope has the other sign.
trends as (
    select
        summed.client_id,
        summed.customer_id,
        summed.category,
        clients.base_currency as currency,
        cast(summed.months as integer) as months,
        cast(round(summed.spend_3m / least(summed.months, 3), 4) as decimal(18, 4)) as monthly_level,
        cast(
            case
                when summed.months >= 3
                    then -(
                        summed.months * cast(summed.ago_spend as double)
                        - cast(summed.ago_sum as double) * cast(summed.spend_sum as double)
                    ) / (summed.months * summed.ago_squares - summed.ago_sum * summed.ago_sum)
            end as float
        ) as monthly_slope,
        cast(
            case
                when summed.months >= 3 and summed.spend_sum > 0
                    then sqrt(
                        greatest(
                            cast(summed.spend_squares as double)
                            - power(cast(summed.spend_sum as double), 2) / summed.months, 0
                        ) / (summed.months - 1)
                    ) / (cast(summed.spend_sum as double) / summed.months)
            end as float
        ) as volatility,
        summed.last_break_month
    from summed
    inner join {{ ref('stg_clients') }} as clients on summed.client_id = clients.client_id
)

select * from trends
