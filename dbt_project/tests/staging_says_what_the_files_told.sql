-- Whatever a file told by the horizon, some version says at that moment; each version is what one file told; and no two
-- versions of a transaction are valid at once. So nothing is lost, made up or counted twice, to the cent.
with

delivered as (
    select told.*
    from {{ source('raw', 'transactions') }} as told
    inner join {{ source('ops', 'horizon') }} as horizon on told.client_id = horizon.client_id
    where told.known_at < horizon.cutoff_at and {{ night_scope('touched_days', 'told') }}
),

staged as (
    select * from {{ ref('stg_transactions') }}
    where {{ night_scope('touched_days') }}
),

said as (
    select
        delivered._load_id,
        delivered._record
    from delivered
    inner join staged on delivered.transaction_key = staged.transaction_key
    where
        delivered.amount = staged.amount
        and delivered.currency = staged.currency
        and delivered.known_at >= staged.known_at
        and delivered.known_at <= coalesce(staged.superseded_at, delivered.known_at)
),

lost as (
    select
        delivered.transaction_key,
        'a file told it, no version says it' as fault
    from delivered
    left join said on delivered._load_id = said._load_id and delivered._record = said._record
    where said._load_id is null
),

made_up as (
    select
        staged.transaction_key,
        'a version says it, no file told it' as fault
    from staged
    left join delivered
        on
            staged.transaction_key = delivered.transaction_key
            and staged._load_id = delivered._load_id
            and staged._record = delivered._record
            and staged.amount = delivered.amount
            and staged.business_date = delivered.business_date
    where delivered.transaction_key is null
),

later as (
    select * from staged
    where version > 1
),

counted_twice as (
    select
        staged.transaction_key,
        'two versions are valid at once' as fault
    from staged
    inner join later on staged.transaction_key = later.transaction_key and staged.version < later.version
    where staged.superseded_at is null or staged.superseded_at > later.known_at
),

faults as (
    select * from lost
    union all
    select * from made_up
    union all
    select * from counted_twice
)

select * from faults
