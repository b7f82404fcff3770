{#- Each text by itself: what many rows share, DuckDB then looks at once, and a coalesce of two texts no rows share. -#}
{% macro descriptor(merchant_name, description) -%}
    coalesce(
        trim({{ regex_replace_all("nullif(trim(" ~ merchant_name ~ "), '')", "[0-9]{4,}", "#") }}),
        trim({{ regex_replace_all(description, "[0-9]{4,}", "#") }})
    )
{%- endmacro %}
