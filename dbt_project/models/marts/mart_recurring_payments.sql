{{ config(materialized='view') }}

select
    client_id,
    customer_id,
    kind,
    payee,
    instalment,
    period,
    currency,
    last_amount,
    first_amount,
    amount_drift,
    confirmed_payments,
    is_lapsed,
    regular_since,
    last_paid_on,
    next_expected_on,
    active_until,
    as_of_date
from {{ ref('int_recurring_payments') }}
