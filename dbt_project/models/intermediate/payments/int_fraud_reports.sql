{{ config(materialized='table') }}

with

labels as (
    select * from {{ ref('stg_labels') }}
    where entity = 'transaction' and label = 'fraud'
),

postings as (
    select
        pending_key,
        min(posted_key) as posted_key,
        min(posted_known_at) as posted_known_at
    from {{ ref('int_postings') }}
    group by pending_key
),

-- What is said of a pending transaction is said of its posting too, once that is known.
statements as (
    select
        client_id,
        entity_id as transaction_key,
        value, -- noqa: RF04
        known_at,
        _load_id,
        _record
    from labels
    union all
    select
        labels.client_id,
        postings.posted_key as transaction_key,
        labels.value,
        greatest(labels.known_at, postings.posted_known_at) as known_at,
        labels._load_id,
        labels._record
    from labels
    inner join postings on labels.entity_id = postings.pending_key
),

reports as (
    select
        client_id,
        transaction_key,
        lower(value) in ('true', 'yes', '1', 'fraud') as is_fraud,
        known_at,
        lead(known_at) over (
            partition by client_id, transaction_key order by known_at, _load_id, _record
        ) as superseded_at
    from statements
)

select * from reports
where superseded_at is null or superseded_at > known_at
