with

accounts as (
    select * from {{ ref('int_accounts_as_of') }}
),

openings as (
    select
        client_id,
        customer_id,
        as_of_date,
        min(opened_on) as opened_on
    from accounts
    group by client_id, customer_id, as_of_date
)

select * from openings
