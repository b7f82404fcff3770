{{ config(materialized='table') }}

{#- tag, category, least share of the year's spend, least months with spend in it -#}
{%- set tags = [
    ('travel', 'travel', 0.05, 2),
    ('luxury', 'luxury', 0.03, 2),
    ('emi', 'emi_loans', 0, 3),
    ('health', 'health', 0.05, 3),
] %}

with

months as (
    select * from {{ ref('int_months') }}
    where months_ago <= 12
),

sums as (
    select
        sums.client_id,
        sums.customer_id,
        sums.category,
        sums.month_start,
        cast(sum(sums.spend) as decimal(18, 4)) as spend
    from {{ ref('int_categories_monthly') }} as sums
    inner join months on sums.client_id = months.client_id and sums.month_start = months.month_start
    group by sums.client_id, sums.customer_id, sums.category, sums.month_start
),

by_category as (
    select
        client_id,
        customer_id,
        category,
        cast(sum(spend) as decimal(18, 4)) as spend,
        cast(sum(case when spend > 0 then 1 else 0 end) as integer) as months
    from sums
    group by client_id, customer_id, category
),

-- A category that gave back more than it took counts as 0, so that shares add up to 1.
totals as (
    select
        client_id,
        customer_id,
        sum(greatest(spend, 0)) as total_spend
    from by_category
    group by client_id, customer_id
),

earned as (
    select
        by_category.client_id,
        by_category.customer_id,
        case by_category.category
            {%- for tag, category, _, _ in tags %}
            when '{{ category }}' then '{{ tag }}'
            {%- endfor %}
        end as tag,
        by_category.category,
        customers.currency,
        by_category.spend,
        by_category.months,
        cast(cast(by_category.spend as double) / cast(totals.total_spend as double) as float) as share
    from by_category
    inner join totals on by_category.client_id = totals.client_id and by_category.customer_id = totals.customer_id
    inner join {{ ref('dim_customers') }} as customers
        on by_category.client_id = customers.client_id and by_category.customer_id = customers.customer_id
    where
        by_category.spend > 0
        and totals.total_spend > 0
        and {{ may_be_shown('by_category.category', 'customers.consents') }}
        and (
            {%- for _, category, share, months in tags %}
            {{ 'or ' if not loop.first }}(
                by_category.category = '{{ category }}'
                and by_category.months >= {{ months }}
                and by_category.spend >= {{ share }} * totals.total_spend
            )
            {%- endfor %}
        )
)

select * from earned
