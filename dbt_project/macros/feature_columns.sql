{% macro feature_columns(model_name) -%}
    {%- if not execute -%}{{ return([]) }}{%- endif -%}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == "model" and node.name == model_name -%}
        {%- for column in node.columns.values() if column.config.meta.get("group") -%}
            {%- do found.append((column.name, column.config.meta["group"])) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}
