{{ config(materialized='table') }}

with

pending as (
    select * from {{ ref('stg_transactions') }}
    where status = 'pending'
),

posted as (
    select * from {{ ref('stg_transactions') }}
    where status = 'posted' and original_transaction_id is not null
),

-- A posting goes the same way as what it posts (or is zero: an authorisation that was released). A row that goes the
-- other way refunds or reverses, and both stay.
matched as (
    select
        pending.transaction_key as pending_key,
        posted.transaction_key as posted_key,
        posted.known_at as posted_known_at
    from pending
    inner join posted
        on
            pending.client_id = posted.client_id
            and pending.source = posted.source
            and pending.transaction_id = posted.original_transaction_id
    where sign(pending.amount) * sign(posted.amount) >= 0
)

select * from matched
