-- What is kept of earlier nights still is the sum of the days in each window, however late those days changed.
with

days as (
    select * from {{ ref('agg_daily') }}
    where level = 'client'
),

summed as (
    select
        windows.client_id,
        windows.business_date,
        windows.spend_7d,
        windows.spend_30d,
        windows.spend_90d,
        sum(
            case when {{ days_between('days.business_date', 'windows.business_date') }} < 7 then days.spend else 0 end
        ) as days_7d,
        sum(
            case when {{ days_between('days.business_date', 'windows.business_date') }} < 30 then days.spend else 0 end
        ) as days_30d,
        sum(days.spend) as days_90d
    from {{ ref('agg_rolling') }} as windows
    inner join days
        on
            windows.client_id = days.client_id
            and windows.business_date >= days.business_date
            and windows.business_date <= cast({{ dbt.dateadd('day', 89, 'days.business_date') }} as date)
    where windows.level = 'client' and {{ night_scope('touched_days', 'windows') }}
    group by windows.client_id, windows.business_date, windows.spend_7d, windows.spend_30d, windows.spend_90d
)

select * from summed
where spend_7d <> days_7d or spend_30d <> days_30d or spend_90d <> days_90d
