{%- set history = 'partition by client_id order by as_of_date' %}

with

dates as (
    select
        client_id,
        as_of_date,
        cutoff_at,
        lag(as_of_date) over ({{ history }}) as previous_as_of_date,
        lag(cutoff_at) over ({{ history }}) as previous_cutoff_at
    from {{ ref('stg_as_of_dates') }}
),

-- The date before is the last one ever built; the cutoffs on both sides are of dates that are built now.
in_order as (
    select
        dates.client_id,
        dates.as_of_date,
        dates.previous_as_of_date,
        dates.cutoff_at,
        dates.previous_cutoff_at,
        coalesce(lag(dates.cutoff_at) over built, cast('0001-01-01' as timestamp)) as cutoff_before,
        coalesce(lead(dates.cutoff_at) over built, cast('9999-12-31' as timestamp)) as cutoff_after,
        dates.previous_as_of_date is not null and count(*) over (partition by dates.client_id) = 1 as is_one_more
    from dates
    inner join {{ ref('int_dates_to_build') }} as to_build
        on dates.client_id = to_build.client_id and dates.as_of_date = to_build.as_of_date
    window built as (partition by dates.client_id order by dates.as_of_date)
)

select * from in_order
