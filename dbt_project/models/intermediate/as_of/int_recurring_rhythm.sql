{{ config(materialized='table') }}

{#- name, shortest and longest gap, gaps that must agree, most by which amounts differ, step to the next, grace -#}
{%- set periods = [
    ('weekly', 6, 8, 3, 1.5, 'day', 7, 3),
    ('fortnightly', 12, 16, 3, 1.5, 'day', 14, 5),
    ('monthly', 26, 35, 2, 1.5, 'month', 1, 10),
    ('quarterly', 85, 98, 2, 1.5, 'month', 3, 20),
    ('yearly', 351, 380, 1, 1.1, 'month', 12, 30),
] %}
{%- set timeline = 'partition by series_key, as_of_date order by business_date' %}
{%- set series = ['client_id', 'customer_id', 'kind', 'payee', 'instalment'] %}
{#- Grouping and sorting by one number costs two thirds of doing it by five texts. -#}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

payments as (
    select
        *,
        {{ key_hash(series | join(', ')) }} as series_key,
        kind = 'salary' as is_salary,
        kind = 'subscription' as is_subscription,
        known_from = cast('1970-01-01' as timestamp) and known_until = cast('9999-12-31' as timestamp) as is_settled
    from {{ ref('int_recurring_candidates') }}
),

unsettled as (
    select
        payments.*,
        dates.as_of_date
    from payments
    inner join dates
        on
            payments.client_id = dates.client_id
            and payments.business_date <= dates.as_of_date
            and payments.known_from < dates.cutoff_at
            and payments.known_until >= dates.cutoff_at
    where not payments.is_settled
),

unsettled_series as (
    select distinct
        series_key,
        client_id
    from unsettled
),

-- Almost every series is one and the same for all dates, and is looked at once; those of which some date knew
-- something else are looked at for each date.
seen as (
    select
        payments.series_key,
        payments.is_salary,
        payments.is_subscription,
        dates.as_of_date,
        payments.business_date,
        payments.amount
    from payments
    left join unsettled_series on payments.series_key = unsettled_series.series_key
    left join dates
        on unsettled_series.client_id = dates.client_id and payments.business_date <= dates.as_of_date
    where payments.is_settled
    union all
    select
        series_key,
        is_salary,
        is_subscription,
        as_of_date,
        business_date,
        amount
    from unsettled
),

days as (
    select
        series_key,
        is_salary,
        is_subscription,
        as_of_date,
        business_date,
        cast(sum(amount) as decimal(18, 4)) as amount
    from seen
    group by series_key, is_salary, is_subscription, as_of_date, business_date
),

compared as (
    select
        {%- for back in [1, 2, 3] %}
        lag(business_date, {{ back }}) over ({{ timeline }}) as date_{{ back }},
        lag(amount, {{ back }}) over ({{ timeline }}) as amount_{{ back }},
        {%- endfor %}
        *
    from days
),

spaced as (
    select
        *,
        coalesce({{ days_between('date_1', 'business_date') }}, 0) as gap_1,
        coalesce({{ days_between('date_2', 'date_1') }}, 0) as gap_2,
        coalesce({{ days_between('date_3', 'date_2') }}, 0) as gap_3
    from compared
),

rhythms as (
    select
        *,
        case
            {%- for name, shortest, longest, count, ratio, _, _, _ in periods %}
            {%- set gaps = ['gap_1', 'gap_1', 'gap_2', 'gap_3'][:count + 1] | join(', ') %}
            {%- set amounts = ['amount', 'amount_1', 'amount_2', 'amount_3'][:count + 1] | join(', ') %}
            when
                least({{ gaps }}) >= {{ shortest }}
                and greatest({{ gaps }}) <= {{ longest }}
                and (is_salary or greatest({{ amounts }}) <= {{ ratio }} * least({{ amounts }}))
                then '{{ name }}'
            {%- endfor %}
        end as period
    from spaced
),

confirmed as (
    select
        series_key,
        as_of_date,
        period,
        amount,
        case period
            {%- for name, _, _, gaps, _, _, _, _ in periods %}
            when '{{ name }}' then amount_{{ gaps }}
            {%- endfor %}
        end as amount_before,
        business_date,
        case period
            {%- for name, _, _, gaps, _, _, _, _ in periods %}
            when '{{ name }}' then date_{{ gaps }}
            {%- endfor %}
        end as regular_since,
        cast(
            case period
                {%- for name, _, _, _, _, part, step, _ in periods %}
                when '{{ name }}' then {{ dbt.dateadd(part, step, 'business_date') }}
                {%- endfor %}
            end as date
        ) as next_expected_on,
        cast(
            case period
                {%- for name, _, _, _, _, part, step, grace in periods %}
                when '{{ name }}' then {{ dbt.dateadd('day', grace, dbt.dateadd(part, step, 'business_date')) }}
                {%- endfor %}
            end as date
        ) as active_until
    from rhythms
    where period is not null and (period <> 'yearly' or is_subscription)
),

-- Only the few series that recur get their names back.
named as (
    select distinct
        series_key,
        {{ series | join(', ') }}
    from payments
    where series_key in (select confirmed.series_key from confirmed)
),

told as (
    select
        {%- for column in series %}
        named.{{ column }},
        {%- endfor %}
        confirmed.as_of_date,
        confirmed.period,
        confirmed.amount,
        confirmed.amount_before,
        confirmed.business_date,
        confirmed.regular_since,
        confirmed.next_expected_on,
        confirmed.active_until
    from confirmed
    inner join named on confirmed.series_key = named.series_key
)

select * from told
