{{ config(materialized='table') }}

with

months as (
    select * from {{ ref('int_months') }}
),

customers as (
    select * from {{ ref('dim_customers') }}
),

totals as (
    select
        client_id,
        entity as customer_id,
        spend,
        revenue,
        transactions > 0 as is_active,
        month_start
    from {{ ref('agg_monthly') }}
    where level = 'customer'
),

compared as (
    select
        totals.*,
        coalesce(earlier.is_active, false) as was_active
    from totals
    left join totals as earlier
        on
            totals.client_id = earlier.client_id
            and totals.customer_id = earlier.customer_id
            and totals.month_start = cast({{ dbt.dateadd('month', 1, 'earlier.month_start') }} as date)
),

activity as (
    select
        client_id,
        month_start,
        sum(case when is_active then 1 else 0 end) as active_customers,
        sum(case when is_active and was_active then 1 else 0 end) as retained_customers,
        sum(spend) as spend,
        sum(revenue) as revenue
    from compared
    group by client_id, month_start
),

moves as (
    select
        months.client_id,
        months.month_start,
        sum(case when customers.signed_up_on >= months.month_start then 1 else 0 end) as new_customers,
        sum(case when customers.closed_on <= months.month_end then 1 else 0 end) as closed_customers
    from months
    inner join customers
        on
            months.client_id = customers.client_id
            and (
                customers.signed_up_on between months.month_start and months.month_end
                or customers.closed_on between months.month_start and months.month_end
            )
    group by months.client_id, months.month_start
),

measured as (
    select
        months.client_id,
        clients.base_currency as currency,
        cast(coalesce(activity.active_customers, 0) as integer) as active_customers,
        cast(coalesce(activity.retained_customers, 0) as integer) as retained_customers,
        cast(coalesce(moves.new_customers, 0) as integer) as new_customers,
        cast(coalesce(moves.closed_customers, 0) as integer) as closed_customers,
        lag(activity.active_customers) over (
            partition by months.client_id order by months.month_start
        ) as active_before,
        cast(coalesce(activity.spend, 0) as decimal(18, 4)) as spend,
        cast(coalesce(activity.revenue, 0) as decimal(18, 4)) as revenue,
        months.is_complete,
        months.month_start
    from months
    inner join {{ ref('stg_clients') }} as clients on months.client_id = clients.client_id
    left join activity on months.client_id = activity.client_id and months.month_start = activity.month_start
    left join moves on months.client_id = moves.client_id and months.month_start = moves.month_start
),

kpis as (
    select
        client_id,
        currency,
        active_customers,
        retained_customers,
        new_customers,
        closed_customers,
        cast(cast(retained_customers as double) / nullif(active_before, 0) as float) as retention,
        spend,
        revenue,
        cast(round(revenue / nullif(active_customers, 0), 4) as decimal(18, 4)) as revenue_per_active_customer,
        is_complete,
        month_start
    from measured
)

select * from kpis
