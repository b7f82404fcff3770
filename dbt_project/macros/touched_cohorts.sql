{#- Months of which tonight scores a date or learns an outcome. -#}
{% macro touched_cohorts() -%}
    select
        dates.client_id,
        cast({{ dbt.date_trunc('month', 'dates.as_of_date') }} as date) as cohort_month
    from {{ ref('stg_as_of_dates') }} as dates
    where dates.is_tonight
    union
    select
        outcomes.client_id,
        cast({{ dbt.date_trunc('month', 'outcomes.as_of_date') }} as date) as cohort_month
    from {{ ref('stg_outcomes') }} as outcomes
    inner join {{ ref('stg_horizon') }} as horizon
        on outcomes.client_id = horizon.client_id and outcomes._judged_on = horizon.as_of_date
{%- endmacro %}
