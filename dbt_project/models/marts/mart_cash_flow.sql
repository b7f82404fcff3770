{{ config(materialized='table') }}

with

months as (
    select * from {{ ref('int_months') }}
),

totals as (
    select * from {{ ref('agg_monthly') }}
    where level = 'customer'
),

investments as (
    select
        client_id,
        customer_id,
        month_start,
        sum(spend) as investments
    from {{ ref('int_categories_monthly') }}
    where category = 'investments'
    group by client_id, customer_id, month_start
),

overdrafts as (
    select
        months.client_id,
        overdrafts.customer_id,
        months.month_start,
        sum(
            {{ days_between(
                'greatest(overdrafts.first_date, months.month_start)', 'least(overdrafts.last_date, months.month_end)'
            ) }} + 1
        ) as overdraft_days
    from months
    inner join {{ ref('int_overdrafts') }} as overdrafts
        on
            months.client_id = overdrafts.client_id
            and months.month_start <= overdrafts.last_date
            and months.month_end >= overdrafts.first_date
    group by months.client_id, overdrafts.customer_id, months.month_start
),

-- A month without a movement stands here too if the balance stayed below zero in it.
keys as (
    select
        client_id,
        entity as customer_id,
        month_start
    from totals
    union
    select
        client_id,
        customer_id,
        month_start
    from overdrafts
),

flows as (
    select
        keys.client_id,
        keys.customer_id,
        clients.base_currency as currency,
        coalesce(totals.inflow, 0) as inflow,
        coalesce(totals.outflow, 0) as outflow,
        coalesce(totals.income, 0) as income,
        coalesce(totals.spend, 0) as spend,
        cast(coalesce(investments.investments, 0) as decimal(18, 4)) as investments,
        cast(
            coalesce(totals.income, 0) - coalesce(totals.spend, 0) + coalesce(investments.investments, 0)
            as decimal(18, 4)
        ) as net_savings,
        cast(coalesce(overdrafts.overdraft_days, 0) as integer) as overdraft_days,
        coalesce(months.is_complete, false) as is_complete,
        keys.month_start
    from keys
    inner join {{ ref('stg_clients') }} as clients on keys.client_id = clients.client_id
    left join months on keys.client_id = months.client_id and keys.month_start = months.month_start
    left join totals
        on
            keys.client_id = totals.client_id
            and keys.customer_id = totals.entity
            and keys.month_start = totals.month_start
    left join investments
        on
            keys.client_id = investments.client_id
            and keys.customer_id = investments.customer_id
            and keys.month_start = investments.month_start
    left join overdrafts
        on
            keys.client_id = overdrafts.client_id
            and keys.customer_id = overdrafts.customer_id
            and keys.month_start = overdrafts.month_start
)

select * from flows
