{% macro local_midnight(day, zone) -%}
    {{ return(adapter.dispatch('local_midnight')(day, zone)) }}
{%- endmacro %}

{% macro default__local_midnight(day, zone) -%}
    to_utc_timestamp(cast({{ day }} as timestamp), {{ zone }})
{%- endmacro %}

{% macro duckdb__local_midnight(day, zone) -%}
    timezone('UTC', timezone({{ zone }}, cast({{ day }} as timestamp)))
{%- endmacro %}
