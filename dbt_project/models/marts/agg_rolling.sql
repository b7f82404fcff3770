-- depends_on: {{ ref('int_reopened_days') }}
{%- set windows = [7, 30, 90] %}
{%- set timeline = 'partition by client_id, level, entity order by day_number range between' %}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }}
            where (client_id, business_date) in (select client_id, business_date from {{ ref('int_reopened_days') }})
            {% endif %}
        ",
    )
}}

with
{%- if is_incremental() %}

reopened as (
    select * from {{ ref('int_reopened_days') }}
),

bounds as (
    select
        cast({{ dbt.dateadd('day', -89, 'min(business_date)') }} as date) as first_date,
        max(business_date) as last_date
    from reopened
),
{%- endif %}

-- Windows over numbers of days are cheaper than over intervals of time.
days as (
    select
        *,
        {{ days_between("cast('1970-01-01' as date)", 'business_date') }} as day_number
    from {{ ref('agg_daily') }}
    {%- if is_incremental() %}
    where
        business_date >= (select bounds.first_date from bounds)
        and business_date <= (select bounds.last_date from bounds)
    {%- endif %}
),

rolled as (
    select
        client_id,
        level,
        entity,
        currency,
        {%- for window in windows %}
        sum(spend) over ({{ timeline }} {{ window - 1 }} preceding and current row) as spend_{{ window }}d,
        {%- endfor %}
        sum(transactions) over ({{ timeline }} 29 preceding and current row) as transactions_30d,
        -- The product of two DECIMAL(18,4) would stay 18 wide, and overflow at a million.
        sum(cast(spend as decimal(19, 4)) * cast(spend as decimal(19, 4))) over (
            {{ timeline }} 29 preceding and current row
        ) as spend_squares_30d,
        business_date
    from days
),

described as (
    select
        client_id,
        level,
        entity,
        currency,
        cast(transactions_30d as integer) as transactions_30d,
        {%- for window in windows %}
        cast(spend_{{ window }}d as decimal(18, 4)) as spend_{{ window }}d,
        {%- endfor %}
        cast(
            sqrt(
                greatest(cast(spend_squares_30d as double) - power(cast(spend_30d as double), 2) / 30, 0) / 29
            ) as float
        ) as spend_deviation_30d,
        business_date
    from rolled
    {%- if is_incremental() %}
    where
        (client_id, business_date) in (
            select
                reopened.client_id,
                reopened.business_date
            from reopened
        )
    {%- endif %}
)

select * from described
