-- Every transaction in raw that is known by the horizon is staged once, to the cent; what is told again says the same.
with

told as (
    select
        delivered.client_id,
        delivered.source,
        delivered.currency,
        delivered.transaction_key,
        min(delivered.amount) as amount,
        max(delivered.amount) - min(delivered.amount) as difference
    from {{ source('raw', 'transactions') }} as delivered
    inner join {{ source('ops', 'horizon') }} as horizon on delivered.client_id = horizon.client_id
    where delivered.known_at < horizon.cutoff_at
    group by delivered.client_id, delivered.source, delivered.currency, delivered.transaction_key
),

both_sides as (
    select
        client_id,
        source,
        currency,
        1 as raw_rows,
        amount as raw_amount,
        difference,
        0 as staged_rows,
        0 as staged_amount
    from told
    union all
    select
        client_id,
        source,
        currency,
        0 as raw_rows,
        0 as raw_amount,
        0 as difference,
        1 as staged_rows,
        amount as staged_amount
    from {{ ref('stg_transactions') }}
),

compared as (
    select
        client_id,
        source,
        currency,
        sum(raw_rows) as raw_rows,
        sum(staged_rows) as staged_rows,
        sum(raw_amount) as raw_amount,
        sum(staged_amount) as staged_amount,
        sum(difference) as difference_between_tellings
    from both_sides
    group by client_id, source, currency
)

select * from compared
where raw_rows <> staged_rows or raw_amount <> staged_amount or difference_between_tellings <> 0
