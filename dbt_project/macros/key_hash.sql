{% macro key_hash(expression) -%}
    {{ return(adapter.dispatch('key_hash')(expression)) }}
{%- endmacro %}

{% macro default__key_hash(expression) -%}
    xxhash64({{ expression }})
{%- endmacro %}

{% macro duckdb__key_hash(expression) -%}
    hash({{ expression }})
{%- endmacro %}
