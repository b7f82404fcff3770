{% macro descriptor(merchant_name, description) -%}
    trim({{ regex_replace_all("coalesce(nullif(trim(" ~ merchant_name ~ "), ''), " ~ description ~ ")", "[0-9]{4,}", "#") }})
{%- endmacro %}
