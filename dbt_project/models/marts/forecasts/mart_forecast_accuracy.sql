-- depends_on: {{ ref('int_touched_days') }}, {{ ref('stg_as_of_dates') }}, {{ ref('stg_base_horizon') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }} where {{ forecasts_to_judge(this.identifier) }}
            {% endif %}
        ",
    )
}}

with

forecasts as (
    select facts.* from {{ ref('fct_forecasts') }} as facts
    where
        facts.level in ('client', 'category', 'region', 'customer')
        {%- if is_incremental() %}
        and {{ forecasts_to_judge('facts') }}
        {%- endif %}
),

-- What is forecast of a month is judged when the month is over.
ended as (
    select forecasts.*
    from forecasts
    inner join {{ ref('stg_horizon') }} as horizon on forecasts.client_id = horizon.client_id
    where
        case
            when forecasts.grain = 'month'
                then cast({{ dbt.dateadd('day', -1, dbt.dateadd('month', 1, 'forecasts.target')) }} as date)
            else forecasts.target
        end <= horizon.as_of_date
),

outcomes as (
    select
        client_id,
        'month' as grain,
        level,
        entity,
        spend,
        revenue,
        month_start as period_start
    from {{ ref('agg_monthly') }}
    where level in ('client', 'category', 'region', 'customer')
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

-- A period without a movement has no row: nothing came.
judged as (
    select
        ended.*,
        cast(
            coalesce(case when ended.measure = 'revenue' then outcomes.revenue else outcomes.spend end, 0)
            as decimal(18, 4)
        ) as actual
    from ended
    left join outcomes
        on
            ended.client_id = outcomes.client_id
            and ended.grain = outcomes.grain
            and ended.level = outcomes.level
            and ended.entity = outcomes.entity
            and ended.target = outcomes.period_start
),

-- Customers are judged together: one by one they would be as many rows as forecasts.
accuracy as (
    select
        client_id,
        model,
        model_version,
        measure,
        level,
        case when level = 'customer' then '' else entity end as entity,
        category,
        grain,
        method,
        currency,
        cast(count(*) as integer) as forecasts,
        cast(sum(yhat) as decimal(18, 4)) as forecast,
        cast(sum(actual) as decimal(18, 4)) as actual,
        cast(sum(abs(yhat - actual)) as decimal(18, 4)) as absolute_error,
        cast(avg(case when actual between lo80 and hi80 then 1.0 else 0.0 end) as float) as inside_80,
        cast(avg(case when actual between lo95 and hi95 then 1.0 else 0.0 end) as float) as inside_95,
        target,
        origin
    from judged
    group by
        client_id, model, model_version, measure, level, case when level = 'customer' then '' else entity end, category,
        grain, method, currency, target, origin
)

select * from accuracy
