{% macro aggregated_by(period, start) -%}
    {%- set levels = {
        'client': "''", 'customer': 'customer_id', 'merchant': 'merchant', 'category': 'category', 'city': 'city',
        'region': 'region',
    } -%}
    {%- set from_outside = "movement not in ('own_transfer', 'card_repayment')" -%}
    {%- set sums = ['spend', 'income', 'inflow', 'outflow', 'revenue'] -%}
    {%- set period_start = 'cast(' ~ dbt.date_trunc(period, 'business_date') ~ ' as date)' -%}
with

{%- if is_incremental() %}

touched as (
    select distinct
        client_id,
        {{ period_start }} as {{ start }}
    from {{ ref('int_touched_days') }}
),
{%- endif %}

movements as (
    select
        client_id,
        customer_id,
        merchant,
        category,
        coalesce(city, '') as city,
        coalesce(region, '') as region,
        currency,
        case when is_customer_initiated then 1 else 0 end as transactions,
        spend_amount as spend,
        income_amount as income,
        case when base_amount > 0 and {{ from_outside }} then base_amount else 0 end as inflow,
        case when base_amount < 0 and {{ from_outside }} then -base_amount else 0 end as outflow,
        revenue,
        {{ period_start }} as {{ start }}
    from {{ ref('int_revenue') }}
    where
        superseded_at is null
        {%- if is_incremental() %}
        and business_date >= (select min(touched.{{ start }}) from touched)
        and (client_id, {{ period_start }}) in (select touched.client_id, touched.{{ start }} from touched)
        {%- endif %}
),

aggregated as (
    {%- for level, entity in levels.items() %}
    select
        client_id,
        '{{ level }}' as level,
        {{ entity }} as entity,
        currency,
        cast({{ '1' if level == 'customer' else 'count(distinct customer_id)' }} as integer) as customers,
        cast(sum(transactions) as integer) as transactions,
        cast(count(*) as integer) as movements,
        {%- for name in sums %}
        cast(sum({{ name }}) as decimal(18, 4)) as {{ name }},
        {%- endfor %}
        {{ start }}
    from movements
    group by client_id, {{ entity ~ ', ' if level != 'client' }}currency, {{ start }}
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
)

select * from aggregated
{%- endmacro %}
