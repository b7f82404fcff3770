with

transactions as (
    select * from {{ source('raw', 'transactions') }}
),

replaced_periods as (
    select * from {{ source('raw', 'replaced_periods') }}
),

horizon as (
    select * from {{ ref('stg_horizon') }}
),

known as (
    select transactions.*
    from transactions
    inner join horizon on transactions.client_id = horizon.client_id
    where transactions.known_at < horizon.cutoff_at
),

-- A file that speaks for a whole period takes back what it does not say again.
withdrawals as (
    select
        known.transaction_key,
        known._load_id,
        known._record,
        min(replaced_periods.known_at) as withdrawn_at
    from known
    inner join horizon on known.client_id = horizon.client_id
    inner join replaced_periods
        on
            known.client_id = replaced_periods.client_id
            and known.source = replaced_periods.source
            and known.business_date between replaced_periods.period_from and replaced_periods.period_to
            and (known.known_at, known._load_id) < (replaced_periods.known_at, replaced_periods._load_id)
            and horizon.cutoff_at > replaced_periods.known_at
    where
        not exists (
            select 1 from known as again
            where again.transaction_key = known.transaction_key and again._load_id = replaced_periods._load_id
        )
    group by known.transaction_key, known._load_id, known._record
),

tellings as (
    select
        known.*,
        withdrawals.withdrawn_at,
        row_number() over timeline as version, -- noqa: RF04
        lag(known._content_hash) over timeline as content_before,
        lag(withdrawals.withdrawn_at) over timeline as withdrawn_before
    from known
    left join withdrawals
        on
            known.transaction_key = withdrawals.transaction_key
            and known._load_id = withdrawals._load_id
            and known._record = withdrawals._record
    window timeline as (
        partition by known.transaction_key order by known.known_at, known._load_id, known._record
    )
),

-- The same transaction told again, in another file, is the same version: known since it was told first.
-- True twins differ in their key by the occurrence number and both stay.
told as (
    select * from tellings
    where
        version = 1
        or withdrawn_before <= known_at
        or content_before is distinct from _content_hash
),

-- Few have any: so this is a small table beside the large one, not another sort of it.
later_versions as (
    select
        transaction_key,
        version,
        known_at
    from told
    where version > 1
),

next_versions as (
    select
        told.transaction_key,
        told.version,
        min(later_versions.known_at) as next_known_at
    from told
    inner join later_versions
        on told.transaction_key = later_versions.transaction_key and told.version < later_versions.version
    group by told.transaction_key, told.version
),

versions as (
    select
        told.transaction_key,
        told.version,
        told.client_id,
        told.source,
        told.customer_id,
        told.account_id,
        told.transaction_id,
        told.original_transaction_id,
        told.description,
        told.merchant_name,
        told.merchant_id,
        told.terminal_id,
        told.mcc,
        told.source_category,
        told.card_token,
        told.counterparty_token,
        told.payment_mode,
        told.channel,
        told.status,
        told.city,
        told.region,
        told.country,
        told.remarks,
        told.currency,
        told.original_currency,
        told.amount,
        told.original_amount,
        told.fee_amount,
        told.balance_after,
        told.latitude,
        told.longitude,
        told.business_date,
        told.event_at,
        told.authorised_at,
        told.booked_at,
        told.known_at,
        least(next_versions.next_known_at, told.withdrawn_at) as superseded_at,
        told._load_id,
        told._record
    from told
    left join next_versions
        on told.transaction_key = next_versions.transaction_key and told.version = next_versions.version
)

select * from versions
