{{ config(materialized='table') }}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

-- Made at the ends of months: between two of them those of the last one hold.
dated as (
    select
        *,
        max(origin) over (partition by client_id, model) as latest
    from {{ ref('fct_forecasts') }}
    where level in ('client', 'category') or (level = 'segment' and category = '')
),

forecasts as (
    select * from dated
    where origin = latest
),

segments as (
    select * from {{ ref('fct_segments') }}
    where model = 'segments_rfm'
),

origins as (
    select
        client_id,
        max(origin) as origin
    from forecasts
    where level = 'segment'
    group by client_id
),

-- A forecast of a segment is of those who were in it on the latest date before the origin; so is its history.
dates as (
    select
        segments.client_id,
        max(segments.as_of_date) as as_of_date
    from segments
    left join origins on segments.client_id = origins.client_id
    where origins.origin is null or segments.as_of_date < origins.origin
    group by segments.client_id
),

sums as (
    select
        client_id,
        'month' as grain,
        level,
        entity,
        spend,
        revenue,
        month_start as period_start
    from {{ ref('agg_monthly') }}
    where level in ('client', 'category')
    union all
    select
        totals.client_id,
        'month' as grain,
        'segment' as level,
        segments.name as entity,
        sum(totals.spend) as spend,
        sum(totals.revenue) as revenue,
        totals.month_start as period_start
    from {{ ref('agg_monthly') }} as totals
    inner join segments on totals.client_id = segments.client_id and totals.entity = segments.customer_id
    inner join dates on segments.client_id = dates.client_id and segments.as_of_date = dates.as_of_date
    where totals.level = 'customer'
    group by totals.client_id, segments.name, totals.month_start
    union all
    select
        client_id,
        'day' as grain,
        level,
        entity,
        spend,
        revenue,
        business_date as period_start
    from {{ ref('agg_daily') }}
    where level = 'client'
),

happened as (
    select
        sums.client_id,
        measures.measure,
        sums.level,
        sums.entity,
        sums.grain,
        case when measures.measure = 'revenue' then sums.revenue else sums.spend end as actual,
        case
            when sums.grain = 'day' then sums.period_start <= horizon.as_of_date
            else {{ dbt.dateadd('month', 1, 'sums.period_start') }} <= {{ dbt.dateadd('day', 1, 'horizon.as_of_date') }}
        end as is_complete,
        sums.period_start
    from sums
    inner join horizon on sums.client_id = horizon.client_id
    cross join (values ('spend'), ('revenue')) as measures (measure)
    where
        sums.period_start >= case
            when sums.grain = 'day' then {{ dbt.dateadd('day', -180, 'horizon.as_of_date') }}
            else {{ dbt.dateadd('month', -36, 'horizon.as_of_date') }}
        end
),

outlook as (
    select
        coalesce(happened.client_id, forecasts.client_id) as client_id,
        coalesce(happened.measure, forecasts.measure) as measure,
        coalesce(happened.level, forecasts.level) as level,
        coalesce(happened.entity, forecasts.entity) as entity,
        coalesce(happened.grain, forecasts.grain) as grain,
        forecasts.method,
        cast(happened.actual as decimal(18, 4)) as actual,
        forecasts.yhat as forecast,
        forecasts.lo80,
        forecasts.hi80,
        forecasts.lo95,
        forecasts.hi95,
        coalesce(happened.is_complete, false) as is_complete,
        coalesce(happened.period_start, forecasts.target) as period_start,
        forecasts.origin
    from happened
    full outer join forecasts
        on
            happened.client_id = forecasts.client_id
            and happened.measure = forecasts.measure
            and happened.level = forecasts.level
            and happened.entity = forecasts.entity
            and happened.grain = forecasts.grain
            and happened.period_start = forecasts.target
)

select
    outlook.client_id,
    outlook.measure,
    outlook.level,
    outlook.entity,
    outlook.grain,
    outlook.method,
    clients.base_currency as currency,
    outlook.actual,
    outlook.forecast,
    outlook.lo80,
    outlook.hi80,
    outlook.lo95,
    outlook.hi95,
    outlook.is_complete,
    outlook.period_start,
    outlook.origin
from outlook
inner join clients on outlook.client_id = clients.client_id
