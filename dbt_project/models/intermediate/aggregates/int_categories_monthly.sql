-- depends_on: {{ ref('int_touched_days') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_touched_periods('month', 'month_start') }}",
    )
}}

with

{%- if is_incremental() %}

touched as (
    select distinct
        client_id,
        cast({{ dbt.date_trunc('month', 'business_date') }} as date) as month_start
    from {{ ref('int_touched_days') }}
),
{%- endif %}

transactions as (
    select
        *,
        cast({{ dbt.date_trunc('month', 'business_date') }} as date) as month_start
    from {{ ref('int_transactions') }}
    where
        superseded_at is null
        and has_base_amount
        {%- if is_incremental() %}
        and business_date >= (select min(touched.month_start) from touched)
        {%- endif %}
),

summed as (
    select
        client_id,
        customer_id,
        category,
        subcategory,
        cast(sum(case when is_customer_initiated then 1 else 0 end) as integer) as transactions,
        cast(sum(spend_amount) as decimal(18, 4)) as spend,
        cast(sum(income_amount) as decimal(18, 4)) as income,
        month_start
    from transactions
    {%- if is_incremental() %}
    where
        (client_id, month_start) in (
            select
                touched.client_id,
                touched.month_start
            from touched
        )
    {%- endif %}
    group by client_id, customer_id, category, subcategory, month_start
)

select * from summed
