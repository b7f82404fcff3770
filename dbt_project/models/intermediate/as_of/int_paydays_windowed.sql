{%- set days_after = 7 %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 90 + {{ days_after }}
),

known as (
    select
        customer_days.client_id,
        customer_days.customer_id,
        days.as_of_date,
        days.days_ago,
        customer_days.spend,
        customer_days.income
    from days
    inner join {{ ref('int_customer_days') }} as customer_days
        on
            days.client_id = customer_days.client_id
            and days.business_date = customer_days.business_date
            and days.cutoff_at > customer_days.known_from
            and days.cutoff_at <= customer_days.known_until
),

-- The day of an income and the seven after it.
near_income as (
    select distinct
        known.client_id,
        known.customer_id,
        known.as_of_date,
        known.days_ago - numbers.days_later as days_ago
    from known
    cross join (
        values
        {%- for number in range(days_after + 1) %}
        ({{ number }}){{ "," if not loop.last }}
        {%- endfor %}
    ) as numbers (days_later)
    where known.income > 0
),

summed as (
    select
        known.client_id,
        known.customer_id,
        known.as_of_date,
        greatest(sum(case when near_income.days_ago is not null then known.spend else 0 end), 0) as spend_near,
        greatest(sum(case when near_income.days_ago is null then known.spend else 0 end), 0) as spend_else
    from known
    left join near_income using (client_id, customer_id, as_of_date, days_ago)
    where known.days_ago < 90
    group by known.client_id, known.customer_id, known.as_of_date
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(
            case
                when spend_near + spend_else > 0
                    then cast(spend_near as double) / cast(spend_near + spend_else as double)
            end as float
        ) as payday_share_90d
    from summed
)

select * from windowed
