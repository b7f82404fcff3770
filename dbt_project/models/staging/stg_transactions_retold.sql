-- depends_on: {{ ref('stg_touched_days') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }}
            where
                (client_id, business_date) in (select client_id, business_date from {{ ref('stg_touched_days') }})
                or transaction_key in (
                    select told.transaction_key from {{ source('raw', 'transactions') }} as told
                    where (told.client_id, told.business_date) in (
                        select client_id, business_date from {{ ref('stg_touched_days') }}
                    )
                )
            {% endif %}
        ",
    )
}}

{%- set is_known = after_join('raw_rows.known_at < horizon.cutoff_at') %}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

replaced_periods as (
    select replaced.*
    from {{ source('raw', 'replaced_periods') }} as replaced
    inner join horizon on replaced.client_id = horizon.client_id
    where replaced.known_at < horizon.cutoff_at
),

{%- if is_incremental() %}

touched_days as (
    select * from {{ ref('stg_touched_days') }}
),

touched_keys as (
    select raw_rows.transaction_key
    from {{ source('raw', 'transactions') }} as raw_rows
    inner join touched_days
        on raw_rows.client_id = touched_days.client_id and raw_rows.business_date = touched_days.business_date
),
{%- endif %}

-- Two tellings or more make a history: their keys are counted first, and so few rows have to be kept.
repeated as (
    select {{ key_hash('raw_rows.transaction_key') }} as key_hash
    from {{ source('raw', 'transactions') }} as raw_rows
    inner join horizon on raw_rows.client_id = horizon.client_id
    where
        {{ is_known }}
        {%- if is_incremental() %}
        and raw_rows.transaction_key in (select touched_keys.transaction_key from touched_keys)
        {%- endif %}
    group by {{ key_hash('raw_rows.transaction_key') }}
    having count(*) > 1
),

-- Which telling is which version is decided on few columns, and the wide rows are read once.
tellings as (
    select
        raw_rows.client_id,
        raw_rows.source,
        raw_rows.transaction_key,
        raw_rows.business_date,
        raw_rows.known_at,
        raw_rows._content_hash,
        raw_rows._load_id,
        raw_rows._record,
        {{ key_hash('raw_rows.transaction_key') }} as key_hash
    from {{ source('raw', 'transactions') }} as raw_rows
    inner join horizon on raw_rows.client_id = horizon.client_id
    where
        {{ is_known }}
        {%- if is_incremental() %}
        and raw_rows.transaction_key in (select touched_keys.transaction_key from touched_keys)
        {%- endif %}
        and (
            {{ key_hash('raw_rows.transaction_key') }} in (select repeated.key_hash from repeated)
            or (raw_rows.client_id, raw_rows.source) in (
                select
                    replaced_periods.client_id,
                    replaced_periods.source
                from replaced_periods
            )
        )
),

-- A file that speaks for a whole period takes back what it does not say again.
withdrawals as (
    select
        tellings.key_hash,
        tellings.transaction_key,
        tellings._load_id,
        tellings._record,
        min(replaced_periods.known_at) as withdrawn_at
    from tellings
    inner join replaced_periods
        on
            tellings.client_id = replaced_periods.client_id
            and tellings.source = replaced_periods.source
            and tellings.business_date between replaced_periods.period_from and replaced_periods.period_to
            and (tellings.known_at, tellings._load_id) < (replaced_periods.known_at, replaced_periods._load_id)
    where
        not exists (
            select 1 from tellings as again
            where again.transaction_key = tellings.transaction_key and again._load_id = replaced_periods._load_id
        )
    group by tellings.key_hash, tellings.transaction_key, tellings._load_id, tellings._record
),

-- Whatever was told once and never taken back needs no history, and that is nearly everything.
with_history as (
    select
        tellings.*,
        withdrawals.withdrawn_at
    from tellings
    left join withdrawals
        on
            tellings.transaction_key = withdrawals.transaction_key
            and tellings._load_id = withdrawals._load_id
            and tellings._record = withdrawals._record
    where
        tellings.key_hash in (select repeated.key_hash from repeated)
        or tellings.key_hash in (select taken_back.key_hash from withdrawals as taken_back)
),

numbered as (
    select
        *,
        row_number() over timeline as version, -- noqa: RF04
        lag(_content_hash) over timeline as content_before,
        lag(withdrawn_at) over timeline as withdrawn_before
    from with_history
    window timeline as (partition by transaction_key order by known_at, _load_id, _record)
),

-- The same transaction told again, in another file, is the same version: known since it was told first.
-- True twins differ in their key by the occurrence number and both stay.
judged as (
    select
        *,
        (
            version = 1
            or coalesce(withdrawn_before <= known_at, false)
            or content_before is distinct from _content_hash
        ) as is_new
    from numbered
),

histories as (
    select
        client_id,
        transaction_key,
        version,
        is_new,
        business_date,
        least(
            lead(known_at) over (partition by transaction_key, is_new order by version), withdrawn_at
        ) as superseded_at,
        _load_id,
        _record
    from judged
)

select * from histories
