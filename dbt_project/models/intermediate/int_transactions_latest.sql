with

transactions as (
    select * from {{ ref('int_transactions_as_of') }}
),

latest as (
    select
        client_id,
        customer_id,
        as_of_date,
        min(days_ago) filter (where is_customer_initiated) as days_since_last_transaction,
        min(days_ago) filter (where income_amount > 0) as days_since_last_income
    from transactions
    where is_customer_initiated or income_amount > 0
    group by client_id, customer_id, as_of_date
)

select * from latest
