-- A view: these are facts about runs, which a replay does not repeat, so they are no part of what is published.
{{ config(materialized='view') }}

with

cutoffs as (
    select
        as_of_date,
        max(cutoff_at) as cutoff_at
    from {{ ref('stg_as_of_dates') }}
    group by as_of_date
),

-- A night that was passed over is published with the next one.
published as (
    select
        deadlines.as_of_date,
        deadlines.publish_by,
        deadlines.is_judged,
        min(publications.recorded_at) as published_at
    from {{ ref('stg_night_deadlines') }} as deadlines
    inner join {{ ref('stg_publications') }} as publications on deadlines.as_of_date <= publications.as_of_date
    where publications.action = 'published'
    group by deadlines.as_of_date, deadlines.publish_by, deadlines.is_judged
)

select
    published.as_of_date,
    case when published.is_judged then published.published_at <= published.publish_by end as is_on_time,
    cutoffs.cutoff_at,
    published.publish_by,
    published.published_at
from published
left join cutoffs on published.as_of_date = cutoffs.as_of_date
