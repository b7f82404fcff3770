with

merchants as (
    select
        client_id,
        customer_id,
        as_of_date,
        merchant
    from {{ ref('int_transactions_as_of') }}
    where is_customer_initiated and days_ago < 90
    group by client_id, customer_id, as_of_date, merchant
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        count(*) as distinct_merchants_90d
    from merchants
    group by client_id, customer_id, as_of_date
)

select * from windowed
