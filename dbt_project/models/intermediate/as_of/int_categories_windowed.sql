{#- The taxonomy's first level. Two windows of 90 days, the newer first. -#}
{%- set categories = [
    'groceries', 'dining', 'transport_fuel', 'travel', 'shopping', 'luxury', 'health', 'education_children',
    'entertainment', 'subscriptions', 'utilities_telecom', 'home_improvement', 'rent_mortgage', 'emi_loans',
    'insurance', 'investments', 'cash', 'people_transfers', 'income', 'fees', 'own_transfer', 'other',
] %}
{%- set windows = ["now", "before"] %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 180
),

-- No window begins or ends within a stretch, so a stretch is added up once for all dates.
stretches as (
    select
        client_id,
        customer_id,
        stretch_end,
        {%- for category in categories %}
        cast(sum(case when category = '{{ category }}' then spend_amount else 0 end) as decimal(18, 4))
            as {{ category }},
        {%- endfor %}
        known_from,
        known_until
    from {{ ref('int_transactions_to_count') }}
    where first_days_ago < 180 and spend_amount <> 0
    group by client_id, customer_id, stretch_end, known_from, known_until
),

summed as (
    select
        stretches.client_id,
        stretches.customer_id,
        {%- for category in categories %}
        cast(greatest(sum(case when days.days_ago < 90 then stretches.{{ category }} else 0 end), 0) as double)
            as {{ category }}_now,
        cast(greatest(sum(case when days.days_ago >= 90 then stretches.{{ category }} else 0 end), 0) as double)
            as {{ category }}_before,
        {%- endfor %}
        days.as_of_date
    from days
    inner join stretches
        on
            days.client_id = stretches.client_id
            and days.business_date = stretches.stretch_end
            and days.cutoff_at > stretches.known_from
            and days.cutoff_at <= stretches.known_until
    group by stretches.client_id, stretches.customer_id, days.as_of_date
),

totalled as (
    select
        *,
        {{ categories | join("_now + ") }}_now as total_now,
        {{ categories | join("_before + ") }}_before as total_before
    from summed
),

-- Null without spend in the window.
shared as (
    select
        client_id,
        customer_id,
        as_of_date,
        {%- for category in categories %}
        {%- for window in windows %}
        {{ category }}_{{ window }} / nullif(total_{{ window }}, 0) as {{ category }}_{{ window }},
        {%- endfor %}
        {%- endfor %}
        total_now > 0 as is_spent_now,
        total_before > 0 as is_spent_before
    from totalled
),

informed as (
    select
        {%- for name, share in [("now", "%s_now"), ("before", "%s_before"), ("between", "(%s_now + %s_before) / 2")] %}
        greatest(
            0
            {%- for category in categories %}
            {%- set p = share | replace("%s", category) %}
            - {{ p }} * log2(greatest({{ p }}, 1e-300))
            {%- endfor %},
            0
        ) as entropy_{{ name }},
        {%- endfor %}
        *
    from shared
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        {%- for category in categories %}
        cast({{ category }}_now as float) as share_{{ category }},
        {%- endfor %}
        cast(case when is_spent_now then entropy_now end as float) as category_entropy_90d,
        cast(
            case
                when is_spent_now and is_spent_before
                    then sqrt(greatest(entropy_between - (entropy_now + entropy_before) / 2, 0))
            end as float
        ) as category_shift_90d
    from informed
)

select * from windowed
