{% macro may_be_shown(category, consents) -%}
    (
        {{ category }} not in (
            select categories.category from {{ ref('categories') }} as categories
            where categories.is_sensitive
        )
        or ';' || replace(replace(lower({{ consents }}), ' ', ''), ',', ';') || ';' like '%;sensitive;%'
    )
{%- endmacro %}
