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
-- other way refunds or reverses, and both stay. What a posting is, is decided by what was known when it came: a pending
-- row that arrives after its own posting changes no past date.
matched as (
    select
        pending.transaction_key as pending_key,
        posted.transaction_key as posted_key,
        min(posted.known_at) as posted_known_at,
        min(pending.known_at) <= min(posted.known_at) as is_known_in_order
    from pending
    inner join posted
        on
            pending.client_id = posted.client_id
            and pending.source = posted.source
            and pending.transaction_id = posted.original_transaction_id
    where sign(pending.amount) * sign(posted.amount) >= 0
    group by pending.transaction_key, posted.transaction_key
)

select * from matched
