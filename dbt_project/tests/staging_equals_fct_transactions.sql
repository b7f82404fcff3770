-- No model between staging and the mart drops, repeats or changes money. What is only understood anew is told once.
with

both_sides as (
    select
        client_id,
        source,
        currency,
        1 as staged_rows,
        amount as staged_amount,
        0 as mart_rows,
        0 as mart_amount
    from {{ ref('stg_transactions') }}
    where {{ night_scope('touched_days') }}
    union all
    select
        client_id,
        source,
        currency,
        0 as staged_rows,
        0 as staged_amount,
        1 as mart_rows,
        amount as mart_amount
    from {{ ref('fct_transactions') }}
    where not is_reinterpreted and {{ night_scope('touched_days') }}
),

compared as (
    select
        client_id,
        source,
        currency,
        sum(staged_rows) as staged_rows,
        sum(mart_rows) as mart_rows,
        sum(staged_amount) as staged_amount,
        sum(mart_amount) as mart_amount
    from both_sides
    group by client_id, source, currency
)

select * from compared
where staged_rows <> mart_rows or staged_amount <> mart_amount
