{#- The windows end where stretches of days do (int_business_days). -#}
{%- set now_days = 60 %}
{%- set all_days = 365 %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
),

latest as (
    select * from {{ ref('int_transactions_latest') }}
),

stretches as (
    select
        client_id,
        customer_id,
        category,
        subcategory,
        stretch_end,
        sum(case when spend_amount > 0 then 1 else 0 end) as payments,
        cast(sum(spend_amount) as decimal(18, 4)) as spend,
        min(case when spend_amount > 0 then business_date end) as first_day,
        max(case when spend_amount > 0 then business_date end) as last_day,
        known_from,
        known_until
    from {{ ref('int_transactions_to_count') }}
    where first_days_ago < {{ all_days }} and spend_amount <> 0
    group by client_id, customer_id, category, subcategory, stretch_end, known_from, known_until
),

summed as (
    select
        stretches.client_id,
        stretches.customer_id,
        stretches.category,
        stretches.subcategory,
        sum(case when days.days_ago < {{ now_days }} then stretches.payments else 0 end) as payments_now,
        sum(case when days.days_ago >= {{ now_days }} then stretches.payments else 0 end) as payments_before,
        sum(case when days.days_ago < {{ now_days }} then stretches.spend else 0 end) as spend_now,
        sum(case when days.days_ago >= {{ now_days }} then stretches.spend else 0 end) as spend_before,
        min(case when days.days_ago < {{ now_days }} then stretches.first_day end) as first_day,
        max(case when days.days_ago < {{ now_days }} then stretches.last_day end) as last_day,
        days.as_of_date
    from days
    inner join stretches
        on
            days.client_id = stretches.client_id
            and days.business_date = stretches.stretch_end
            and days.cutoff_at > stretches.known_from
            and days.cutoff_at <= stretches.known_until
    group by
        stretches.client_id, stretches.customer_id, stretches.category, stretches.subcategory, days.as_of_date
),

-- What was usual is told of at least 90 days, and in as many days as the window of now has.
changes as (
    select
        summed.client_id,
        summed.customer_id,
        summed.category,
        summed.subcategory,
        cast(summed.payments_now as integer) as payments_now,
        cast(summed.spend_now as decimal(18, 4)) as spend_now,
        cast(
            summed.payments_before * {{ now_days }}.0 / least(
                {{ days_between('latest.first_transaction_date', 'summed.as_of_date') }} + 1 - {{ now_days }},
                {{ all_days - now_days }}
            ) as decimal(18, 4)
        ) as usual_payments,
        cast(
            greatest(summed.spend_before, 0) * {{ now_days }}.0 / least(
                {{ days_between('latest.first_transaction_date', 'summed.as_of_date') }} + 1 - {{ now_days }},
                {{ all_days - now_days }}
            ) as decimal(18, 4)
        ) as usual_spend,
        summed.first_day,
        summed.last_day,
        summed.as_of_date
    from summed
    inner join latest
        on
            summed.client_id = latest.client_id
            and summed.customer_id = latest.customer_id
            and summed.as_of_date = latest.as_of_date
    where {{ days_between('latest.first_transaction_date', 'summed.as_of_date') }} >= {{ now_days + 90 }}
)

select * from changes
