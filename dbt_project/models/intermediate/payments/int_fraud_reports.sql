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

-- Of a client who reports no frauds, silence says nothing, and a verdict on alerts alone would make it say "genuine".
reporting as (
    select
        client_id,
        min(known_at) as first_reported_at
    from labels
    group by client_id
),

stated as (
    select
        client_id,
        entity_id as transaction_key,
        value, -- noqa: RF04
        known_at,
        cast(null as timestamp) as withdrawn_at,
        _load_id,
        _record
    from labels
    union all
    select
        cases.client_id,
        cases.transaction_key,
        cases.verdict as value, -- noqa: RF04
        greatest(cases.known_at, reporting.first_reported_at) as known_at,
        cases.withdrawn_at,
        'case' as _load_id,
        cases.event_id as _record
    from {{ ref('stg_case_labels') }} as cases
    inner join reporting on cases.client_id = reporting.client_id
),

-- What is said of a pending transaction is said of its posting too, once that is known.
statements as (
    select * from stated
    union all
    select
        stated.client_id,
        postings.posted_key as transaction_key,
        stated.value,
        greatest(stated.known_at, postings.posted_known_at) as known_at,
        stated.withdrawn_at,
        stated._load_id,
        stated._record
    from stated
    inner join postings on stated.transaction_key = postings.pending_key
),

moments as (
    select
        client_id,
        transaction_key,
        known_at
    from statements
    union
    select
        client_id,
        transaction_key,
        withdrawn_at as known_at
    from statements
    where withdrawn_at is not null
),

-- The last word that was not withdrawn by then; after a withdrawal the word before it holds again, if there was one.
in_force as (
    select
        moments.client_id,
        moments.transaction_key,
        lower(statements.value) in ('true', 'yes', '1', 'fraud') as is_fraud,
        moments.known_at,
        row_number() over (
            partition by moments.client_id, moments.transaction_key, moments.known_at
            order by statements.known_at desc, statements._load_id desc, statements._record desc
        ) as words_ago
    from moments
    left join statements
        on
            moments.client_id = statements.client_id
            and moments.transaction_key = statements.transaction_key
            and moments.known_at >= statements.known_at
            and moments.known_at < coalesce(statements.withdrawn_at, cast('9999-12-31' as timestamp))
),

reports as (
    select
        client_id,
        transaction_key,
        is_fraud,
        known_at,
        lead(known_at) over (partition by client_id, transaction_key order by known_at) as superseded_at
    from in_force
    where words_ago = 1
)

select * from reports
where is_fraud is not null
