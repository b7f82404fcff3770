{#- Those of months whose movements changed; those of months that were not over in the publication before, since nothing
    need have come on their last days; and tonight's: a night that makes up for an old one has outcomes already. -#}
{% macro forecasts_to_judge(relation) -%}
    (
        ({{ relation }}.client_id, cast({{ dbt.date_trunc('month', relation ~ '.target') }} as date)) in (
            select
                touched.client_id,
                cast({{ dbt.date_trunc('month', 'touched.business_date') }} as date)
            from {{ ref('int_touched_days') }} as touched
        )
        or ({{ relation }}.client_id, {{ relation }}.origin) in (
            select
                dates.client_id,
                dates.as_of_date
            from {{ ref('stg_as_of_dates') }} as dates
            where dates.is_tonight
        )
        or exists (
            select 1
            from {{ ref('stg_base_horizon') }} as base
            where
                base.client_id = {{ relation }}.client_id
                and {{ relation }}.target
                >= cast({{ dbt.date_trunc('month', dbt.dateadd('day', 1, 'base.as_of_date')) }} as date)
        )
    )
{%- endmacro %}
