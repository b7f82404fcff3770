{% macro aggregated_by(period, start) -%}
    {%- set levels = {
        'client': "''", 'customer': 'customer_id', 'merchant': 'merchant', 'category': 'category',
        'city': "coalesce(city, '')", 'region': "coalesce(region, '')",
    } -%}
    {%- set between_accounts = "movement in ('own_transfer', 'card_repayment')" -%}
    {%- set sums = {
        'spend': 'spend_amount',
        'income': 'income_amount',
        'inflow': 'case when base_amount > 0 and not ' ~ between_accounts ~ ' then base_amount else 0 end',
        'outflow': 'case when base_amount < 0 and not ' ~ between_accounts ~ ' then -base_amount else 0 end',
        'revenue': 'revenue',
    } -%}
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

aggregated as (
    {%- for level, entity in levels.items() %}
    select
        client_id,
        '{{ level }}' as level,
        {{ entity }} as entity,
        currency,
        cast({{ '1' if level == 'customer' else 'count(distinct customer_id)' }} as integer) as customers,
        cast(sum(case when is_customer_initiated then 1 else 0 end) as integer) as transactions,
        cast(count(*) as integer) as movements
        {%- for name, expression in sums.items() %},
        cast(sum({{ expression }}) as decimal(18, 4)) as {{ name }}
        {%- endfor %},
        {{ start }}
    from (
        select
            *,
            {{ period_start }} as {{ start }}
        from {{ ref('int_revenue') }}
        where
            superseded_at is null
            {%- if is_incremental() %}
            and business_date >= (select min(touched.{{ start }}) from touched)
            and (client_id, {{ period_start }}) in (select touched.client_id, touched.{{ start }} from touched)
            {%- endif %}
    ) as transactions
    group by client_id, {{ entity ~ ', ' if level != 'client' }}currency, {{ start }}
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
)

select * from aggregated
{%- endmacro %}
