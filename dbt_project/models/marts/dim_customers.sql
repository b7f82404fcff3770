{{ config(materialized='table') }}

with

versions as (
    select * from {{ ref('int_customers') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

first_known as (
    select
        client_id,
        customer_id,
        min(known_at) as first_known_at
    from versions
    group by client_id, customer_id
),

current_versions as (
    select
        versions.client_id,
        versions.customer_id,
        versions.gender,
        versions.region,
        versions.city,
        versions.country,
        versions.vertical,
        versions.consents,
        clients.base_currency as currency,
        versions.declared_income,
        versions.birth_year,
        versions.is_inferred,
        coalesce(versions.closed_on <= horizon.as_of_date, false) as is_closed,
        versions.signed_up_on,
        versions.closed_on,
        first_known.first_known_at,
        versions.known_at
    from versions
    inner join first_known
        on versions.client_id = first_known.client_id and versions.customer_id = first_known.customer_id
    inner join horizon on versions.client_id = horizon.client_id
    inner join {{ ref('stg_clients') }} as clients on versions.client_id = clients.client_id
    where versions.superseded_at is null
)

select * from current_versions
