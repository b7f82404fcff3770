{% macro after_join(condition) -%}
    coalesce({{ condition }}, false)
{%- endmacro %}
