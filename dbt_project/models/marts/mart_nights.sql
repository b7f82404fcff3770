-- A view: these are facts about runs, which a replay does not repeat, so they are no part of what is published.
{{ config(materialized='view') }}

with

dates as (
    select
        as_of_date,
        max(cutoff_at) as cutoff_at
    from {{ ref('stg_as_of_dates') }}
    group by as_of_date
),

publications as (
    select
        as_of_date,
        min(recorded_at) as published_at
    from {{ ref('stg_publications') }}
    where action = 'published' and as_of_date is not null
    group by as_of_date
),

nights as (
    select
        dates.as_of_date,
        case
            when publications.published_at <= {{ dbt.dateadd('hour', 6, 'dates.cutoff_at') }} then true
            when publications.published_at <= {{ dbt.dateadd('hour', 24, 'dates.cutoff_at') }} then false
        end as is_on_time,
        dates.cutoff_at,
        publications.published_at
    from dates
    inner join publications on dates.as_of_date = publications.as_of_date
)

select * from nights
