-- A view: which days a night touches is no part of what it publishes, and a replay may touch others.
with

touched as (
    select * from {{ ref('stg_touched_days') }}
),

-- What was booked before the day that it is told for reopens the earlier day.
opened as (
    select
        client_id,
        business_date as booking_date
    from touched
    union all
    select
        movements.client_id,
        movements.booking_date
    from {{ ref('int_movements') }} as movements
    inner join touched
        on movements.client_id = touched.client_id and movements.business_date = touched.business_date
),

reopened as (
    select
        client_id,
        min(booking_date) as reopened_from
    from opened
    group by client_id
)

select * from reopened
