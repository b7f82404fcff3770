with

customers as (
    select * from {{ source('raw', 'customers') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        customers.client_id,
        customers.source,
        customers.customer_id,
        customers.gender,
        customers.region,
        customers.city,
        customers.country,
        customers.vertical,
        customers.consents,
        customers.declared_income,
        customers.birth_year,
        customers.signed_up_on,
        {{ if_known('customers', 'closed_on', 'closed_known_at') }} as closed_on,
        {{ if_known('customers', 'closed_known_at', 'closed_known_at') }} as closed_known_at,
        customers.known_at,
        customers._load_id,
        customers._record
    from customers
    inner join horizon on customers.client_id = horizon.client_id
    where customers.known_at < horizon.cutoff_at
)

select * from known
