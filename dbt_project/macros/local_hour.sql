{% macro local_hour(utc_timestamp, zone) -%}
    {{ return(adapter.dispatch('local_hour')(utc_timestamp, zone)) }}
{%- endmacro %}

{% macro default__local_hour(utc_timestamp, zone) -%}
    hour(from_utc_timestamp({{ utc_timestamp }}, {{ zone }}))
{%- endmacro %}

{% macro duckdb__local_hour(utc_timestamp, zone) -%}
    cast(extract(hour from timezone({{ zone }}, timezone('UTC', {{ utc_timestamp }}))) as integer)
{%- endmacro %}
