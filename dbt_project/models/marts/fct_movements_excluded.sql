{{ config(materialized='view') }}

select
    transaction_key,
    client_id,
    source,
    customer_id,
    currency,
    amount,
    business_date,
    known_at
from {{ ref('int_transactions') }}
where not has_base_amount and superseded_at is null
