-- A match can come or go for a row of a day for which nothing was delivered: that day is touched too.
{{
    config(
        materialized='table',
        pre_hook="
            {% if built_relation('int_matches') and not flags.FULL_REFRESH %}
            insert into {{ source('ops', 'touched_days') }} (client_id, business_date)
            select client_id, business_date from (
                select * from (select * from {{ this }} except select * from {{ ref('int_matches_found') }}) as gone
                union all
                select * from (select * from {{ ref('int_matches_found') }} except select * from {{ this }}) as come
            ) as differing
            except
            select client_id, business_date from {{ source('ops', 'touched_days') }}
            {% endif %}
        ",
    )
}}

select * from {{ ref('int_matches_found') }}
