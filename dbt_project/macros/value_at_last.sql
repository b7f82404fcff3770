{% macro value_at_last(expression, order) -%}
    {{ return(adapter.dispatch('value_at_last')(expression, order)) }}
{%- endmacro %}

{% macro default__value_at_last(expression, order) -%}
    max_by({{ expression }}, struct({{ order | join(', ') }}))
{%- endmacro %}

{% macro duckdb__value_at_last(expression, order) -%}
    arg_max({{ expression }}, row({{ order | join(', ') }}))
{%- endmacro %}

{% macro value_at_first(expression, order) -%}
    {{ return(adapter.dispatch('value_at_first')(expression, order)) }}
{%- endmacro %}

{% macro default__value_at_first(expression, order) -%}
    min_by({{ expression }}, struct({{ order | join(', ') }}))
{%- endmacro %}

{% macro duckdb__value_at_first(expression, order) -%}
    arg_min({{ expression }}, row({{ order | join(', ') }}))
{%- endmacro %}
