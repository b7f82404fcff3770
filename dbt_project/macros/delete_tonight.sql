{#- Before a night writes its rows: what an earlier try of it has written. -#}
{% macro delete_tonight() -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where
        (client_id, as_of_date) in (
            select
                dates.client_id,
                dates.as_of_date
            from {{ ref('stg_as_of_dates') }} as dates
            where dates.is_tonight
        )
    {%- endif -%}
{%- endmacro %}
