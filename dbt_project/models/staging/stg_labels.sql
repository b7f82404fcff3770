with

labels as (
    select * from {{ source('raw', 'labels') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select
        labels.client_id,
        labels.source,
        labels.entity,
        labels.entity_id,
        labels.label,
        labels.value,
        labels.said_by,
        labels.event_at,
        labels.known_at,
        labels._load_id,
        labels._record
    from labels
    inner join horizon on labels.client_id = horizon.client_id
    where labels.known_at < horizon.cutoff_at
),

named as (
    select distinct
        client_id,
        entity_id
    from known
    where entity = 'transaction'
),

-- Several sources may use one id: the transaction known first keeps it, so a later one changes no past label.
told as (
    select
        transactions.client_id,
        transactions.transaction_id,
        transactions.transaction_key,
        row_number() over (
            partition by transactions.client_id, transactions.transaction_id
            order by transactions.known_at, transactions.transaction_key
        ) as place
    from {{ ref('stg_transactions') }} as transactions
    inner join named
        on transactions.client_id = named.client_id and transactions.transaction_id = named.entity_id
),

resolved as (
    select
        known.client_id,
        known.source,
        known.entity,
        coalesce(told.transaction_key, known.entity_id) as entity_id,
        known.entity_id as stated_id,
        known.label,
        known.value,
        known.said_by,
        known.event_at,
        known.known_at,
        known._load_id,
        known._record
    from known
    left join told
        on
            known.client_id = told.client_id
            and case when known.entity = 'transaction' then known.entity_id end = told.transaction_id
            and told.place = 1
)

select * from resolved
