{% macro night_scope(scope, alias=none, column=none) -%}
    {%- set periods = {'touched_days': 'day', 'touched_weeks': 'week', 'touched_months': 'month'} -%}
    {%- set columns = {
        'touched_days': 'business_date', 'touched_weeks': 'week_start', 'touched_months': 'month_start',
        'tonight': 'as_of_date', 'reopened_bookings': 'balance_date',
    } -%}
    {%- if scope not in columns -%}
        {{ exceptions.raise_compiler_error("night_scope is one of " ~ columns.keys() | join(", ") ~ ", not " ~ scope) }}
    {%- endif -%}
    {%- set prefix = alias ~ '.' if alias else '' -%}
    {%- if var('full_tests', true) -%}
    true
    {%- elif scope == 'tonight' -%}
    ({{ prefix }}client_id, {{ column or prefix ~ columns[scope] }}) in (
        select client_id, as_of_date from {{ api.Relation.create(schema='ops', identifier='as_of_dates') }}
        where is_tonight
    )
    {%- elif scope == 'reopened_bookings' -%}
    exists (
        select 1 from {{ api.Relation.create(schema='intermediate', identifier='int_reopened_bookings') }} as reopened
        where reopened.client_id = {{ prefix }}client_id and reopened.reopened_from <= {{ column or prefix ~ columns[scope] }}
    )
    {%- else -%}
    ({{ prefix }}client_id, {{ column or prefix ~ columns[scope] }}) in (
        select client_id, cast({{ dbt.date_trunc(periods[scope], 'business_date') }} as date)
        from {{ api.Relation.create(schema='ops', identifier='touched_days') }}
    )
    {%- endif -%}
{%- endmacro %}
