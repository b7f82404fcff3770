{{ config(materialized='view') }}

with

clients as (
    select * from {{ ref('stg_clients') }}
),

frauds as (
    select
        reports.client_id,
        'fraud' as outcome,
        'transaction' as entity,
        transactions.business_date as happened_on,
        min(reports.known_at) as known_at
    from {{ ref('int_fraud_reports') }} as reports
    inner join {{ ref('fct_transactions') }} as transactions
        on reports.client_id = transactions.client_id and reports.transaction_key = transactions.transaction_key
    where transactions.is_current and reports.is_fraud
    group by reports.client_id, reports.transaction_key, transactions.business_date
    -- Taken back since: the last word says that it was none.
    having count(*) filter (where reports.superseded_at is null) = 1
),

stated as (
    select
        labels.client_id,
        labels.label,
        labels.entity,
        labels.entity_id,
        lower(labels.value) in ('true', 'yes', '1', lower(labels.label)) as is_event,
        {{ local_date('labels.event_at', 'clients.timezone') }} as happened_on,
        labels.known_at,
        labels._load_id,
        labels._record
    from {{ ref('stg_labels') }} as labels
    inner join clients on labels.client_id = clients.client_id
    where not (labels.entity = 'transaction' and labels.label = 'fraud')
),

-- The next statement that it is none takes back all events of the entity until then.
judged as (
    select
        *,
        min(case when not is_event then known_at end) over (
            partition by client_id, label, entity, entity_id
            order by known_at, _load_id, _record
            rows between 1 following and unbounded following
        ) as taken_back_at
    from stated
),

others as (
    select
        client_id,
        label as outcome,
        entity,
        happened_on,
        min(known_at) as known_at
    from judged
    where is_event and taken_back_at is null and happened_on is not null
    group by client_id, label, entity, entity_id, happened_on
)

select * from frauds
union all
select * from others
