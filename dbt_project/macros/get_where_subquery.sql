{% macro get_where_subquery(relation) -%}
    {#- dbt's own macro of this name, and besides: what a model says of itself in `meta.night_scope`. -#}
    {%- set tested = graph.nodes.get(model.attached_node, {}) if execute else {} -%}
    {%- set scope = tested.get('config', {}).get('meta', {}).get('night_scope') -%}
    {%- set conditions = [config.get('where')] if config.get('where') else [] -%}
    {%- if scope and not var('full_tests', true) -%}
        {%- do conditions.append(night_scope(scope)) -%}
    {%- endif -%}
    {%- if conditions -%}
        {%- do return('(select * from ' ~ relation ~ ' where ' ~ conditions | join(' and ') ~ ') as dbt_subquery') -%}
    {%- endif -%}
    {%- do return(relation) -%}
{%- endmacro %}
