with

days as (
    select distinct
        client_id,
        customer_id,
        as_of_date,
        days_ago
    from {{ ref('int_transactions_as_of') }}
    where is_customer_initiated and days_ago < 90
),

gaps as (
    select
        client_id,
        customer_id,
        as_of_date,
        lag(days_ago) over (partition by client_id, customer_id, as_of_date order by days_ago desc)
        - days_ago as gap_days
    from days
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        count(*) as active_days_90d,
        cast({{ median('gap_days', 'gap_days is not null') }} as float) as median_gap_days_90d
    from gaps
    group by client_id, customer_id, as_of_date
)

select * from windowed
