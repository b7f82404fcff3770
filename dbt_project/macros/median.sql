{% macro median(expression, condition='true') -%}
    {{ return(adapter.dispatch('median')(expression, condition)) }}
{%- endmacro %}

{% macro default__median(expression, condition) -%}
    percentile(case when {{ condition }} then cast({{ expression }} as double) end, 0.5)
{%- endmacro %}

{% macro duckdb__median(expression, condition) -%}
    median(cast({{ expression }} as double)) filter (where {{ condition }})
{%- endmacro %}
