{% macro if_known(relation, column, known_at) -%}
    case
        when coalesce({{ relation }}.{{ known_at }}, {{ relation }}.known_at) < horizon.cutoff_at
            then {{ relation }}.{{ column }}
    end
{%- endmacro %}
