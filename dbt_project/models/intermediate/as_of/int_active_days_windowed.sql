with

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 90
),

-- A day may stand in several rows, one for what was known at once, others for what came later: their gap is 0.
gaps as (
    select
        customer_days.client_id,
        customer_days.customer_id,
        days.as_of_date,
        lag(days.days_ago) over (
            partition by customer_days.client_id, customer_days.customer_id, days.as_of_date
            order by days.days_ago desc
        ) - days.days_ago as gap_days
    from days
    inner join {{ ref('int_customer_days') }} as customer_days
        on
            days.client_id = customer_days.client_id
            and days.business_date = customer_days.business_date
            and days.cutoff_at > customer_days.known_from
            and days.cutoff_at <= customer_days.known_until
    where customer_days.transactions > 0
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        count(*) filter (where gap_days is null or gap_days > 0) as active_days_90d,
        cast({{ median('gap_days', 'gap_days > 0') }} as float) as median_gap_days_90d
    from gaps
    group by client_id, customer_id, as_of_date
)

select * from windowed
