{{ config(materialized='view') }}

select
    client_id,
    customer_id,
    gender,
    region,
    city,
    country,
    vertical,
    consents,
    declared_income,
    birth_year,
    is_inferred,
    superseded_at is null as is_current,
    signed_up_on,
    closed_on,
    known_at as valid_from,
    superseded_at as valid_to
from {{ ref('int_customers') }}
