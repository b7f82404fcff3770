{%- set periods = range(6) %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
),

-- No window begins or ends within a stretch, so a stretch is added up once for all dates.
stretches as (
    select
        client_id,
        customer_id,
        stretch_end,
        {%- for count in ["transactions", "purchases", "reversals"] %}
        cast(sum({{ count }}) as bigint) as {{ count }},
        {%- endfor %}
        {%- for amount in ["spend", "risky_spend", "income"] %}
        cast(sum({{ amount }}) as decimal(18, 4)) as {{ amount }},
        {%- endfor %}
        known_from,
        known_until
    from {{ ref('int_customer_days') }}
    group by client_id, customer_id, stretch_end, known_from, known_until
),

-- Sums of DECIMAL only: they do not depend on the order of rows, so neither does anything made from them.
-- Period 0 is the newest.
summed as (
    select
        stretches.client_id,
        stretches.customer_id,
        days.as_of_date,
        {%- for period in periods %}
        {%- set in_period = "days.days_ago between " ~ period * 30 ~ " and " ~ (period * 30 + 29) %}
        sum(case when {{ in_period }} then stretches.spend else 0 end) as spend_{{ period }},
        sum(case when {{ in_period }} then stretches.income else 0 end) as income_{{ period }},
        {%- endfor %}
        sum(stretches.transactions) as transactions_365d,
        sum(case when days.days_ago < 30 then stretches.transactions else 0 end) as transactions_30d,
        sum(case when days.days_ago < 90 then stretches.transactions else 0 end) as transactions_90d,
        sum(case when days.days_ago between 30 and 119 then stretches.transactions else 0 end)
            as transactions_prior_90d,
        sum(case when days.days_ago < 180 then stretches.purchases else 0 end) as purchases_180d,
        sum(case when days.days_ago < 180 then stretches.reversals else 0 end) as reversals_180d,
        sum(stretches.spend) as spend_365d,
        greatest(sum(case when days.days_ago < 180 then stretches.risky_spend else 0 end), 0) as risky_180d,
        greatest(
            sum(case when days.days_ago < 180 then stretches.spend - stretches.risky_spend else 0 end), 0
        ) as riskless_180d,
        sum(case when days.days_ago >= 335 then stretches.spend else 0 end) as spend_year_ago
    from days
    inner join stretches
        on
            days.client_id = stretches.client_id
            and days.business_date = stretches.stretch_end
            and days.cutoff_at > stretches.known_from
            and days.cutoff_at <= stretches.known_until
    group by stretches.client_id, stretches.customer_id, days.as_of_date
),

averaged as (
    select
        *,
        spend_0 + spend_1 + spend_2 as spend_90d,
        income_0 + income_1 + income_2 as income_90d,
        {%- for measure in ["spend", "income"] %}
        cast(
            {%- for period in periods %}
            {{ '+ ' if period }}{{ measure }}_{{ period }}
            {%- endfor %} as double
        ) / 6 as {{ measure }}_mean,
        {%- endfor %}
        cast(
            2.5 * (spend_0 - spend_5) + 1.5 * (spend_1 - spend_4) + 0.5 * (spend_2 - spend_3) as double
        ) / 17.5 as spend_slope
    from summed
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(transactions_365d as bigint) as transactions_365d,
        cast(transactions_90d as bigint) as transactions_90d,
        cast(transactions_30d as bigint) as transactions_30d,
        cast(transactions_prior_90d as bigint) as transactions_prior_90d,
        spend_365d,
        spend_90d,
        spend_0 as spend_30d,
        income_90d,
        cast(income_mean as float) as avg_monthly_income_180d,
        cast(
            case
                when risky_180d + riskless_180d > 0
                    then cast(risky_180d as double) / cast(risky_180d + riskless_180d as double)
            end as float
        ) as risk_spend_share_180d,
        cast(case when purchases_180d > 0 then reversals_180d / cast(purchases_180d as double) end as float)
            as reversal_rate_180d,
        cast(
            case when spend_365d > 0 then cast(spend_year_ago as double) * 365 / (cast(spend_365d as double) * 30) end
            as float
        ) as season_index,
        {%- for measure, name in [("spend", "spend_volatility_180d"), ("income", "income_variation_180d")] %}
        cast(
            case
                when {{ measure }}_mean > 0 then sqrt(
                    (
                        {%- for period in periods %}
                        {{ '+ ' if period }}power(cast({{ measure }}_{{ period }} as double) - {{ measure }}_mean, 2)
                        {%- endfor %}
                    ) / 5
                ) / {{ measure }}_mean
            end as float
        ) as {{ name }},
        {%- endfor %}
        cast(case when spend_mean > 0 then spend_slope / spend_mean end as float) as spend_slope_180d
    from averaged
)

select * from windowed
