-- depends_on: {{ ref('int_touched_days') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_touched_periods('month', 'month_start') }}",
    )
}}

{{ aggregated_by('month', 'month_start') }}
