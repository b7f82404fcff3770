{% macro title_case(expression) -%}
    {{ return(adapter.dispatch('title_case')(expression)) }}
{%- endmacro %}

{% macro default__title_case(expression) -%}
    initcap({{ expression }})
{%- endmacro %}

{% macro duckdb__title_case(expression) -%}
    array_to_string(
        list_transform(string_split({{ expression }}, ' '), lambda word: upper(left(word, 1)) || substr(word, 2)), ' '
    )
{%- endmacro %}
