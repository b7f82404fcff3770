{% macro delete_touched_periods(period, start) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where
        (client_id, {{ start }}) in (
            select
                days.client_id,
                cast({{ dbt.date_trunc(period, 'days.business_date') }} as date)
            from {{ ref('int_touched_days') }} as days
        )
    {%- endif -%}
{%- endmacro %}
