{% macro delete_touched_cohorts() -%}
    {%- if is_incremental() -%}
    delete from {{ this }} where (client_id, cohort_month) in ({{ touched_cohorts() }})
    {%- endif -%}
{%- endmacro %}
