{{ config(materialized='table') }}

with

months as (
    select * from {{ ref('int_months') }}
),

totals as (
    select * from {{ ref('agg_monthly') }}
    where level = 'customer'
),

members as (
    select * from {{ ref('int_signup_months') }}
),

cohorts as (
    select
        client_id,
        signup_month,
        count(*) as customers
    from members
    group by client_id, signup_month
),

activity as (
    select
        members.client_id,
        members.signup_month,
        totals.month_start,
        sum(case when totals.transactions > 0 then 1 else 0 end) as active_customers,
        sum(totals.spend) as spend,
        sum(totals.revenue) as revenue
    from members
    inner join totals on members.client_id = totals.client_id and members.customer_id = totals.entity
    group by members.client_id, members.signup_month, totals.month_start
),

followed as (
    select
        cohorts.client_id,
        clients.base_currency as currency,
        cast(
            (extract(year from months.month_start) - extract(year from cohorts.signup_month)) * 12
            + extract(month from months.month_start) - extract(month from cohorts.signup_month) as integer
        ) as months_since_signup,
        cast(cohorts.customers as integer) as customers,
        cast(coalesce(activity.active_customers, 0) as integer) as active_customers,
        cast(cast(coalesce(activity.active_customers, 0) as double) / cohorts.customers as float) as retention,
        cast(coalesce(activity.spend, 0) as decimal(18, 4)) as spend,
        cast(coalesce(activity.revenue, 0) as decimal(18, 4)) as revenue,
        cast(
            round(cast(coalesce(activity.revenue, 0) as decimal(18, 4)) / cohorts.customers, 4) as decimal(18, 4)
        ) as revenue_per_customer,
        months.is_complete,
        cohorts.signup_month,
        months.month_start
    from cohorts
    inner join {{ ref('stg_clients') }} as clients on cohorts.client_id = clients.client_id
    inner join months on cohorts.client_id = months.client_id and cohorts.signup_month <= months.month_start
    left join activity
        on
            cohorts.client_id = activity.client_id
            and cohorts.signup_month = activity.signup_month
            and months.month_start = activity.month_start
)

select * from followed
