{% macro delete_reopened(column) -%}
    {%- if is_incremental() -%}
    delete from {{ this }} as known
    where exists (
        select 1 from {{ ref('int_reopened_bookings') }} as reopened
        where known.client_id = reopened.client_id and known.{{ column }} >= reopened.reopened_from
    )
    {%- endif -%}
{%- endmacro %}
