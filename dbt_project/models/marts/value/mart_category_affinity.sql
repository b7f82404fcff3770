{{ config(materialized='table') }}

{#- Fewest customers who bought in each category, and in both; fewest of the latter that chance would give. -#}
{%- set least_of_each, least_of_both = 30, 5 %}
{#- Money that only changes its place, is paid rather than bought for, or says nothing. -#}
{%- set not_bought = [
    'cash', 'emi_loans', 'fees', 'income', 'other', 'own_transfer', 'people_transfers', 'rent_mortgage'
] %}

with

months as (
    select * from {{ ref('int_months') }}
    where months_ago <= 3
),

spans as (
    select
        client_id,
        min(month_start) as window_start,
        max(month_end) as window_end
    from months
    group by client_id
),

bought as (
    select
        sums.client_id,
        sums.customer_id,
        sums.category
    from {{ ref('int_categories_monthly') }} as sums
    inner join months on sums.client_id = months.client_id and sums.month_start = months.month_start
    where
        sums.category not in (
            {%- for category in not_bought %}
            '{{ category }}'{{ ',' if not loop.last }}
            {%- endfor %}
        )
    group by sums.client_id, sums.customer_id, sums.category
    having sum(sums.spend) > 0
),

clients as (
    select
        client_id,
        count(distinct customer_id) as customers
    from bought
    group by client_id
),

categories as (
    select
        client_id,
        category,
        count(*) as customers
    from bought
    group by client_id, category
    having count(*) >= {{ least_of_each }}
),

pairs as (
    select
        one.client_id,
        one.category,
        other.category as other_category,
        count(*) as customers
    from bought as one
    inner join bought as other on one.client_id = other.client_id and one.customer_id = other.customer_id
    where one.category <> other.category
    group by one.client_id, one.category, other.category
    having count(*) >= {{ least_of_both }}
),

counted as (
    select
        pairs.client_id,
        pairs.category,
        pairs.other_category,
        clients.customers,
        one.customers as with_category,
        other.customers as with_other,
        pairs.customers as with_both,
        cast(pairs.customers as double) * clients.customers / (one.customers * other.customers) as lift
    from pairs
    inner join clients on pairs.client_id = clients.client_id
    inner join categories as one on pairs.client_id = one.client_id and pairs.category = one.category
    inner join categories as other on pairs.client_id = other.client_id and pairs.other_category = other.category
    where one.customers * other.customers >= {{ least_of_both }} * clients.customers
),

-- Variance of the logarithm of the lift by the delta method, for counts of one multinomial sample of customers.
spread as (
    select
        *,
        1.96 * sqrt(
            greatest(
                1.0 / with_both - 1.0 / with_category - 1.0 / with_other + (2 * lift - 1) / customers, 0
            )
        ) as half_width
    from counted
),

affinity as (
    select
        spread.client_id,
        spread.category,
        spread.other_category,
        cast(spread.customers as integer) as customers,
        cast(spread.with_category as integer) as customers_with_category,
        cast(spread.with_other as integer) as customers_with_other,
        cast(spread.with_both as integer) as customers_with_both,
        cast(cast(spread.with_both as double) / spread.customers as float) as support,
        cast(cast(spread.with_both as double) / spread.with_category as float) as confidence,
        cast(spread.lift as float) as lift,
        cast(spread.lift * exp(-spread.half_width) as float) as lift_lo95,
        cast(spread.lift * exp(spread.half_width) as float) as lift_hi95,
        spans.window_start,
        spans.window_end
    from spread
    inner join spans on spread.client_id = spans.client_id
)

select * from affinity
