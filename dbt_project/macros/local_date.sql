{% macro local_date(utc_timestamp, zone) -%}
    {{ return(adapter.dispatch('local_date')(utc_timestamp, zone)) }}
{%- endmacro %}

{% macro default__local_date(utc_timestamp, zone) -%}
    cast(from_utc_timestamp({{ utc_timestamp }}, {{ zone }}) as date)
{%- endmacro %}

{% macro duckdb__local_date(utc_timestamp, zone) -%}
    cast(timezone({{ zone }}, timezone('UTC', {{ utc_timestamp }})) as date)
{%- endmacro %}
