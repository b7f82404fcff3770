{%- set weekdays = range(1, 8) %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 90
),

customer_days as (
    select * from {{ ref('int_customer_days') }}
),

summed as (
    select
        customer_days.client_id,
        customer_days.customer_id,
        days.as_of_date,
        {%- for weekday in weekdays %}
        cast(
            sum(case when days.iso_weekday = {{ weekday }} then customer_days.transactions else 0 end) as bigint
        ) as transactions_{{ weekday }},
        {%- endfor %}
        cast(sum(customer_days.transactions) as double) as transactions,
        cast(sum(customer_days.transactions_with_way) as double) as transactions_with_way,
        cast(sum(customer_days.digital_transactions) as double) as digital_transactions,
        cast(sum(customer_days.timed_transactions) as double) as timed_transactions,
        cast(sum(customer_days.night_transactions) as double) as night_transactions,
        sum(customer_days.income) as income,
        sum(customer_days.income - customer_days.spend + customer_days.investments) as net_savings,
        sum(customer_days.rent) as rent,
        sum(customer_days.instalments) as instalments,
        sum(customer_days.fees_and_interest) as fees_and_interest
    from days
    inner join customer_days
        on
            days.client_id = customer_days.client_id
            and days.business_date = customer_days.business_date
            and days.cutoff_at > customer_days.known_from
            and days.cutoff_at <= customer_days.known_until
    group by customer_days.client_id, customer_days.customer_id, days.as_of_date
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(net_savings as float) as net_savings_90d,
        cast(case when income > 0 then cast(net_savings as double) / cast(income as double) end as float)
            as savings_rate_90d,
        cast(case when income > 0 then cast(rent as double) / cast(income as double) end as float)
            as rent_to_income_90d,
        cast(case when income > 0 then cast(instalments as double) / cast(income as double) end as float)
            as emi_to_income_90d,
        cast(fees_and_interest as float) as fees_and_interest_90d,
        cast(
            case when transactions_with_way > 0 then digital_transactions / transactions_with_way end as float
        ) as digital_share_90d,
        cast(case when timed_transactions > 0 then night_transactions / timed_transactions end as float)
            as night_share_90d,
        cast(
            case when transactions > 0 then (transactions_6 + transactions_7) / transactions end as float
        ) as weekend_share_90d,
        cast(
            case
                when transactions > 0 then greatest(
                    log2(transactions)
                    {%- for weekday in weekdays %}
                    - transactions_{{ weekday }} * log2(greatest(transactions_{{ weekday }}, 1)) / transactions
                    {%- endfor %},
                    0
                )
            end as float
        ) as weekday_entropy_90d
    from summed
)

select * from windowed
