{% macro median_absolute_deviation(expression, condition='true') -%}
    {{ return(adapter.dispatch('median_absolute_deviation')(expression, condition)) }}
{%- endmacro %}

{% macro default__median_absolute_deviation(expression, condition) -%}
    {{ exceptions.raise_compiler_error("median_absolute_deviation is not written for " ~ target.type) }}
{%- endmacro %}

{% macro duckdb__median_absolute_deviation(expression, condition) -%}
    mad(cast({{ expression }} as double)) filter (where {{ condition }})
{%- endmacro %}
