{#- What was decided for a published date may have been sent: only a client's latest date is decided on, until then. -#}
{% macro undecided_dates() -%}
    select
        dates.client_id,
        dates.as_of_date,
        dates.cutoff_at
    from {{ ref('stg_as_of_dates') }} as dates
    inner join {{ ref('stg_horizon') }} as horizon
        on dates.client_id = horizon.client_id and dates.as_of_date = horizon.as_of_date
    left join {{ ref('stg_base_horizon') }} as base on dates.client_id = base.client_id
    where dates.is_tonight and (base.as_of_date is null or dates.as_of_date > base.as_of_date)
{%- endmacro %}
