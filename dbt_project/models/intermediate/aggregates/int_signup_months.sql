with

customers as (
    select * from {{ ref('int_customers') }}
    where superseded_at is null
),

firsts as (
    select
        client_id,
        customer_id,
        min(month_start) as first_month
    from {{ ref('int_categories_monthly') }}
    group by client_id, customer_id
),

-- Who has no day of contract, or paid before it, signed up with the first transaction.
months as (
    select
        customers.client_id,
        customers.customer_id,
        least(
            cast({{ dbt.date_trunc('month', 'customers.signed_up_on') }} as date), firsts.first_month
        ) as signup_month
    from customers
    left join firsts on customers.client_id = firsts.client_id and customers.customer_id = firsts.customer_id
),

signed_up as (
    select * from months
    where signup_month is not null
)

select * from signed_up
