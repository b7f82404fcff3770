{{ config(materialized='table') }}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

offsets as (
    select numbers.days_ago
    from (
        values
        {%- for number in range(365) %}
        ({{ number }}){{ "," if not loop.last }}
        {%- endfor %}
    ) as numbers (days_ago)
),

-- The windows of features are selections of these days; a join by day finds them without comparing dates row by row.
days as (
    select
        dates.client_id,
        dates.as_of_date,
        offsets.days_ago,
        cast({{ dbt.dateadd('day', '-offsets.days_ago', 'dates.as_of_date') }} as date) as business_date,
        dates.cutoff_at
    from dates
    cross join offsets
),

numbered as (
    select
        client_id,
        as_of_date,
        cast(days_ago as integer) as days_ago,
        -- 5 January 1970 was a Monday.
        cast(
            ({{ days_between("cast('1970-01-05' as date)", 'business_date') }} % 7 + 7) % 7 + 1 as integer
        ) as iso_weekday,
        business_date,
        cutoff_at
    from days
)

select * from numbered
