with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

customers as (
    select * from {{ ref('int_customers') }}
),

existing as (
    select
        dates.client_id,
        customers.customer_id,
        dates.as_of_date
    from dates
    inner join customers
        on
            dates.client_id = customers.client_id
            and dates.cutoff_at > customers.known_at
            and (customers.superseded_at is null or dates.cutoff_at <= customers.superseded_at)
    where customers.closed_on is null or customers.closed_on > dates.as_of_date
)

select * from existing
