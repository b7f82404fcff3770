{{ config(materialized='view') }}

select
    client_id,
    account_id,
    customer_id,
    type,
    currency,
    credit_limit,
    superseded_at is null as is_current,
    opened_on,
    closed_on,
    known_at as valid_from,
    superseded_at as valid_to
from {{ ref('int_accounts') }}
