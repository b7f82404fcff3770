-- What the counts of days, as the last date sees them, lack for a date: rows it did not know yet or still knew, and
-- frauds.
with

unsteady as (
    select * from {{ ref('int_payments_seen') }}
    where is_visit and (is_late or last_seen_on is not null)
),

reports as (
    select * from {{ ref('int_fraud_reports') }}
    where is_fraud
),

not_yet_seen as (
    select
        client_id,
        place,
        business_date,
        cast('0001-01-01' as date) as from_date,
        cast({{ dbt.dateadd('day', -1, 'first_seen_on') }} as date) as to_date,
        cast('0001-01-01' as timestamp) as known_at,
        cast('9999-12-31' as timestamp) as superseded_at,
        -1 as transactions,
        -amount as amount,
        0 as frauds
    from unsteady
    where last_seen_on is null
),

still_seen as (
    select
        client_id,
        place,
        business_date,
        first_seen_on as from_date,
        last_seen_on as to_date,
        cast('0001-01-01' as timestamp) as known_at,
        cast('9999-12-31' as timestamp) as superseded_at,
        1 as transactions,
        amount,
        0 as frauds
    from unsteady
    where last_seen_on is not null
),

reported as (
    select
        visits.client_id,
        visits.place,
        visits.business_date,
        visits.first_seen_on as from_date,
        coalesce(visits.last_seen_on, cast('9999-12-31' as date)) as to_date,
        reports.known_at,
        coalesce(reports.superseded_at, cast('9999-12-31' as timestamp)) as superseded_at,
        0 as transactions,
        0 as amount,
        1 as frauds
    from reports
    inner join {{ ref('int_payments_seen') }} as visits
        on reports.client_id = visits.client_id and reports.transaction_key = visits.transaction_key
    where visits.is_visit
),

changes as (
    select * from not_yet_seen
    union all
    select * from still_seen
    union all
    select * from reported
),

scopes as (
    select true as is_whole_client
    union all
    select false as is_whole_client
),

summed as (
    select
        changes.client_id,
        case when scopes.is_whole_client then '' else changes.place end as place,
        changes.business_date,
        changes.from_date,
        changes.to_date,
        changes.known_at,
        changes.superseded_at,
        cast(sum(changes.transactions) as bigint) as transactions,
        sum(changes.amount) as amount,
        cast(sum(changes.frauds) as bigint) as frauds
    from changes
    cross join scopes
    group by 1, 2, 3, 4, 5, 6, 7
)

select * from summed
