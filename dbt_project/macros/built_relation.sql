{% macro built_relation(name) -%}
    {%- if execute -%}
        {%- set relation = adapter.get_relation(this.database, this.schema, name) -%}
        {{ return(relation if relation and relation.is_table else none) }}
    {%- endif -%}
{%- endmacro %}
