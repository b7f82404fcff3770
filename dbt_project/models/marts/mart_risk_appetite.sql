{{ config(materialized='table') }}

with

months as (
    select * from {{ ref('int_months') }}
    where months_ago <= 6
),

categories as (
    select * from {{ ref('categories') }}
),

sums as (
    select
        sums.client_id,
        sums.customer_id,
        cast(sum(sums.spend) as decimal(18, 4)) as spend,
        cast(sum(case when categories.is_risky then sums.spend else 0 end) as decimal(18, 4)) as risky_spend,
        cast(sum(case when sums.category = 'investments' then sums.spend else 0 end) as decimal(18, 4)) as investments,
        cast(sum(sums.income) as decimal(18, 4)) as income
    from {{ ref('int_categories_monthly') }} as sums
    inner join months on sums.client_id = months.client_id and sums.month_start = months.month_start
    inner join categories on sums.subcategory = categories.subcategory
    group by sums.client_id, sums.customer_id
),

bands as (
    select
        sums.client_id,
        sums.customer_id,
        case
            when sums.spend <= 0 then 'unknown'
            when sums.risky_spend >= 0.1 * sums.spend then 'high'
            when sums.risky_spend >= 0.01 * sums.spend then 'medium'
            else 'low'
        end as risk_appetite,
        clients.base_currency as currency,
        sums.spend,
        sums.risky_spend,
        sums.investments,
        sums.income,
        cast(
            case when sums.spend > 0 then cast(sums.risky_spend as double) / cast(sums.spend as double) end as float
        ) as risky_share,
        cast(
            case
                when sums.income > 0
                    then cast(sums.income - sums.spend + sums.investments as double) / cast(sums.income as double)
            end as float
        ) as savings_rate
    from sums
    inner join {{ ref('stg_clients') }} as clients on sums.client_id = clients.client_id
)

select * from bands
