with

records as (
    select
        *,
        lead(known_at) over (
            partition by client_id, loan_id
            order by known_at, _load_id, _record
        ) as next_known_at
    from {{ ref('stg_loans') }}
),

-- A status that was known later than its record is a statement of its own, unless a newer record came before it.
steps as (
    select 'stated' as step
    union all
    select 'changed' as step
),

stated as (
    select
        records.client_id,
        records.loan_id,
        records.customer_id,
        records.account_id,
        records.principal,
        records.instalment,
        records.term_months,
        records.granted_on,
        case
            when steps.step = 'changed' or coalesce(records.status_known_at, records.known_at) <= records.known_at
                then records.status
        end as status,
        case
            when steps.step = 'changed' or coalesce(records.status_known_at, records.known_at) <= records.known_at
                then records.status_on
        end as status_on,
        case when steps.step = 'changed' then records.status_known_at else records.known_at end as known_at,
        records.known_at as record_known_at,
        records._load_id,
        records._record
    from records
    cross join steps
    where
        steps.step = 'stated'
        or (
            records.status_known_at > records.known_at
            and (records.next_known_at is null or records.status_known_at < records.next_known_at)
        )
)

select * from stated
