{% macro definition_hash() -%}
    {%- if not execute -%}{{ return("") }}{%- endif -%}
    {%- set names = [model.unique_id] -%}
    {%- set parts = [] -%}
    {#- The list grows while it is walked: parents of parents are taken as well. -#}
    {%- for name in names -%}
        {%- set node = graph.nodes[name] -%}
        {%- do parts.append(node.name ~ node.checksum.checksum if node.resource_type == "seed" else node.name
            ~ modules.re.sub("\\s+", " ", modules.re.sub("(?s)\\{#.*?#\\}|--[^\\n]*", "", node.raw_code))) -%}
        {#- What lies behind kept versions may change: those who read them keep the versions that they knew. -#}
        {%- for parent in (node.depends_on.nodes if node.config.get("full_refresh") is not sameas false else []) -%}
            {%- if (parent.startswith("seed.") or "intermediate" in graph.nodes.get(parent, {}).get("fqn", []))
                and parent not in names -%}
                {%- do names.append(parent) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for column in graph.nodes[model.unique_id].columns.values() -%}
        {#- Who may use a column says nothing about what it holds. -#}
        {%- set meta = dict(column.config.meta) -%}
        {%- do meta.pop("allowed_in", none) -%}
        {%- do parts.append(tojson([column.name, column.data_type, meta], sort_keys=true)) -%}
    {%- endfor -%}
    {{- return(local_md5(parts | sort | join("\n"))) -}}
{%- endmacro %}
