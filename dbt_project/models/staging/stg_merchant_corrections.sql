with

entries as (
    -- Without a time: recorded while this night was under way, and the next one's to obey.
    select * from {{ source('operations', 'merchant_corrections') }}
    where known_at is not null
),

withdrawals as (
    select
        withdrawn_id,
        min(known_at) as withdrawn_at
    from entries
    where action = 'withdraw'
    group by withdrawn_id
),

corrections as (
    select
        entries.id as correction_id,
        entries.descriptor,
        -- Only % stands for other text.
        replace(lower(entries.pattern), '_', '\_') as pattern,
        entries.merchant,
        entries.subcategory,
        entries.known_at,
        withdrawals.withdrawn_at
    from entries
    left join withdrawals on entries.id = withdrawals.withdrawn_id
    where entries.action = 'correct'
)

select * from corrections
