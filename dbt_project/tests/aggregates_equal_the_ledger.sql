-- depends_on: {{ ref('stg_touched_days') }}
-- Each table of totals, at each level, is the money of the current transactions: to the cent, no row lost or repeated.
{%- set tables = {
    'agg_daily': 'day', 'agg_weekly': 'week', 'agg_monthly': 'month', 'int_categories_monthly': 'month',
} %}
{%- set starts = {'day': 'business_date', 'week': 'week_start', 'month': 'month_start'} %}

with

-- The ledgers are large, and read once: every period adds up days.
reach as (
    select
        cast({{ dbt.dateadd('day', -31, 'min(business_date)') }} as date) as first_date,
        cast({{ dbt.dateadd('day', 31, 'max(business_date)') }} as date) as last_date
    from {{ ref('stg_touched_days') if not var('full_tests', true) else ref('fct_transactions') }}
),

money_by_day as (
    select
        client_id,
        business_date,
        count(*) as movements,
        sum(spend_amount) as spend,
        sum(income_amount) as income
    from {{ ref('fct_transactions') }}
    where
        is_current
        and has_base_amount
        and business_date >= (select reach.first_date from reach)
        and business_date <= (select reach.last_date from reach)
    group by client_id, business_date
),

revenue_by_day as (
    select
        client_id,
        business_date,
        sum(revenue) as revenue
    from {{ ref('int_revenue') }}
    where
        superseded_at is null
        and business_date >= (select reach.first_date from reach)
        and business_date <= (select reach.last_date from reach)
    group by client_id, business_date
),

{%- for period in starts %}
{%- set start = "cast(" ~ dbt.date_trunc(period, "business_date") ~ " as date)" %}

ledger_by_{{ period }} as (
    select
        client_id,
        sum(movements) as movements,
        sum(spend) as spend,
        sum(income) as income
    from money_by_day
    where {{ night_scope('touched_' ~ period ~ 's', column=start) }}
    group by client_id
),

earned_by_{{ period }} as (
    select
        client_id,
        sum(revenue) as revenue
    from revenue_by_day
    where {{ night_scope('touched_' ~ period ~ 's', column=start) }}
    group by client_id
),
{%- endfor %}

totals as (
    {%- for name, period in tables.items() %}
    {%- set has_levels = name.startswith('agg_') %}
    select
        '{{ name }}' as table_name,
        '{{ period }}' as period,
        client_id,
        {{ "level" if has_levels else "'category'" }} as level,
        {{ "sum(movements)" if has_levels else "null" }} as movements,
        sum(spend) as spend,
        sum(income) as income,
        {{ "sum(revenue)" if has_levels else "null" }} as revenue
    from {{ ref(name) }}
    where {{ night_scope('touched_' ~ period ~ 's') }}
    group by client_id{{ ", level" if has_levels }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

compared as (
    {%- for period in starts %}
    select
        totals.table_name,
        totals.level,
        ledger.client_id,
        ledger.spend,
        totals.spend as spend_in_totals
    from ledger_by_{{ period }} as ledger
    left join earned_by_{{ period }} as earned on ledger.client_id = earned.client_id
    left join totals on ledger.client_id = totals.client_id and totals.period = '{{ period }}'
    where
        totals.client_id is null
        or totals.spend <> ledger.spend
        or totals.income <> ledger.income
        or totals.movements <> ledger.movements
        or totals.revenue <> coalesce(earned.revenue, 0)
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select * from compared
